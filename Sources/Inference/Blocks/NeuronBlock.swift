// Feed-forward networks whose neurons are bundles: the first projection in full, then the rest of
// those neurons that fire. Sums run over neurons in the order of their numbers, wherever their
// records lie and in whatever order they come.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import Memory
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

extension BufferName {
    fileprivate static let first = Self("neurons, first projections")
    fileprivate static let values = Self("neurons, activations")
    fileprivate static let products = Self("neurons, ups of those that fire")
    fileprivate static let batch = Self("neurons, who fires")
}

/// Networks whose neurons are bundles, from `normed` to `projected`.
final class NeuronBlock {
    /// Of a prompt, tokens that windows learn from: older ones are forgotten anyway.
    private static let windowTokensMax = 32

    let executor: Executor
    let store: WeightStore
    let observer: PassObserver
    let activation: Activation
    private let products: Products
    private let width: Int
    /// Of each layer, the magnitude of an activation below which its neuron counts as silent.
    /// Empty: every neuron counts as it is.
    var firingThresholds: [Float] = []
    /// Who fires, guessed; nil where it is computed.
    var predictor: NeuronPredictor?
    /// Where neurons are fetched one by one: who is needed.
    var needed: [Int32] = []
    /// Of each neuron, how likely it fires.
    var firing: [Float]
    /// Tokens × neurons: the first projection.
    private var first: Buffer<Float>
    /// Tokens × neurons: activations, and what they are multiplied with.
    var values: Buffer<Float>
    var ups: ProductInput
    /// Of the present layer.
    var batch: NeuronBatch

    static func isNeeded(_ sizes: ActivationShape) -> Bool { sizes.bundlesNeurons }

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        let (tokens, count) = (sizes.tokensMax, sizes.model.feedForwardWidth)
        buffers.add(.first, .floats(tokens * count), .feedForward)
        buffers.add(.values, .floats(tokens * count), .feedForward)
        buffers.add(.products, .input(rows: tokens, columns: count), .feedForward)
        buffers.add(.batch, .neurons(count, tokens: tokens), .feedForward)
    }

    init(_ context: BlockContext) {
        executor = context.executor
        store = context.store
        observer = context.observer
        products = context.products
        activation = context.graph.shape.activation
        width = context.graph.shape.width
        firing = Array(repeating: 0, count: context.sizes.model.feedForwardWidth)
        first = context.workspace.floats(.first)
        values = context.workspace.floats(.values)
        ups = context.workspace.input(.products)
        batch = context.workspace.neurons(.batch)
    }

    /// A whole network.
    func run(
        _ network: LayerGraph.Neurons, tokens: Int, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        try sum(network, tokens: tokens, &residual)
        executor.addBias(network.downBias, tokens: tokens, to: &residual.projected)
    }

    /// The columns of who fires.
    private func sum(
        _ network: LayerGraph.Neurons, tokens: Int, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        if store.isFetchingNeurons { return try sumSparse(network, &residual) }
        try fireAll(network, tokens: tokens, &residual)
        if store.fetchesNeurons { beginWindow(network.record, tokens: tokens) }
        if !store.plan.streamsDense {
            sumResident(network, &residual)
        } else if network.record.isReordered {
            try sumKept(network, &residual)
        } else {
            try sumInOrder(network, &residual)
        }
    }

    /// A prompt's last tokens say whom its layer's window should have from now on.
    private func beginWindow(_ record: PackedNeuronLayer, tokens: Int) {
        for token in max(0, tokens - Self.windowTokensMax)..<tokens {
            batch.copyFiring(token: token, neurons: record.count, to: &firing)
            let likelihoods = firing
            store.neurons.noteFiring(layer: record.layer, likelihoods.span)
        }
        store.neurons.beginWindow(layer: record.layer)
    }

    /// The first projection of every neuron, and who fires.
    func fireAll(
        _ network: LayerGraph.Neurons, tokens: Int, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        try products.multiply(
            network.first, by: residual.normed, tokens: tokens, into: &first)
        executor.addBias(network.firstBias, tokens: tokens, to: &first)
        observer.onNeurons?(network.record.layer, residual.normed, &first, tokens)
        let start = MonotonicClock.nanoseconds
        executor.kernels.fire(
            activation, &first, tokens: tokens, neurons: network.record.count,
            roundsTo8Bits: network.record.gate == nil && !network.record.down.multipliesFloats,
            threshold: firingThreshold(layer: network.record.layer), values: &values, &batch,
            team: executor.team)
        residual.projected.fill(0, count: tokens * width)
        executor.count(since: start)
    }

    /// The magnitude below which an activation of `layer` counts as 0.
    func firingThreshold(layer: Int) -> Float {
        layer < firingThresholds.count ? firingThresholds[layer] : 0
    }

    /// All records are in memory.
    private func sumResident(_ network: LayerGraph.Neurons, _ residual: inout ResidualStream) {
        let weights = store.neurons
        let bytes = weights.allResident(layer: network.record.layer)
        for group in 0..<batch.groupCount {
            batch.listResident(network, group: group, weights, bytes)
            computeListed(network, &residual)
        }
    }

    /// Streamed neurons whose places are their numbers are summed as they come.
    private func sumInOrder(
        _ network: LayerGraph.Neurons, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        let layer = network.record.layer
        var extents = store.demand(neuronsOfLayer: layer)
        while let extent = try extents.next() {
            let (bytes, places) = (extent.bytes, extent.rows)
            if store.fetchesNeurons { store.neurons.fillWindow(layer: layer, bytes, places) }
            for group in 0..<batch.groupCount {
                batch.list(network, group: group, places: places, bytes)
                computeListed(network, &residual)
            }
        }
    }

    /// Other streamed neurons are summed when all have come; those that fire are kept until then.
    private func sumKept(
        _ network: LayerGraph.Neurons, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        let layer = network.record.layer
        var extents = store.demand(neuronsOfLayer: layer)
        while let extent = try extents.next() {
            let (bytes, places) = (extent.bytes, extent.rows)
            if store.fetchesNeurons { store.neurons.fillWindow(layer: layer, bytes, places) }
            batch.keepFiring(network, places: places, bytes, in: store.neurons)
        }
        for group in 0..<batch.groupCount {
            batch.listKept(network, group: group, store.neurons)
            computeListed(network, &residual)
        }
    }

    /// The listed neurons' share of their group's results. Nothing else of the network is needed.
    func computeListed(_ network: LayerGraph.Neurons, _ residual: inout ResidualStream) {
        let start = MonotonicClock.nanoseconds
        let (record, weights) = (network.record, store.neurons)
        if record.gate != nil {
            executor.kernels.multiplyListed(
                &batch, format: record.up, columns: record.width, by: residual.normed,
                products: &ups.floats, values: &values, team: executor.team)
        }
        executor.kernels.addListed(
            batch, format: record.down, width: record.width,
            recordOffset: network.geometry.columnOffset,
            scales: weights.scales(layer: record.layer), values: values,
            to: &residual.projected, team: executor.team)
        executor.count(since: start)
    }
}

