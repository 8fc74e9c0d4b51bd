// Texts that are partly on flash, of which each token reads what matters most: all of it is the
// same as in memory, less reads less, and a drive that fails ends one request.

import FlashStorage
import GenerationAPI
import Glibc
import Inference
import Knobs
import LinuxSystem
import Measurement
import ModelFormat
import Models
import SequenceState
import TestSupport
import Testing

@Suite struct ChosenPagesTests {
    private static let tokens = (0..<3_000).map { TokenID($0 * $0 * 7 % 251 % 250) }
    private static let contextTokens = 3_100

    /// - Parameter coldTokensMax: nil has all in memory.
    private func options(
        _ path: String, _ format: KVFormat, coldTokensMax: Int?, rows: Int = 16
    ) throws -> ModelOptions {
        var options = ModelOptions()
        options.threads = 2
        options.isResident = true
        options.kvFormat = format
        options.logitsRowsMax = rows
        options.prefillChunkTokens = rows
        options.contextTokens = Self.contextTokens
        options.measuring.mayExceedContext = true
        guard let coldTokensMax else { return options }
        options.coldTokensMax = coldTokensMax
        let layout = try ModelInstance.division(path: path, options: options).layout
        options.kvBytesMax = layout.withColdSpans(poolBytes: 1, summarizes: true)
            .bytesNeeded(tokens: Self.contextTokens)
        return options
    }

    private func evaluation(
        _ path: String, _ format: KVFormat, coldTokensMax: Int?, rows: Int = 16
    ) throws -> (Evaluation, bytesRead: UInt64) {
        let model = try ModelInstance(
            path: path,
            options: options(path, format, coldTokensMax: coldTokensMax, rows: rows))
        let found = try Evaluator(model: model).evaluate(Self.tokens, generate: 20)
        return (found, model.cache.coldStatistics.bytesRead)
    }

