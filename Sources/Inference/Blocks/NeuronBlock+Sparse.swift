// Feed-forward networks of which only some neurons are read: those that fire (exact), or those that
// a predictor names and those in memory (predicted). One token at a time.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import Memory
internal import ModelFormat
internal import Weights

extension NeuronBlock {
    /// Guesses who fires, from now on: neurons that it does not name count as 0.
    func predict(
        by predictors: NeuronPredictors, memory: consuming MemoryReservation
    ) throws(SystemError) {
        predictor = try NeuronPredictor(
            predictors, tokensMax: 1, executor: executor, memory: memory)
        store.neurons.rank(by: predictors)
    }

    /// A whole network.
    func sumSparse(
        _ network: LayerGraph.Neurons, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        if predictor != nil {
            try sumPredicted(network, &residual)
        } else {
            try fireAll(network, tokens: 1, &residual)
            try sumFired(network, &residual)
        }
    }

    /// The first projection is there: the rest of those that fire.
    private func sumFired(
        _ network: LayerGraph.Neurons, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        let (layer, neuronCount) = (network.record.layer, network.record.count)
        needed.removeAll(keepingCapacity: true)
        batch.list(group: 0, in: 0..<neuronCount)
        batch.appendListed(to: &needed)
        noteFired(layer: layer, neuronCount: neuronCount)
        let needed = needed
        var demand = store.demand(neurons: needed.span, layer: layer)
        while let lease = try demand.next() {
            let first = Int(needed[lease.range.lowerBound])
            let last = Int(needed[lease.range.upperBound - 1])
            batch.list(group: 0, in: first..<last + 1)
            batch.setRests(network.geometry, lease)
            computeListed(network, &residual)
        }
    }

    private func noteFired(layer: Int, neuronCount: Int) {
        for index in 0..<neuronCount { firing[index] = 0 }
        for neuron in needed { firing[Int(neuron)] = 1 }
        let likelihoods = firing
        store.neurons.noteFiring(layer: layer, likelihoods.span)
    }

    /// Neither projection is there: both of those that are in memory or worth a read.
    private func sumPredicted(
        _ network: LayerGraph.Neurons, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        let (record, geometry) = (network.record, network.geometry)
        let start = MonotonicClock.nanoseconds
        predictor?.predict(layer: record.layer, residual.normed, tokens: 1)
        chooseNeurons(record)
        batch.begin(neurons: record.count)
        residual.projected.fill(0, count: record.width)
        executor.count(since: start)
        let needed = needed
        observer.onPrediction?(record.layer, needed.span)
        var demand = store.demand(neurons: needed.span, layer: record.layer)
        while let lease = try demand.next() {
            batch.list(needed[lease.range])
            batch.setRecords(lease, 0..<geometry.firstBytes)
            let start = MonotonicClock.nanoseconds
            executor.kernels.fireListed(
                &batch, activation, format: record.gate ?? record.up, columns: record.width,
                by: residual.normed, bias: network.firstBias ?? [],
                threshold: firingThreshold(layer: record.layer), products: &ups.floats,
                values: &values, team: executor.team)
            executor.count(since: start)
            batch.setRests(geometry, lease)
            computeListed(network, &residual)
        }
    }

    /// Everyone in memory, then others whose probability of firing is worth a read.
    private func chooseNeurons(_ record: PackedNeuronLayer) {
        guard let threshold = predictor?.threshold else { return }
        let layer = record.layer
        predictor?.copyProbabilities(to: &firing)
        let likelihoods = firing
        store.neurons.noteFiring(layer: layer, likelihoods.span)
        needed.removeAll(keepingCapacity: true)
        store.neurons.forEachResident(layer: layer) { needed.append($0.rawValue) }
        needed.sort()
        store.neurons.choose(
            layer: layer, likelihoods.span, threshold: threshold, into: &needed)
        var (all, computed): (Float, Float) = (0, 0)
        for neuron in 0..<record.count { all += firing[neuron] }
        for neuron in needed { computed += firing[Int(neuron)] }
        predictor?.adapt(expected: all, computed: computed)
    }
}

extension NeuronBatch {
    fileprivate func appendListed(to numbers: inout [Int32]) {
        for index in 0..<count { numbers.append(Int32(neuron(index))) }
    }

    /// Points the listed neurons at what they need beyond the first projection.
    fileprivate mutating func setRests(_ geometry: NeuronGeometry, _ lease: borrowing NeuronLease) {
        setRecords(lease, geometry.firstBytes..<geometry.recordBytes)
    }

    /// Points the listed neurons at a part of their records.
    fileprivate mutating func setRecords(_ lease: borrowing NeuronLease, _ part: Range<Int>) {
        for index in 0..<count { setRecord(index, lease.record(NeuronID(neuron(index)), part)) }
    }
}
