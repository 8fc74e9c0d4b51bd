// Feed-forward networks of which only some neurons are read: those that fire (exact), or those that
// a predictor names and those in memory (predicted). One token at a time.

internal import Compute
internal import FlashStorage
package import LinuxSystem
package import Memory
internal import ModelFormat
package import Weights

extension Transformer {
    /// Guesses who fires, from now on: neurons that it does not name count as 0.
    package func predict(
        by predictors: NeuronPredictors, memory: consuming MemoryReservation
    ) throws(SystemError) {
        predictor = try NeuronPredictor(
            predictors, tokensMax: 1, executor: executor, memory: memory)
        store.neurons.rank(by: predictors)
    }

    /// A whole network from `normed` to `projected`.
    func sumSparse(
        _ network: LayerGraph.Neurons, _ activations: inout Activations
    ) throws(ReadFailure) {
        if predictor != nil {
            try sumPredicted(network, &activations)
        } else {
            try fireAll(network, tokens: 1, &activations)
            try sumFired(network, &activations)
        }
    }

    /// The first projection is there: the rest of those that fire.
    private func sumFired(
        _ network: LayerGraph.Neurons, _ activations: inout Activations
    ) throws(ReadFailure) {
        let (layer, neuronCount) = (network.record.layer, network.record.count)
        neededNeurons.removeAll(keepingCapacity: true)
        activations.neurons.list(group: 0, in: 0..<neuronCount)
        for index in 0..<activations.neurons.count {
            neededNeurons.append(Int32(activations.neurons.neuron(index)))
        }
        noteFired(layer: layer, neuronCount: neuronCount)
        let needed = neededNeurons
        var demand = store.demand(neurons: needed.span, layer: layer)
        while let lease = try demand.next() {
            let first = Int(needed[lease.range.lowerBound])
            let last = Int(needed[lease.range.upperBound - 1])
            activations.neurons.list(group: 0, in: first..<last + 1)
            setRests(network, lease, &activations)
            computeListed(network, &activations)
        }
    }

    private func noteFired(layer: Int, neuronCount: Int) {
        for index in 0..<neuronCount { firing[index] = 0 }
        for neuron in neededNeurons { firing[Int(neuron)] = 1 }
        let likelihoods = firing
        store.neurons.noteFiring(layer: layer, likelihoods.span)
    }

    /// Neither projection is there: both of those that are in memory or worth a read.
    private func sumPredicted(
        _ network: LayerGraph.Neurons, _ activations: inout Activations
    ) throws(ReadFailure) {
        let record = network.record
        let start = MonotonicClock.nanoseconds
        predictor?.predict(layer: record.layer, activations.normed, tokens: 1)
        chooseNeurons(record)
        activations.neurons.begin(neurons: record.count)
        activations.projected.fill(0, count: shape.width)
        executor.count(since: start)
        let needed = neededNeurons
        observer.onPrediction?(record.layer, needed.span)
        var demand = store.demand(neurons: needed.span, layer: record.layer)
        while let lease = try demand.next() {
            activations.neurons.list(needed[lease.range])
            let geometry = network.geometry
            for index in 0..<activations.neurons.count {
                let neuron = NeuronID(activations.neurons.neuron(index))
                activations.neurons.setRecord(
                    index, lease.record(neuron, 0..<geometry.firstBytes))
            }
            let start = MonotonicClock.nanoseconds
            executor.kernels.fireListed(
                &activations.neurons, activation, format: record.gate ?? record.up,
                columns: record.width, by: activations.normed,
                threshold: firingThreshold(layer: record.layer),
                products: &activations.gated.floats, values: &activations.up, team: executor.team)
            executor.count(since: start)
            setRests(network, lease, &activations)
            computeListed(network, &activations)
        }
    }

    /// Everyone in memory, then others whose probability of firing is worth a read.
    private func chooseNeurons(_ record: PackedNeuronLayer) {
        guard let threshold = predictor?.threshold else { return }
        let layer = record.layer
        predictor?.copyProbabilities(to: &firing)
        let likelihoods = firing
        store.neurons.noteFiring(layer: layer, likelihoods.span)
        neededNeurons.removeAll(keepingCapacity: true)
        store.neurons.forEachResident(layer: layer) { neededNeurons.append($0.rawValue) }
        neededNeurons.sort()
        store.neurons.choose(
            layer: layer, likelihoods.span, threshold: threshold, into: &neededNeurons)
        var (all, computed): (Float, Float) = (0, 0)
        for neuron in 0..<record.count { all += firing[neuron] }
        for neuron in neededNeurons { computed += firing[Int(neuron)] }
        predictor?.adapt(expected: all, computed: computed)
    }

    /// Points the listed neurons at what they need beyond the first projection.
    private func setRests(
        _ network: LayerGraph.Neurons, _ lease: borrowing NeuronLease,
        _ activations: inout Activations
    ) {
        let geometry = network.geometry
        let rest = geometry.firstBytes..<geometry.recordBytes
        for index in 0..<activations.neurons.count {
            let neuron = NeuronID(activations.neurons.neuron(index))
            activations.neurons.setRecord(index, lease.record(neuron, rest))
        }
    }
}