/// Whole lists at once.
extension NeuronBatch {
    /// Of each neuron, 1 where it fires for `token`, else 0.
    fileprivate func copyFiring(token: Int, neurons: Int, to firing: inout [Float]) {
        for neuron in 0..<neurons { firing[neuron] = fires(neuron, token: token) ? 1 : 0 }
    }

    /// Lists those of a group that fire; `bytes` holds all records.
    fileprivate mutating func listResident(
        _ network: LayerGraph.Neurons, group: Int, _ weights: NeuronWeights, _ bytes: RawSpan
    ) {
        let (layer, geometry) = (network.record.layer, network.geometry)
        list(group: group, in: 0..<network.record.count)
        for index in 0..<count {
            let place = weights.place(of: NeuronID(neuron(index)), layer: layer).index
            setRecord(index, geometry.rest(in: bytes, from: 0, place: place))
        }
    }

    /// Lists those of a group that fire among neurons whose numbers are `places`; `bytes` holds
    /// their records.
    fileprivate mutating func list(
        _ network: LayerGraph.Neurons, group: Int, places: Range<Int>, _ bytes: RawSpan
    ) {
        let geometry = network.geometry
        list(group: group, in: places)
        for index in 0..<count {
            let place = neuron(index)
            setRecord(index, geometry.rest(in: bytes, from: places.lowerBound, place: place))
        }
    }

    /// Keeps the records of those that fire among the neurons at `places`, whose are `bytes`.
    fileprivate func keepFiring(
        _ network: LayerGraph.Neurons, places: Range<Int>, _ bytes: RawSpan,
        in weights: NeuronWeights
    ) {
        let (layer, geometry) = (network.record.layer, network.geometry)
        for place in places {
            let neuron = weights.neuron(at: NeuronPlace(place), layer: layer)
            guard fires(neuron.index) else { continue }
            weights.keep(
                geometry.rest(in: bytes, from: places.lowerBound, place: place), of: neuron)
        }
    }

    /// Lists those of a group that fire, all of which were kept.
    fileprivate mutating func listKept(
        _ network: LayerGraph.Neurons, group: Int, _ weights: NeuronWeights
    ) {
        list(group: group, in: 0..<network.record.count)
        for index in 0..<count {
            let neuron = NeuronID(neuron(index))
            setRecord(index, weights.kept(neuron, byteCount: network.geometry.restBytes))
        }
    }
}