    @Test(arguments: [
        ("llama", "32"), ("llama", "16"), ("gemma3", "32"), ("qwen3moe", "16"), ("llama-q4_k", "4")
    ])
    func allOfThemAreTheSameAndFewerReadLess(name: String, format: String) throws {
        let format = try #require(KVFormat(format))
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            let whole = try evaluation(path, format, coldTokensMax: nil).0
            let all = try evaluation(path, format, coldTokensMax: Self.contextTokens)
            #expect(all.0 == whole)
            let most = try evaluation(path, format, coldTokensMax: 2_048)
            let few = try evaluation(path, format, coldTokensMax: 512)
            #expect(most.0.scoredTokens == whole.scoredTokens)
            #expect(most.0 != whole && few.0 != whole, "nothing was left out")
            // Rows choose for themselves, so pages are read again and again: with few in memory.
            #expect(few.bytesRead < most.bytesRead)
            // What matters most is what is read: more of it comes closer.
            let distances = [most, few].map { abs($0.0.meanLoss - whole.meanLoss) }
            #expect(distances[0] <= distances[1] + 0.002, "\(distances)")
            #expect(distances[1] < 0.2, "\(distances)")
        }
    }

    @Test func whatIsInMemoryIsTold() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama.gguf") { path in
            let options = try options(path, KVFormat(.half), coldTokensMax: 512)
            let told = try ModelInstance(path: path, options: options).summary
            #expect(told.hotTokens > 0 && told.hotTokens < told.contextTokens)
            #expect(told.description.contains("\(told.hotTokens) of them in memory"))
        }
    }

    /// Whether tokens come one by one or together changes nothing but when pages leave memory.
    @Test func drafts() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama.gguf") { path in
            let model = try ModelInstance(
                path: path, options: options(path, KVFormat(.half), coldTokensMax: 512))
            func logits(together count: Int) throws -> [Float] {
                let opened = model.cache.open(tokensMax: Self.contextTokens, summarizes: true)
                let sequence = try #require(opened)
                defer { model.cache.close(sequence) }
                var rest = Self.tokens[..<2_504]
                while !rest.isEmpty {
                    // The prompt reads all; the answer after it chooses, within one page.
                    let isAnswer = rest.startIndex >= 2_500
                    let tokens = rest.prefix(isAnswer ? count : 4)
                    let chunk = SequenceChunk(
                        sequence: sequence, tokens: Array(tokens),
                        firstPosition: rest.startIndex, logits: .last,
                        coldPagesMax: isAnswer ? 8 : nil)
                    try model.transformer.forward(StepPlan(chunks: [chunk]))
                    rest = rest.dropFirst(tokens.count)
                }
                #expect(model.cache.coldPageCount(sequence, layer: 0) > 8)
                return model.transformer.withLogits(row: 0) { row in row.indices.map { row[$0] } }
            }
            let alone = try logits(together: 1)
            #expect(try logits(together: 4) == alone)
            #expect(try logits(together: 2) == alone)
        }
    }

    /// What was computed from parts of a text is no beginning for who reads all of it.
    @Test func whoReadsAllDoesNotGoOnFromIt() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama.gguf") { path in
            var options = try options(path, KVFormat(.half), coldTokensMax: 512, rows: 64)
            options.prefixes = .memory
            let model = try ModelInstance(path: path, options: options)
            func found(_ text: [TokenID], summarizes: Bool) throws -> Int {
                let begun = model.cache.begin(
                    prompt: text, tokensMax: Self.contextTokens, summarizes: summarizes,
                    owner: .user(1))
                let (sequence, found) = try #require(begun)
                for first in stride(from: found.tokenCount, to: text.count, by: 64) {
                    let tokens = Array(text[first..<min(first + 64, text.count)])
                    let chunk = SequenceChunk(
                        sequence: sequence, tokens: tokens, firstPosition: first, logits: .last,
                        coldPagesMax: summarizes ? 8 : nil)
                    try model.transformer.forward(StepPlan(chunks: [chunk]))
                }
                model.cache.finish(sequence, tokens: text, owner: .user(1))
                return found.tokenCount
            }
            let text = Array(Self.tokens[..<2_500])
            let next = text + [5, 6, 7].map { TokenID($0) }
            #expect(try found(text, summarizes: true) == 0)
            #expect(try found(next, summarizes: true) == 2_500)
            // Once more: its summaries go on where a part of it was given up.
            #expect(try found(Array(text[..<1_900]) + next.suffix(5), summarizes: true) >= 1_536)
            #expect(try found(text, summarizes: false) == 0)
            #expect(try found(next, summarizes: false) == 2_500)
            #expect(try found(next, summarizes: true) == 0)
        }
    }

    /// Each read of a page goes wrong in turn.
    @Test(arguments: [StorageFault.error(EIO), .endOfFile, .flippedBit])
    func faultsEndTheRequestAlone(fault: StorageFault) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama.gguf") { path in
            let script = FaultScript()
            var options = try options(path, KVFormat(.half), coldTokensMax: 512, rows: 32)
            options.verification = .always
            let poolBytes = try ModelInstance.division(path: path, options: options).cacheBytes
            options.flash.interposer = {
                $1.byteCount == poolBytes ? FaultyQueue($0, arena: $1, script: script) : $0
            }
            let model = try ModelInstance(path: path, options: options)
            func evaluate() throws(EvaluationError) -> Evaluation {
                let tokens = Array(Self.tokens[..<1_700])
                return try Evaluator(model: model).evaluate(tokens, generate: 2)
            }
            _ = try evaluate()
            script.arm(nil)
            let expected = try evaluate()
            let count = script.reads
            var failures = 0
            let step = max(1, count / 25)
            for index in stride(from: 0, to: count, by: step) {
                script.arm(fault, at: index)
                do throws(EvaluationError) {
                    #expect(try evaluate() == expected, "\(fault) at \(index)")
                } catch {
                    failures += 1
                }
                script.arm(nil)
                #expect(try evaluate() == expected, "after \(fault) at \(index)")
            }
            #expect(failures > count / step / 4, "\(failures) of \(count / step)")
        }
    }
}
