// Measures a model's speed in this process: prompt and generation, what they read, and which limit
// they came close to.

package import FlashStorage
internal import Inference
internal import LinuxSystem
package import ModelFormat
package import Models
internal import SequenceState
internal import Tokenization
package import Weights

/// What to measure.
package struct BenchmarkPlan: Sendable {
    package var promptTokens = 256
    package var generatedTokens = 32
    package var runs = 3
    /// What to feed, at least the prompt and what is generated; nil feeds pseudo-random tokens.
    package var tokens: [TokenID]?
    /// Choose experts at random instead of by the model's routers.
    package var routesUniformly = false
    /// Keep bundles from one run to the next.
    package var isWarm = false

    package init() {}
}

/// One run's figures.
package struct BenchmarkRun: Sendable, Equatable {
    package var promptSeconds = 0.0
    package var generateSeconds = 0.0
    /// In products and attention, during generation.
    package var computeSeconds = 0.0
    /// During the prompt alone.
    package var prefill = WeightStatistics()
    /// During generation alone.
    package var generation = WeightStatistics()
    /// The same of neurons that are fetched one by one.
    package var sparse = SparseStatistics()
    /// Mean negative natural-log likelihood of given tokens after the prompt; nil when none were
    /// given.
    package var loss: Double?
}

/// Runs a benchmark on a loaded model.
package struct Benchmark {
    private let model: ModelInstance
    private let plan: BenchmarkPlan

    package init(model: ModelInstance, plan: BenchmarkPlan) {
        self.model = model
        self.plan = plan
    }

    /// All runs, in order.
    ///
    /// - Parameter onProgress: told the share of the work that is done, 0...1.
    /// - Throws: `ReadFailure` when weights cannot be read.
    /// - Precondition: prompt and generated tokens fit the context.
    package func run(
        onProgress: @escaping (Double) -> Void = { _ in }
    ) throws(ReadFailure) -> [BenchmarkRun] {
        let total = Double(plan.runs * (plan.promptTokens + plan.generatedTokens))
        var runs: [BenchmarkRun] = []
        for run in 0..<plan.runs {
            model.transformer.observer.uniformRouting =
                plan.routesUniformly ? UniformRouting(seed: UInt64(run)) : nil
            if !plan.isWarm { try model.store.experts.removeAll() }
            let before = run * (plan.promptTokens + plan.generatedTokens)
            runs.append(try runOnce { onProgress(Double(before + $0) / total) })
        }
        return runs
    }

    /// Bytes of weights that computing one token touches: dense ones, and the used experts.
    package var weightBytesPerToken: Int {
        let manifest = model.manifest
        let used = manifest.shape.experts?.usedCount ?? 0
        return manifest.matrices.reduce(0) { $0 + $1.byteCount }
            + manifest.experts.reduce(0) { $0 + used * $1.bundleBytes }
    }

    /// - Parameter onProgress: told how many tokens are computed.
    package func runOnce(
        onProgress: (Int) -> Void = { _ in }
    ) throws(ReadFailure) -> BenchmarkRun {
        let opened = model.cache.open(
            tokensMax: plan.promptTokens + plan.generatedTokens,
            summarizes: model.coldTokensMax != nil)
        guard let sequence = opened else { preconditionFailure("callers check the context") }
        defer { model.cache.close(sequence) }
        var run = BenchmarkRun()
        let atStart = model.store.statistics
        let start = MonotonicClock.nanoseconds
        try prefill(sequence, onProgress)
        let middle = MonotonicClock.nanoseconds
        let before = model.store.statistics
        let sparseBefore = model.store.neurons.statistics
        let computedBefore = model.transformer.executor.computeNanoseconds
        run.loss = try generate(sequence) { onProgress(plan.promptTokens + $0) }
        run.promptSeconds = Double(middle - start) / 1e9
        run.generateSeconds = Double(MonotonicClock.nanoseconds - middle) / 1e9
        run.computeSeconds =
            Double(model.transformer.executor.computeNanoseconds - computedBefore) / 1e9
        run.prefill = before - atStart
        run.generation = model.store.statistics - before
        run.sparse = model.store.neurons.statistics - sparseBefore
        return run
    }

    private func prefill(
        _ sequence: SequenceID, _ onProgress: (Int) -> Void
    ) throws(ReadFailure) {
        let vocabulary = model.tokenizer.tokenCount
        var position = 0
        while position < plan.promptTokens {
            let end = min(position + model.prefillChunkTokens, plan.promptTokens)
            let tokens =
                plan.tokens.map { Array($0[position..<end]) }
                ?? (position..<end).map { TokenID($0 * 7919 % vocabulary) }
            let isLast = end == plan.promptTokens
            try model.transformer.forward(
                StepPlan(chunks: [
                    SequenceChunk(
                        sequence: sequence, tokens: tokens, firstPosition: position,
                        logits: isLast ? .last : .none)
                ]))
            position = end
            onProgress(position)
        }
    }

    /// Feeds given tokens, or pseudo-random ones: greedy text of random weights may fall into a
    /// loop that a cache likes too much.
    ///
    /// - Returns: the mean loss of given tokens.
    private func generate(
        _ sequence: SequenceID, _ onProgress: (Int) -> Void
    ) throws(ReadFailure) -> Double? {
        let vocabulary = model.tokenizer.tokenCount
        var token = 11 % vocabulary
        var (loss, scored) = (0.0, 0)
        for index in 0..<plan.generatedTokens {
            let position = plan.promptTokens + index
            try model.transformer.forward(
                StepPlan(chunks: [
                    SequenceChunk(
                        sequence: sequence, tokens: [plan.tokens?[position] ?? TokenID(token)],
                        firstPosition: position, logits: .last, coldPagesMax: model.coldPagesMax)
                ]))
            onProgress(index + 1)
            token = (token * 7919 + index) % vocabulary
            if let tokens = plan.tokens, position + 1 < tokens.count {
                loss += model.transformer.withLogits(row: 0) {
                    Evaluator.loss(of: tokens[position + 1], $0)
                }
                scored += 1
            }
        }
        return scored > 0 ? loss / Double(scored) : nil
    }
}
