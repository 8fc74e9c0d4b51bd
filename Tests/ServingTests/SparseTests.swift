// Neurons fetched one by one: exact decoding gives the bits of reading everything, under any
// budget and whatever fails meanwhile; predicted decoding runs only with predictors that fit.

import FlashStorage
import Glibc
import Knobs
import LinuxSystem
import Measurement
import Memory
import ModelFormat
import Models
import Packing
import TestSupport
import Testing
import Weights

@Suite struct SparseTests {
    static let models = [
        "arcee-q8_0", "llama-relu", "llama-relu-q8_0", "nemotron-q8_0", "nemotron-biases",
        "opt-q8_0"
    ]
    static let tokens = (0..<24).map { TokenID($0 * 7 % 250) }

    @Test(arguments: models) func exactEqualsResident(name: String) throws {
        try Self.withPacked(name) { path in
            var options = ModelOptions()
            options.logitsRowsMax = 8
            options.isResident = true
            let resident = try evaluate(path, options)
            options.isResident = false
            options.sparse = .exact
            let budgets = try Self.budgets(path, options)
            #expect(budgets.count > 4)
            for index in stride(from: 0, to: budgets.count, by: max(1, budgets.count / 5)) {
                options.memoryBytesMax = budgets[index]
                #expect(try evaluate(path, options) == resident, "\(budgets[index]) bytes")
            }
        }
    }

    /// Prompts take memory from windows that decoding has filled, again and again.
    @Test(arguments: models) func promptsFollowDecoding(name: String) throws {
        try Self.withPacked(name) { path in
            var options = ModelOptions()
            options.logitsRowsMax = 8
            options.sparse = .exact
            for bytes in try Self.budgets(path, options) {
                options.memoryBytesMax = bytes
                let model = try ModelInstance(path: path, options: options)
                let evaluator = Evaluator(model: model)
                let first = try evaluator.evaluate(Self.tokens, generate: 16)
                for _ in 0..<3 {
                    #expect(try evaluator.evaluate(Self.tokens, generate: 16) == first)
                }
            }
        }
    }

