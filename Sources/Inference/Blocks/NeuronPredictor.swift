// Which neurons will fire, guessed from the feed-forward network's input before any of its weights
// are there ("LLM in a flash", arXiv 2312.11514, section 3.1; here a closed form, and probabilities
// summed over what one read brings).

package import Compute
package import LinuxSystem
package import Memory
package import Weights

/// Computes a model's predictors, one layer at a time.
package struct NeuronPredictor: ~Copyable {
    package let predictors: NeuronPredictors
    /// What a bundle's probabilities must sum to, to be worth a read: begins as calibration found
    /// it and then keeps what is missed at calibration's target, whatever is in memory anyway.
    package private(set) var threshold: Float
    /// How fast it follows, and how far it may go.
    private static let adaptation: Float = 0.02
    private var expectedMean: Float = 0
    private var missedMean: Float = 0
    private static let thresholdRange: ClosedRange<Float> = 0.001...2
    private let tokensMax: Int
    private let executor: Executor
    /// T × rank.
    private var codes: ProductInput
    /// T × neurons: of the last ``predict(layer:_:tokens:)``.
    package private(set) var probabilities: Buffer<Float>
    /// The last prediction's layer and tokens.
    private var layer = 0
    private var tokens = 0

    /// - Throws: `SystemError` when there is no memory.
    package init(
        _ predictors: NeuronPredictors, tokensMax: Int, executor: Executor,
        memory: consuming MemoryReservation
    ) throws(SystemError) {
        self.predictors = predictors
        threshold = predictors.threshold
        self.tokensMax = tokensMax
        self.executor = executor
        let arena = try MemoryArena(
            byteCount: Self.footprint(predictors, tokensMax: tokensMax), of: memory)
        codes = ProductInput(tokensMax: tokensMax, columnsMax: predictors.rankMax, in: arena)
        probabilities = Buffer(count: tokensMax * predictors.neuronsMax, in: arena)
    }

    /// Bytes beyond the predictors' own.
    package static func footprint(_ predictors: NeuronPredictors, tokensMax: Int) -> Int {
        ProductInput.footprint(tokensMax: tokensMax, columnsMax: predictors.rankMax)
            + Buffer<Float>.footprint(count: tokensMax * predictors.neuronsMax)
    }

    /// Each neuron's probability to fire, for each token: then in ``probabilities``.
    ///
    /// - Parameters:
    ///   - input: the network's, `tokens` rows of the predictors' width, prepared.
    package mutating func predict(
        layer index: Int, _ input: borrowing ProductInput, tokens: Int
    ) {
        precondition(tokens <= tokensMax, "more tokens than there is room for")
        let layer = predictors.layers[index]
        (self.layer, self.tokens) = (index, tokens)
        encode(layer, input, tokens: tokens)
        Self.score(layer, codes, tokens: tokens, into: &probabilities, executor)
    }

    private static func score(
        _ layer: LayerPredictor, _ codes: borrowing ProductInput, tokens: Int,
        into probabilities: inout Buffer<Float>, _ executor: Executor
    ) {
        var values = probabilities.mutableSpan
        executor.kernels.score(
            unsafe ScoreTiles(
                layer.tiles.span.bytes, neurons: layer.neuronCount, fineRank: layer.fineRank,
                coarseRank: layer.coarseRank),
            by: codes, tokens: tokens, into: &values, team: executor.team)
        executor.kernels.sigmoid(&values, count: tokens * layer.neuronCount)
    }

    /// The input's code: encoder · x - offsets, in 8-bit blocks.
    private mutating func encode(
        _ layer: LayerPredictor, _ input: borrowing ProductInput, tokens: Int
    ) {
        let rank = layer.rank
        let (kernels, team) = (executor.kernels, executor.team)
        let width = predictors.width
        var values = codes.floats.mutableSpan
        unsafe kernels.multiply(
            layer.fineEncoder.span.bytes, format: LayerPredictor.fineFormat,
            rows: layer.fineRank, columns: width, by: input, tokens: tokens,
            into: &values, rowOffset: 0, outputStride: rank, team: team)
        unsafe kernels.multiply(
            layer.coarseEncoder.span.bytes, format: LayerPredictor.coarseFormat,
            rows: layer.coarseRank, columns: width, by: input, tokens: tokens,
            into: &values, rowOffset: layer.fineRank, outputStride: rank, team: team)
        for token in 0..<tokens {
            for index in 0..<rank { values[token * rank + index] -= layer.offsets[index] }
        }
        executor.prepare(&codes, rows: tokens, columns: rank)
    }

    /// Learns from a layer how many neurons were expected to fire, and how many of these were
    /// computed.
    package mutating func adapt(expected: Float, computed: Float) {
        expectedMean += (expected - expectedMean) * Self.adaptation
        missedMean += (expected - computed - missedMean) * Self.adaptation
        let allowed = (1 - predictors.report.recallTarget) * max(expectedMean, 1e-3)
        let error = max(-1, min(1, (allowed - missedMean) / allowed))
        let next = threshold * (1 + Self.adaptation * error)
        threshold = max(
            Self.thresholdRange.lowerBound, min(Self.thresholdRange.upperBound, next))
    }

    /// The first token's probabilities, as far as there are places for them.
    package func copyProbabilities(to values: inout [Float]) {
        for index in 0..<min(values.count, predictors.layers[layer].neuronCount) {
            values[index] = probabilities[index]
        }
    }

    /// Bundles, as places in the layer's order divided by the bundle's size, that are worth a read
    /// for one token of the last prediction, ascending.
    ///
    /// - Parameters:
    ///   - threshold: what the probabilities must sum to; ``NeuronPredictors/threshold`` for the
    ///     recall that calibration was asked for.
    ///   - isResident: of each neuron; nil when none is. Those count nothing.
    package func chooseBundles(
        token: Int, threshold: Float, isResident: Span<Bool>?, into bundles: inout [Int32]
    ) {
        precondition(token < tokens, "a token of the last prediction")
        let layer = predictors.layers[layer]
        let size = predictors.neuronsPerBundle
        let first = token * layer.neuronCount
        bundles.removeAll(keepingCapacity: true)
        let values = probabilities.span
        let order = layer.order.span
        var place = 0
        while place < layer.neuronCount {
            let end = min(place + size, layer.neuronCount)
            var sum: Float = 0
            for index in place..<end {
                let neuron = Int(order[index])
                if let isResident, isResident[neuron] { continue }
                sum += values[first + neuron]
            }
            if sum >= threshold { bundles.append(Int32(place / size)) }
            place = end
        }
    }

    /// The neurons of bundle `index` of the last prediction's layer.
    package func neurons(ofBundle index: Int) -> ArraySlice<UInt32> {
        let layer = predictors.layers[layer]
        let first = index * predictors.neuronsPerBundle
        return layer.order[first..<min(first + predictors.neuronsPerBundle, layer.neuronCount)]
    }
}
