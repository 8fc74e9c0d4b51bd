// Texts longer than the memory for their keys and values: what is on flash is read back, to the
// same bits, and a drive that fails ends one request.

import FlashStorage
import Glibc
import Inference
import Knobs
import LinuxSystem
import LinuxSystem
import Measurement
import ModelFormat
import Models
import SequenceState
import TestSupport
import Testing

@Suite struct ColdContextTests {
    /// Layers that see all, and some that do not; experts; neurons; wide heads. Pages on flash are
    /// whole blocks, so that small ones save nothing.
    private static let cases = [
        ("llama", "32"), ("llama", "16"), ("gemma3", "32"), ("qwen3moe", "16"), ("deepseek2", "16"),
        ("gemma4", "16"),
        ("llama-relu-q8_0", "16"), ("llama-q4_k", "8"), ("llama-q4_k", "4"), ("llama-q4_k", "k4v2")
    ]
    private static let tokens = (0..<4_500).map { TokenID($0 * 7 % 250) }
    private static let shortTokens = Array(tokens[..<2_000])
    private static let contextTokens = 4_600

    /// - Parameter rows: tokens that are computed together.
    private func options(
        _ path: String, _ format: KVFormat, rows: Int, isCold: Bool, tokens: Int = contextTokens
    ) throws -> ModelOptions {
        var options = ModelOptions()
        options.threads = 2
        options.isResident = true
        options.kvFormat = format
        options.logitsRowsMax = rows
        options.prefillChunkTokens = rows
        options.contextTokens = tokens
        options.measuring.mayExceedContext = true
        if isCold {
            let layout = try ModelInstance.division(path: path, options: options).layout
            options.kvBytesMax = layout.withColdSpans(poolBytes: 1).bytesNeeded(tokens: tokens)
        }
        return options
    }

