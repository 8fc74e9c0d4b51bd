// Every read of a short evaluation goes wrong once, in every way: the answer is the same or there
// is one clean error, and afterwards the same model computes as if nothing had been.

import FlashStorage
import Glibc
import Knobs
import Measurement
import ModelFormat
import Models
import TestSupport
import Testing

@Suite struct FaultTests {
    static let models = ["qwen3moe", "llama-q4_0", "qwen2moe"]
    static let tokens = [3, 1, 4, 1, 5].map { TokenID($0) }

    @Test(arguments: models) func passingFaultsChangeNothing(name: String) throws {
        try withModel(name) { model, script in
            let (baseline, reads) = try self.baseline(model, script)
            for fault in [StorageFault.error(EINTR), .error(EAGAIN), .short] {
                for index in 0..<reads {
                    script.arm(fault, at: index)
                    #expect(try evaluate(model) == baseline, "\(fault) at read \(index)")
                }
            }
        }
    }

    @Test(arguments: models) func lastingFaultsEndTheRequestAlone(name: String) throws {
        try withModel(name) { model, script in
            let (baseline, reads) = try self.baseline(model, script)
            for fault in [StorageFault.error(EIO), .endOfFile, .flippedBit] {
                var failures = 0
                for index in 0..<reads {
                    script.arm(fault, at: index)
                    failures += fails(model, baseline, "\(fault) at read \(index)") ? 1 : 0
                    #expect(script.hasFired)
                    script.arm(nil)
                    #expect(try evaluate(model) == baseline, "after \(fault) at read \(index)")
                }
                // The rest were made for a pass that had not begun, and tried again.
                #expect(failures > reads / 3)
            }
        }
    }

    @Test(arguments: models) func brokenDriveIsNoLongerBrokenWhenItWorks(name: String) throws {
        try withModel(name) { model, script in
            let (baseline, reads) = try self.baseline(model, script)
            for index in stride(from: 0, to: reads, by: 3) {
                script.arm(.error(EIO), at: index, count: 1000)
                _ = fails(model, baseline, "from read \(index) on")
                #expect(fails(model, baseline, "still broken"))
                script.arm(nil)
                #expect(try evaluate(model) == baseline, "after a break at read \(index)")
            }
        }
    }

    /// A drive that does not answer ends the request within the time allowed; once it answers
    /// again the model computes as before.
    @Test(arguments: models) func stalledDriveEndsTheRequest(name: String) throws {
        // Far above what a busy machine's own pauses take.
        let limit: UInt64 = 1_000_000_000
        try withModel(name, stallNanosecondsMax: limit) { model, script in
            let (baseline, reads) = try self.baseline(model, script)
            script.arm(.stall(nanoseconds: 3 * limit), at: reads / 2)
            #expect(fails(model, baseline, "stalled"))
            script.arm(nil)
            while fails(model, baseline, "still stalled") {}
            #expect(try evaluate(model) == baseline, "after a stall")
        }
    }

    @Test(arguments: models) func faultsWhileOpening(name: String) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            let script = FaultScript()
            var options = try Self.options(script, path)
            options.memoryBytesMax = nil
            options.isResident = true
            _ = try ModelInstance(path: path, options: options)
            for index in 0..<script.reads {
                for fault in [StorageFault.error(EIO), .endOfFile, .flippedBit] {
                    script.arm(fault, at: index)
                    do {
                        _ = try ModelInstance(path: path, options: options)
                        Issue.record("opened in spite of \(fault) at read \(index)")
                    } catch LoadError.read(let failure) {
                        #expect(failure.file == path)
                    }
                }
            }
        }
    }

    /// What was read right once is trusted, unless every read is to be compared.
    @Test func laterFlipsAreCaughtOnlyWhenAsked() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama-q4_0.gguf") { path in
            let script = FaultScript()
            var options = try Self.options(script, path)
            options.verification = .first
            let model = try ModelInstance(path: path, options: options)
            let (_, reads) = try baseline(model, script)
            var caught = 0
            for index in 0..<reads {
                script.arm(.flippedBit, at: index)
                if (try? evaluate(model)) == nil { caught += 1 }
            }
            // Embeddings are compared on every read; weights no more.
            #expect(caught > 0 && caught < reads)
        }
    }

    /// A model under the least budget, so that nearly everything is read again and again.
    private func withModel(
        _ name: String, stallNanosecondsMax: UInt64 = FlashOptions.stallNanosecondsDefault,
        _ body: (ModelInstance, FaultScript) throws -> Void
    ) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            let script = FaultScript()
            var options = try Self.options(script, path)
            options.flash.stallNanosecondsMax = stallNanosecondsMax
            try body(try ModelInstance(path: path, options: options), script)
        }
    }

    private static func options(_ script: FaultScript, _ path: String) throws -> ModelOptions {
        var options = ModelOptions()
        options.threads = 1
        options.contextTokens = 64
        options.logitsRowsMax = 8
        options.memoryBytesMax = try Fixtures.leastBytes(path) { $0 = options }
        options.verification = .always
        options.flash.interposer = { FaultyQueue($0, arena: $1, script: script) }
        return options
    }

    /// The result without faults, and how many reads it takes once the cache is in its steady
    /// state.
    private func baseline(
        _ model: ModelInstance, _ script: FaultScript
    ) throws -> (Evaluation, reads: Int) {
        _ = try evaluate(model)
        script.arm(nil)
        let baseline = try evaluate(model)
        let reads = script.reads
        try #require(reads > 10, "the budget must be small enough to stream")
        return (baseline, reads)
    }

    private func evaluate(_ model: ModelInstance) throws -> Evaluation {
        try Evaluator(model: model).evaluate(Self.tokens, generate: 3)
    }

    /// Whether the evaluation ends with a proper error. What failed while it was read ahead for the
    /// next pass is read again when that pass begins; then the answer must be the right one.
    private func fails(_ model: ModelInstance, _ baseline: Evaluation, _ what: String) -> Bool {
        do {
            #expect(try evaluate(model) == baseline, "\(what)")
            return false
        } catch EvaluationError.read(let failure) {
            #expect(failure.file == model.path, "\(what)")
            let isStall = failure.description.contains("has not answered")
            #expect(
                isStall || failure.description.contains("at byte"), "\(what): \(failure)")
        } catch {
            Issue.record("\(what): \(error)")
        }
        return true
    }
}