    /// A reordered file holds the same model.
    @Test(arguments: models) func orderChangesNothing(name: String) throws {
        try Self.withPacked(name) { path in
            var options = ModelOptions()
            options.logitsRowsMax = 8
            options.isResident = true
            let resident = try evaluate(path, options)
            let model = try PackedModel(source: FileByteSource(path: path))
            var random = SplitMix(seed: 7)
            let orders = try #require(model.manifest.neurons).map { record in
                (0..<UInt32(record.count)).shuffled(using: &random)
            }
            let other = path + ".reordered"
            defer { _ = unsafe unlink(other) }
            try NeuronReordering(path: path).write(
                to: other, orders: orders, processID: getpid())
            let reordered = try PackedModel(source: FileByteSource(path: other))
            try PackedVerifier.verify(reordered, source: FileByteSource(path: other))
            #expect(try evaluate(other, options) == resident)
            options.isResident = false
            options.sparse = .exact
            options.memoryBytesMax = try Self.leastBudget(other, options)
            #expect(try evaluate(other, options) == resident)
        }
    }

    @Test(arguments: models) func faultsEndTheRequestAlone(name: String) throws {
        try Self.withPacked(name) { path in
            let script = FaultScript()
            var options = ModelOptions()
            options.threads = 1
            options.logitsRowsMax = 1
            options.prefillChunkTokens = 8
            options.sparse = .exact
            options.verification = .always
            options.flash.interposer = { FaultyQueue($0, arena: $1, script: script) }
            options.memoryBytesMax = try Self.leastBudget(path, options)
            let model = try ModelInstance(path: path, options: options)
            let expected = try Evaluator(model: model).evaluate(Self.tokens, generate: 3)
            script.arm(nil)
            #expect(try Evaluator(model: model).evaluate(Self.tokens, generate: 3) == expected)
            let reads = script.reads
            var failures = 0
            for fault in [StorageFault.error(EIO), .endOfFile, .flippedBit, .short] {
                for index in stride(from: 0, to: reads, by: max(1, reads / 16)) {
                    script.arm(fault, at: index)
                    do {
                        let found = try Evaluator(model: model).evaluate(
                            Self.tokens, generate: 3)
                        #expect(found == expected)
                    } catch EvaluationError.read(let failure) {
                        #expect(failure.file == path)
                        failures += 1
                    }
                    script.arm(nil)
                    #expect(
                        try Evaluator(model: model).evaluate(Self.tokens, generate: 3) == expected,
                        "after \(fault) at read \(index)")
                }
            }
            #expect(failures > 8)
        }
    }

    /// A drive that does not answer for five seconds while neurons are fetched: one clear error for
    /// the request, and once it answers the model computes as before.
    @Test(arguments: ["arcee-q8_0", "llama-relu"])
    func stalledFetchEndsTheRequestAlone(name: String) throws {
        try Self.withPacked(name) { path in
            let script = FaultScript()
            var options = ModelOptions()
            options.threads = 1
            options.logitsRowsMax = 1
            options.prefillChunkTokens = 8
            options.sparse = .exact
            // Far above what a busy machine's own pauses take.
            options.flash.stallNanosecondsMax = 1_000_000_000
            options.flash.interposer = { FaultyQueue($0, arena: $1, script: script) }
            // Nearly all else that decoding needs stays.
            let most: Int = try #require(try Self.budgets(path, options).last)
            options.memoryBytesMax = most
            let model = try ModelInstance(path: path, options: options)
            func evaluate(_ count: Int = 6) throws -> Evaluation {
                try Evaluator(model: model).evaluate(Self.tokens, generate: count)
            }
            func reads(_ count: Int) throws -> Int {
                script.arm(nil)
                _ = try evaluate(count)
                return script.reads
            }
            let expected = try evaluate()
            let middle = (try reads(2) + reads(6)) / 2
            let fetched = model.store.neurons.statistics.reads
            script.arm(.stall(nanoseconds: 5_000_000_000), at: middle)
            do {
                _ = try evaluate()
                Issue.record("a drive that does not answer was waited for")
            } catch EvaluationError.read(let failure) {
                #expect(failure.file == path)
                #expect(failure.cause == .stalled(seconds: 1))
                #expect(failure.description.contains("has not answered for 1.0 s"))
            }
            #expect(script.hasFired)
            #expect(model.store.neurons.statistics.reads > fetched, "not while fetching")
            script.arm(nil)
            // Until the drive answers, requests may fail; they never compute anything else.
            var found: Evaluation?
            while found == nil {
                do {
                    found = try evaluate()
                } catch EvaluationError.read(let failure) {
                    #expect(failure.cause == .stalled(seconds: 1))
                }
            }
            #expect(found == expected)
            #expect(try evaluate() == expected)
        }
    }

    /// Missing, damaged, or another model's predictors: said, and nothing is predicted.
    @Test func predictorsThatCannotBeUsedAreSaid() throws {
        try Self.withPacked("arcee-q8_0") { path in
            var options = ModelOptions()
            options.logitsRowsMax = 8
            options.isResident = true
            let resident = try evaluate(path, options)
            options.isResident = false
            options.sparse = .predicted
            options.memoryBytesMax = try Fixtures.leastBytes(path) { $0.logitsRowsMax = 8 } + 65536
            let beside = NeuronPredictors.path(of: path)
            defer { _ = unsafe unlink(beside) }
            for content in [nil, "nonsense", "SLPREDIC and then nothing"] {
                if let content {
                    let file = try FileDescriptor(path: beside, mode: .create)
                    try file.write(unsafe Array(content.utf8).span.bytes, at: 0)
                }
                let notices = Notices()
                options.onNotice = { notices.add($0) }
                #expect(try evaluate(path, options) == resident)
                let word = content == nil ? "no predictors" : "cannot be used"
                #expect(notices.all.contains { $0.contains(word) }, "\(notices.all)")
            }
        }
    }

    @Test func windowTooSmallNamesWhatWouldDo() throws {
        try Self.withPacked("arcee-q8_0") { path in
            var options = ModelOptions()
            options.sparse = .exact
            options.memoryBytesMax = 1
            do {
                _ = try ModelInstance(path: path, options: options)
                Issue.record("one byte was accepted")
            } catch LoadError.budget(let error) {
                options.memoryBytesMax = error.needed.sumBytes
                #expect(throws: Never.self) { try ModelInstance(path: path, options: options) }
            }
        }
    }

    /// The trained model: exact at several budgets, and what a token reads.
    @Test(.enabled(if: Fixtures.sharedModel("shell-relu2-q8_0.gguf") != nil, "no ../shared/models"))
    func trainedModelReadsLess() throws {
        try Fixtures.withPacked(try #require(Fixtures.sharedModel("shell-relu2-q8_0.gguf"))) {
            path in
            var options = ModelOptions()
            options.logitsRowsMax = 8
            options.contextTokens = 128
            options.isResident = true
            let resident = try evaluate(path, options)
            options.isResident = false
            options.sparse = .exact
            for megabytes in [40, 44, 50, 60] {
                options.memoryBytesMax = megabytes << 20
                #expect(try evaluate(path, options) == resident, "\(megabytes) MiB")
            }
        }
    }

    // MARK: helpers

    private static func withPacked(_ name: String, _ body: (String) throws -> Void) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf", body)
    }

    /// Budgets in which neurons are fetched one by one.
    private static func budgets(_ path: String, _ options: ModelOptions) throws -> [Int] {
        var options = options
        let least = try Fixtures.leastBytes(path) { $0 = options }
        return try stride(from: least, to: least + 4 << 20, by: 16 << 10).filter { bytes in
            options.memoryBytesMax = bytes
            return try ModelInstance.division(path: path, options: options).plan.sparse != nil
        }
    }

    private static func leastBudget(_ path: String, _ options: ModelOptions) throws -> Int {
        let budgets = try budgets(path, options)
        try #require(!budgets.isEmpty, "no budget in which neurons are fetched")
        return budgets[0]
    }

    private func evaluate(_ path: String, _ options: ModelOptions) throws -> Evaluation {
        let model = try ModelInstance(path: path, options: options)
        return try Evaluator(model: model).evaluate(Self.tokens, generate: 12)
    }
}