    @Test(arguments: cases)
    func whatIsOnFlashComputesTheSame(name: String, format: String) throws {
        let tokens = name == "llama-q4_k" || name == "gemma3" ? Self.tokens : Self.shortTokens
        let format = try #require(KVFormat(format))
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            let whole = try ModelInstance(
                path: path, options: options(path, format, rows: 64, isCold: false))
            let expected = try Evaluator(model: whole).evaluate(tokens, generate: 30)
            for rows in [16, 100] {
                let model = try ModelInstance(
                    path: path, options: options(path, format, rows: rows, isCold: true))
                #expect(model.division.cacheBytes < whole.division.cacheBytes)
                let found = try Evaluator(model: model).evaluate(tokens, generate: 30)
                #expect(found == expected, "\(rows) tokens at once")
                let moved = model.cache.coldStatistics
                #expect(moved.bytesWritten > 0 && moved.bytesRead > 0)
            }
        }
    }

    /// Steps over several layers at a time, whose waves are computed layer by layer.
    @Test func streamedWeightsAndFlashTogether() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/qwen3moe.gguf") { path in
            let half = KVFormat(.half)
            let whole = try ModelInstance(
                path: path, options: options(path, half, rows: 64, isCold: false))
            let expected = try Evaluator(model: whole).evaluate(Self.shortTokens, generate: 20)
            var least = try options(path, half, rows: 8, isCold: true)
            least.isResident = false
            least.memoryBytesMax = try Fixtures.leastBytes(path) { $0 = least }
            let model = try ModelInstance(path: path, options: least)
            let found = try Evaluator(model: model).evaluate(Self.shortTokens, generate: 20)
            #expect(found == expected)
        }
    }

    /// The second of two texts at once has what the first one left; both are right.
    @Test func twoTextsTakeTurns() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama.gguf") { path in
            var options = try options(path, KVFormat(.half), rows: 16, isCold: true)
            // Ten pages of each layer more than the long one needs: for the short one.
            let division = try ModelInstance.division(path: path, options: options)
            options.kvBytesMax = division.cacheBytes + 20 * division.layout.pageBytes
            let model = try ModelInstance(path: path, options: options)
            func logits(_ steps: [(SequenceID, Int)]) throws -> [Float] {
                let chunks = steps.map {
                    SequenceChunk(
                        sequence: $0.0, tokens: [Self.tokens[$0.1]], firstPosition: $0.1,
                        logits: .last)
                }
                try model.transformer.forward(StepPlan(chunks: chunks))
                return model.transformer.withLogits(row: 0) { row in row.indices.map { row[$0] } }
            }
            let long = try #require(model.cache.open(tokensMax: Self.contextTokens))
            #expect(model.cache.open(tokensMax: 900) == nil, "the long one has all pages")
            var alone: [[Float]] = []
            for position in 0..<1500 { alone.append(try logits([(long, position)])) }
            #expect(model.cache.coldSpanCount(long, layer: 0) > 0)
            model.cache.close(long)
            let short = try #require(model.cache.open(tokensMax: 300))
            let other = try #require(model.cache.open(tokensMax: Self.contextTokens))
            for position in 0..<1500 {
                let both = [(other, position)] + (position < 300 ? [(short, position)] : [])
                #expect(try logits(both) == alone[position])
            }
        }
    }

    /// The next turn of a long chat goes on from the last one, whether it begins exactly like it
    /// or is another attempt at the last question; others find nothing.
    @Test(arguments: [("llama", "16"), ("llama-q4_k", "4")])
    func theNextTurnGoesOn(name: String, format: String) throws {
        let format = try #require(KVFormat(format))
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            var options = try options(path, format, rows: 64, isCold: true)
            options.prefixes = .memory
            let model = try ModelInstance(path: path, options: options)
            func answer(
                _ text: [TokenID], by user: UInt32
            ) throws -> (found: FoundPrefix, logits: [Float]) {
                let begun = model.cache.begin(
                    prompt: text, tokensMax: Self.contextTokens, owner: .user(user))
                let (sequence, found) = try #require(begun)
                for first in stride(from: found.tokenCount, to: text.count, by: 64) {
                    let chunk = SequenceChunk(
                        sequence: sequence,
                        tokens: Array(text[first..<min(first + 64, text.count)]),
                        firstPosition: first, logits: .last)
                    try model.transformer.forward(StepPlan(chunks: [chunk]))
                }
                model.cache.finish(sequence, tokens: text, owner: .user(user))
                return (
                    found,
                    model.transformer.withLogits(row: 0) { row in row.indices.map { row[$0] } }
                )
            }
            let turn: [TokenID] = Array(Self.tokens[..<3_000])
            let next = turn + [5, 6, 7, 8, 9].map { TokenID($0) }
            // Another attempt: within what is in memory, and within what is on flash.
            let (again, earlier) = (
                Array(turn[..<2_950]) + next.suffix(5), Array(turn[..<1_900]) + next.suffix(5)
            )
            #expect(try answer(turn, by: 1).found.tokenCount == 0)
            let found = try [next, again, earlier].map { try answer($0, by: 1) }
            #expect(found.map { $0.found.source } == [.flash, .flash, .flash])
            #expect(found[0].found.tokenCount == 3_000)
            #expect((2_880...2_950).contains(found[1].found.tokenCount), "\(found[1].found)")
            #expect((1_536...1_900).contains(found[2].found.tokenCount), "\(found[2].found)")
            for (text, found) in zip([next, again, earlier], found) {
                let expected = try answer(text, by: 2)
                #expect(expected.found.tokenCount == 0, "another user found it")
                #expect(found.logits == expected.logits)
                // Somebody else's, and a short text: what is parked makes room.
                #expect(try answer(Array(text[..<70]), by: 3).found.tokenCount == 0)
            }
        }
    }

    // MARK: drives that fail

    /// A short evaluation under which each read and write of keys and values goes wrong in turn.
    @Test(arguments: [StorageFault.error(EIO), .endOfFile, .flippedBit, .error(ENOSPC)])
    func faultsEndTheRequestAlone(fault: StorageFault) throws {
        try withFaults { model, script in
            let (expected, count) = try baseline(model, script)
            var failures = 0
            for index in 0..<count {
                script.arm(fault, at: index)
                do throws(EvaluationError) {
                    #expect(try evaluate(model) == expected, "\(fault) at \(index)")
                } catch {
                    guard case .read(let failure) = error else {
                        Issue.record("\(error)")
                        continue
                    }
                    failures += 1
                    #expect(failure.file.hasSuffix(".cold"), "\(failure)")
                }
                script.arm(nil)
                #expect(try evaluate(model) == expected, "after \(fault) at \(index)")
            }
            // What nobody wanted any more may fail; and an end of file while writing is no error.
            #expect(failures > count / 4, "\(failures) of \(count)")
        }
    }

    @Test(arguments: [StorageFault.error(EINTR), .short])
    func passingFaultsChangeNothing(fault: StorageFault) throws {
        try withFaults { model, script in
            let (expected, count) = try baseline(model, script)
            for index in 0..<count {
                script.arm(fault, at: index)
                #expect(try evaluate(model) == expected, "\(fault) at \(index)")
            }
        }
    }

    /// What a drive may still write to is not used for pages of another format; once it answers
    /// all is as it was, places included that it did not answer for.
    @Test func nothingChangesUnderAStalledDrive() throws {
        let limit: UInt64 = 1_000_000_000
        try withFaults(stallNanosecondsMax: limit) { model, script in
            let (expected, count) = try baseline(model, script)
            script.arm(.stall(nanoseconds: 4 * limit), at: count / 2)
            #expect(throws: EvaluationError.self) { try self.evaluate(model) }
            #expect(throws: ReadFailure.self) { try model.cache.change(to: KVFormat(.eight)) }
            #expect(model.cache.layout.format == KVFormat(.half))
            script.arm(nil)
            while (try? model.cache.change(to: KVFormat(.eight))) == nil {}
            try model.cache.change(to: KVFormat(.half))
            #expect(try evaluate(model) == expected)
        }
    }

    @Test func aFullFileIsAnError() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama.gguf") { path in
            var options = try options(path, KVFormat(.half), rows: 64, isCold: true)
            options.coldFileBytesMax = 100_000
            let model = try ModelInstance(path: path, options: options)
            do throws(EvaluationError) {
                _ = try Evaluator(model: model).evaluate(Self.tokens, generate: 1)
                Issue.record("more was kept than may be")
            } catch {
                #expect("\(error)".contains("no room is left"), "\(error)")
            }
            let short = try Evaluator(model: model).evaluate(Array(Self.tokens[..<60]), generate: 1)
            #expect(short.greedy.count == 1)
        }
    }

    /// Nothing is left beside the model, not even while it is in use.
    @Test func theFileHasNoName() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama.gguf") { path in
            let options = try options(path, KVFormat(.half), rows: 64, isCold: true)
            // What a process left that was killed at the wrong moment.
            _ = try FileDescriptor(path: path + ".cold", mode: .createNew)
            let model = try ModelInstance(path: path, options: options)
            #expect(!FileSystem.exists(path + ".cold"))
            let short = try Evaluator(model: model).evaluate(Self.tokens, generate: 1)
            #expect(short.greedy.count == 1 && !FileSystem.exists(path + ".cold"))
        }
    }

    @Test func tooLittleMemoryNamesWhatIsNeeded() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama.gguf") { path in
            var options = try options(path, KVFormat(.half), rows: 64, isCold: true)
            options.kvBytesMax = options.kvBytesMax.map { $0 - 1 }
            do throws(LoadError) {
                _ = try ModelInstance(path: path, options: options)
                Issue.record("it was enough")
            } catch {
                guard case .keyValueMemory = error else {
                    Issue.record("\(error)")
                    return
                }
                #expect("\(error)".contains("kv.memory_bytes_max"), "\(error)")
            }
            // All of a short text is in memory, whatever is allowed.
            options.contextTokens = 64
            #expect(try !ModelInstance.division(path: path, options: options).layout.hasColdSpans)
        }
    }

    private func withFaults(
        stallNanosecondsMax: UInt64 = FlashOptions.stallNanosecondsDefault,
        _ body: (ModelInstance, FaultScript) throws -> Void
    ) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama.gguf") { path in
            let script = FaultScript()
            var options = try options(path, KVFormat(.half), rows: 64, isCold: true)
            options.verification = .always
            options.flash.stallNanosecondsMax = stallNanosecondsMax
            let poolBytes = try ModelInstance.division(path: path, options: options).cacheBytes
            // Weights come from a drive that works.
            options.flash.interposer = {
                $1.byteCount == poolBytes ? FaultyQueue($0, arena: $1, script: script) : $0
            }
            try body(try ModelInstance(path: path, options: options), script)
        }
    }

    private func baseline(
        _ model: ModelInstance, _ script: FaultScript
    ) throws -> (Evaluation, count: Int) {
        _ = try evaluate(model)
        script.arm(nil)
        let baseline = try evaluate(model)
        try #require(script.reads > 20 && script.reads < 200, "\(script.reads)")
        return (baseline, script.reads)
    }

    private func evaluate(_ model: ModelInstance) throws(EvaluationError) -> Evaluation {
        try Evaluator(model: model).evaluate(Array(Self.tokens[..<900]), generate: 2)
    }
}
