// Feed-forward networks whose neurons are bundles: the first projection in full, then the rest of
// those neurons that fire. Sums run over neurons in the order of their numbers, wherever their
// records lie and in whatever order they come.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import ModelFormat
internal import Weights

/// Numbers of a neuron layer that every neuron's address is made of.
struct NeuronGeometry: Sendable {
    let neuronsPerBundle: Int
    let bundleBytes: Int
    let recordBytes: Int
    /// From a record's start to its rest: what is needed beyond the first projection.
    let firstBytes: Int
    let restBytes: Int
    /// From there to its column.
    let columnOffset: Int

    init(_ layer: PackedNeuronLayer) {
        neuronsPerBundle = layer.neuronsPerBundle
        bundleBytes = layer.bundleBytes
        recordBytes = layer.recordBytes
        firstBytes = layer.firstBytes
        restBytes = layer.restBytes
        columnOffset = layer.upBytes
    }

    /// The rest of the record at `place` among the bytes of bundles that begin with place `first`.
    @_lifetime(copy bytes)
    func rest(in bytes: RawSpan, from first: Int, place: Int) -> RawSpan {
        let (bundle, index) = (place - first).quotientAndRemainder(dividingBy: neuronsPerBundle)
        let start = bundle * bundleBytes + index * recordBytes + firstBytes
        return bytes.extracting(start..<start + restBytes)
    }
}

extension Transformer {
    /// Of a prompt, tokens that windows learn from: older ones are forgotten anyway.
    private static let windowTokensMax = 32

    /// A whole network from `normed` to `projected`.
    func sumNeurons(
        _ network: LayerGraph.Neurons, tokens: Int, _ activations: inout Activations
    ) throws(ReadFailure) {
        if store.isFetchingNeurons { return try sumSparse(network, &activations) }
        try fireAll(network, tokens: tokens, &activations)
        if store.fetchesNeurons { beginWindow(network.record, tokens: tokens, activations) }
        if !store.plan.streamsDense {
            sumResident(network, &activations)
        } else if network.record.isReordered {
            try sumKept(network, &activations)
        } else {
            try sumInOrder(network, &activations)
        }
    }

    /// A prompt's last tokens say whom its layer's window should have from now on.
    private func beginWindow(
        _ record: PackedNeuronLayer, tokens: Int, _ activations: borrowing Activations
    ) {
        for token in max(0, tokens - Self.windowTokensMax)..<tokens {
            for neuron in 0..<record.count {
                firing[neuron] = activations.neurons.fires(neuron, token: token) ? 1 : 0
            }
            let likelihoods = firing
            store.neurons.noteFiring(layer: record.layer, likelihoods.span)
        }
        store.neurons.beginWindow(layer: record.layer)
    }

    /// The first projection of every neuron, and who fires.
    func fireAll(
        _ network: LayerGraph.Neurons, tokens: Int, _ activations: inout Activations
    ) throws(ReadFailure) {
        try products.multiply(
            network.first, by: activations.normed, tokens: tokens, into: &activations.gate)
        observer.onNeurons?(network.record.layer, activations.normed, &activations.gate, tokens)
        let start = MonotonicClock.nanoseconds
        executor.kernels.fire(
            activation, &activations.gate, tokens: tokens, neurons: network.record.count,
            roundsTo8Bits: network.record.gate == nil && !network.record.down.multipliesFloats,
            threshold: firingThreshold(layer: network.record.layer), values: &activations.up,
            &activations.neurons, team: executor.team)
        activations.projected.fill(0, count: tokens * shape.width)
        executor.count(since: start)
    }

    /// The magnitude below which an activation of `layer` counts as 0.
    func firingThreshold(layer: Int) -> Float {
        layer < firingThresholds.count ? firingThresholds[layer] : 0
    }

    /// All records are in memory.
    private func sumResident(
        _ network: LayerGraph.Neurons, _ activations: inout Activations
    ) {
        let (layer, geometry, weights) = (network.record.layer, network.geometry, store.neurons)
        let bytes = weights.allResident(layer: layer)
        for group in 0..<activations.neurons.groupCount {
            activations.neurons.list(group: group, in: 0..<network.record.count)
            for index in 0..<activations.neurons.count {
                let neuron = activations.neurons.neuron(index)
                let place = weights.place(of: NeuronID(neuron), layer: layer).index
                activations.neurons.setRecord(
                    index, geometry.rest(in: bytes, from: 0, place: place))
            }
            computeListed(network, &activations)
        }
    }

    /// Streamed neurons whose places are their numbers are summed as they come.
    private func sumInOrder(
        _ network: LayerGraph.Neurons, _ activations: inout Activations
    ) throws(ReadFailure) {
        let (layer, geometry, weights) = (network.record.layer, network.geometry, store.neurons)
        var extents = store.demand(neuronsOfLayer: layer)
        while let extent = try extents.next() {
            let (bytes, places) = (extent.bytes, extent.rows)
            if store.fetchesNeurons { weights.fillWindow(layer: layer, bytes, places) }
            for group in 0..<activations.neurons.groupCount {
                activations.neurons.list(group: group, in: places)
                for index in 0..<activations.neurons.count {
                    let place = activations.neurons.neuron(index)
                    activations.neurons.setRecord(
                        index,
                        geometry.rest(in: bytes, from: places.lowerBound, place: place))
                }
                computeListed(network, &activations)
            }
        }
    }

    /// Other streamed neurons are summed when all have come; those that fire are kept until then.
    private func sumKept(
        _ network: LayerGraph.Neurons, _ activations: inout Activations
    ) throws(ReadFailure) {
        let (layer, geometry, weights) = (network.record.layer, network.geometry, store.neurons)
        var extents = store.demand(neuronsOfLayer: layer)
        while let extent = try extents.next() {
            let (bytes, places) = (extent.bytes, extent.rows)
            if store.fetchesNeurons { weights.fillWindow(layer: layer, bytes, places) }
            for place in places {
                let neuron = weights.neuron(at: NeuronPlace(place), layer: layer)
                guard activations.neurons.fires(neuron.index) else { continue }
                weights.keep(
                    geometry.rest(in: bytes, from: places.lowerBound, place: place), of: neuron)
            }
        }
        for group in 0..<activations.neurons.groupCount {
            activations.neurons.list(group: group, in: 0..<network.record.count)
            for index in 0..<activations.neurons.count {
                let neuron = NeuronID(activations.neurons.neuron(index))
                activations.neurons.setRecord(
                    index, weights.kept(neuron, byteCount: geometry.restBytes))
            }
            computeListed(network, &activations)
        }
    }

    /// The listed neurons' share of their group's results. Nothing else of the network is needed.
    func computeListed(_ network: LayerGraph.Neurons, _ activations: inout Activations) {
        let start = MonotonicClock.nanoseconds
        let (record, weights) = (network.record, store.neurons)
        if record.gate != nil {
            executor.kernels.multiplyListed(
                &activations.neurons, format: record.up, columns: record.width,
                by: activations.normed, products: &activations.gated.floats,
                values: &activations.up, team: executor.team)
        }
        executor.kernels.addListed(
            activations.neurons, format: record.down, width: record.width,
            recordOffset: network.geometry.columnOffset,
            scales: weights.scales(layer: record.layer), values: activations.up,
            to: &activations.projected, team: executor.team)
        executor.count(since: start)
    }
}
