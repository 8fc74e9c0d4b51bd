// Which of a layer's neurons are worth what reading them takes, when only guesses are known.

internal import FlashStorage
internal import ModelFormat

extension NeuronWeights {
    /// Adds to `chosen` those neurons of a layer that are not in memory and whose likelihood is
    /// worth their bytes and reads, in the order of the file.
    ///
    /// A read costs its bytes and, as the drive was measured, those of the largest gap that is
    /// read rather than split it. A whole bundle is worth a sum of likelihoods of `threshold`, and
    /// less costs as much less.
    ///
    /// - Parameter likelihoods: of all neurons of the layer, by number.
    package func choose(
        layer: Int, _ likelihoods: Span<Float>, threshold: Float, into chosen: inout [Int32]
    ) {
        let record = directory.neuronLayer(layer)
        let gapBytesMax = reads.gapBytesMax
        let costs = NeuronCosts(record, reader: reads.reader, gapBytes: gapBytesMax)
        let worth = threshold / Float(record.bundleBytes + gapBytesMax)
        // Looked up once for all neurons.
        let (window, order) = (rows.windows[layer], directory.neurons.neurons[layer])
        var bundle: [(neuron: NeuronID, likelihood: Float, isChosen: Bool)] = []
        for index in 0..<record.bundleCount {
            bundle.removeAll(keepingCapacity: true)
            var sum: Float = 0
            for place in record.places(ofBundle: index) {
                let neuron = order.isEmpty ? NeuronID(place) : NeuronID(order[place])
                let isMissing = window.row(of: neuron) == nil
                let likelihood = isMissing ? likelihoods[neuron.index] : -1
                sum += max(likelihood, 0)
                bundle.append((neuron, likelihood, false))
            }
            // Not even what costs least.
            guard sum >= worth * costs.least else { continue }
            choose(&bundle, sum: sum, worth: worth, costs)
            for item in bundle where item.isChosen { chosen.append(item.neuron.rawValue) }
        }
    }

    /// Chooses of one bundle: whoever is worth a read of his own, then neighbours for what they add
    /// to it, or else all together.
    private func choose(
        _ bundle: inout [(neuron: NeuronID, likelihood: Float, isChosen: Bool)], sum: Float,
        worth: Float, _ costs: NeuronCosts
    ) {
        var isAny = false
        for place in bundle.indices where bundle[place].likelihood >= worth * costs.alone[place] {
            bundle[place].isChosen = true
            isAny = true
        }
        let isAll = !isAny && sum >= worth * costs.together
        for place in bundle.indices where !bundle[place].isChosen && bundle[place].likelihood >= 0 {
            let likelihood = bundle[place].likelihood
            let isAfter =
                place > 0 && bundle[place - 1].isChosen && likelihood >= worth * costs.after[place]
            let isBefore =
                place + 1 < bundle.count && bundle[place + 1].isChosen
                && likelihood >= worth * costs.before[place]
            bundle[place].isChosen = isAll || isAfter || isBefore
        }
    }
}

/// What reading the records of a bundle costs, by their places in it, in bytes.
private struct NeuronCosts {
    /// One by itself, and the cheapest of these.
    var alone: [Float] = []
    var least: Float
    /// One when the one before it, or after it, is read anyway.
    var after: [Float] = []
    var before: [Float] = []
    /// All of them.
    let together: Float

    init(_ record: PackedNeuronLayer, reader: FlashReader, gapBytes: Int) {
        let blocks = (0..<record.neuronsPerBundle).map { place in
            let start = place * record.recordBytes
            return reader.blocks(start..<start + record.recordBytes)
        }
        for (place, bytes) in blocks.enumerated() {
            let before = place > 0 ? blocks[place - 1].upperBound : 0
            let next = place + 1 < blocks.count ? blocks[place + 1].lowerBound : bytes.upperBound
            alone.append(Float(bytes.count + gapBytes))
            after.append(Float(bytes.upperBound - max(before, bytes.lowerBound)))
            self.before.append(Float(min(next, bytes.upperBound) - bytes.lowerBound))
        }
        together = Float((blocks.last?.upperBound ?? 0) + gapBytes)
        least = alone.min() ?? 0
        // All together may cost less than one does for each that is likely.
        least = min(least, together)
    }
}
