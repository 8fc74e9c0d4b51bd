// What each part of reading neurons one by one is worth: the same tokens through the same model
// under one budget, with one part more in each row ("LLM in a flash", arXiv 2312.11514, table 2).

internal import FlashStorage
internal import Knobs
internal import Memory
package import Models
internal import Weights

/// A row of the ladder.
package enum LadderStep: String, Sendable, CaseIterable {
    /// All weights are read for each token.
    case naive
    /// What fits stays, the rest is read for each token.
    case half
    /// The first projection of all neurons, and the rest of those that fire.
    case exact
    /// Besides, a window of neurons stays.
    case exactWindow = "exact_window"
    /// Neurons that a predictor names, rows and columns one by one; none stays.
    case predictor
    /// Besides, a window of neurons stays.
    case window
    /// Besides, what a neuron needs is one read.
    case bundling
}

/// What one row measured, over the generated tokens.
package struct LadderRow: Sendable {
    package let step: LadderStep
    /// The budget, and what of it weights take: dense ones, windows and their reads, predictors.
    package let memoryBytes: Int
    package let weightBytes: Int
    package let run: BenchmarkRun
    /// Of predicted rows. Of neurons that fire, those that were not computed; of those that do not,
    /// those that were.
    package let missed: Double?
    package let superfluous: Double?
}

/// Measures the rows.
package struct Ladder {
    private let path: String
    /// The same model packed without bundles: what the first two rows read.
    private let wholePath: String
    private let options: ModelOptions
    private let plan: BenchmarkPlan

    /// - Parameters:
    ///   - plan: with `tokens`.
    ///   - options: with a limit for everything.
    package init(
        path: String, wholePath: String, options: ModelOptions, plan: BenchmarkPlan
    ) {
        precondition(plan.tokens != nil, "tokens that all rows get")
        self.path = path
        self.wholePath = wholePath
        self.options = options
        self.plan = plan
    }

    /// The rows that the model allows: those after `exact_window` need predictors beside it.
    ///
    /// - Parameter onProgress: told the share of the rows that are done, 0...1.
    /// - Throws: `LoadError`, also when weights cannot be read.
    package func run(
        onProgress: (Double) -> Void = { _ in }
    ) throws(LoadError) -> [LadderRow] {
        var rows: [LadderRow] = []
        var truth = FiringRecord()
        for step in LadderStep.allCases {
            let options = try options(for: step)
            let model = try ModelInstance(
                path: step.readsWhole ? wholePath : path, options: options)
            // Without predictors, or where all of it fits.
            if !step.readsWhole && model.plan.sparse?.mode != options.sparse { break }
            rows.append(try measure(step, model, &truth))
            onProgress(Double(rows.count) / Double(LadderStep.allCases.count))
        }
        return rows
    }

    private func options(for step: LadderStep) throws(LoadError) -> ModelOptions {
        var options = options
        options.measuring.keepsNeuronWindows = [.exactWindow, .window, .bundling].contains(step)
        options.measuring.readsNeuronsApart = [.predictor, .window].contains(step)
        switch step {
        case .naive:
            options.sparse = .off
            options.memoryBytesMax = try Self.leastBytes(wholePath, options)
        case .half: options.sparse = .off
        case .exact, .exactWindow: options.sparse = .exact
        case .predictor, .window, .bundling: options.sparse = .predicted
        }
        return options
    }

    /// The least limit that works: nothing stays then.
    private static func leastBytes(_ path: String, _ options: ModelOptions) throws(LoadError) -> Int
    {
        var options = options
        options.memoryBytesMax = 1
        do throws(LoadError) {
            return try ModelInstance.division(path: path, options: options).budget.sumBytes
        } catch .budget(let error) {
            return error.needed.sumBytes
        }
    }

    private func measure(
        _ step: LadderStep, _ model: ModelInstance, _ truth: inout FiringRecord
    ) throws(LoadError) -> LadderRow {
        model.pinComputingThread()
        let record = FiringRecorder(model, truth)
        record.listen(step)
        defer { record.stop() }
        let run: BenchmarkRun
        do throws(ReadFailure) {
            run = try Benchmark(model: model, plan: plan).runOnce()
        } catch {
            throw .read(error)
        }
        truth = record.truth
        return LadderRow(
            step: step, memoryBytes: model.budget.limitBytes,
            weightBytes: model.budget.sumBytes(of: Division.weightTerms), run: run,
            missed: record.missed, superfluous: record.superfluous)
    }
}

extension LadderStep {
    /// Whether it reads layers as a whole.
    package var readsWhole: Bool { self == .naive || self == .half }
}

extension Ladder {
    /// A limit with which weights have half of the memory that all of them would take: predicted
    /// ones where there are predictors, else those of exact decoding.
    ///
    /// - Throws: `LoadError` when the model cannot be opened, or needs more than that.
    package static func halfBytes(
        path: String, wholeBytes: Int, options: ModelOptions
    ) throws(LoadError) -> Int {
        var options = options
        options.sparse = .predicted
        options.onNotice = { _ in }
        var low = try leastBytes(path, options)
        var high = low + wholeBytes
        // Predictors that cannot be used leave neurons to be read whole.
        options.memoryBytesMax = low
        if try ModelInstance.division(path: path, options: options).plan.sparse == nil {
            options.sparse = .exact
            low = try leastBytes(path, options)
        }
        while high - low > 1 << 16 {
            let middle = low + (high - low) / 2
            options.memoryBytesMax = middle
            let budget = try ModelInstance.division(path: path, options: options).budget
            if budget.sumBytes(of: Division.weightTerms) > wholeBytes / 2 {
                high = middle
            } else {
                low = middle
            }
        }
        return low
    }
}
