// Models whose keys and values are codes: how a text is cut into steps, who computes it and whether
// weights are streamed changes no bit; neither do drafts that were wrong.

import FlashStorage
import Inference
import Measurement
import ModelFormat
import Models
import SequenceState
import TestSupport
import Testing

@Suite struct KVFormatTests {
    private static let names = [
        "llama", "gemma3", "qwen3moe", "llama-relu-q8_0", "deepseek2", "gemma4", "gemma4-shared"
    ]
    private static let formats = ["8", "4", "2", "k8v4", "k4v2", "k16v4", "k2v16"]
    private static let tokens = (0..<170).map { TokenID($0 * 7 % 250) }

    private func evaluate(
        _ path: String, _ format: KVFormat, rows: Int,
        _ configure: (inout ModelOptions) -> Void = { _ in }
    ) throws -> Evaluation {
        var options = ModelOptions()
        options.kvFormat = format
        options.logitsRowsMax = rows
        options.contextTokens = 256
        configure(&options)
        let model = try ModelInstance(path: path, options: options)
        return try Evaluator(model: model).evaluate(Self.tokens, generate: 30)
    }

    @Test(arguments: names, formats)
    func stepsThreadsAndBudgetsChangeNothing(name: String, format: String) throws {
        let format = try #require(KVFormat(format))
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            let expected = try evaluate(path, format, rows: 512) { $0.threads = 1 }
            #expect(expected.greedy.count == 30)
            for rows in [1, 8, 50, 64] {
                let found = try evaluate(path, format, rows: rows) {
                    $0.threads = 1 + rows % 2
                    $0.prefillChunkTokens = 8 + rows
                }
                #expect(found == expected, "steps of \(rows) tokens")
            }
            let least = try Fixtures.leastBytes(path) {
                $0.kvFormat = format
                $0.logitsRowsMax = 8
                $0.contextTokens = 256
            }
            #expect(try evaluate(path, format, rows: 8) { $0.memoryBytesMax = least } == expected)
        }
    }

    /// Fewer bits, and about the same; but for Gemma 4, whose scores are not scaled.
    @Test(
        arguments: names.filter { !$0.hasPrefix("gemma4") },
        [("16", Float(0.01)), ("8", 0.05), ("4", 0.3)])
    func numbersStayClose(name: String, width: (format: String, bound: Float)) throws {
        let format = try #require(KVFormat(width.format))
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            let exact = try evaluate(path, KVFormat(.float), rows: 64).logits
            let found = try evaluate(path, format, rows: 64).logits
            let range = (exact.max() ?? 0) - (exact.min() ?? 0)
            let difference = zip(found, exact).map { abs($0 - $1) }.max() ?? .infinity
            #expect(difference > 0 && difference / range < width.bound, "\(difference / range)")
        }
    }

    /// A step over the end of a page whose drafts were wrong from within the page on.
    @Test(arguments: ["16", "8", "4", "2", "k4v2"])
    func wrongDraftsLeaveNothingBehind(format: String) throws {
        let format = try #require(KVFormat(format))
        let model = try Fixtures.model("models/llama.gguf") {
            $0.kvFormat = format
            $0.logitsRowsMax = 16
            $0.contextTokens = 256
        }
        func logits(_ steps: [[Int]], from starts: [Int]) throws -> [Float] {
            let sequence = try #require(model.cache.open(tokensMax: 256))
            defer { model.cache.close(sequence) }
            for (tokens, start) in zip(steps, starts) {
                model.cache.truncate(sequence, to: start)
                let chunk = SequenceChunk(
                    sequence: sequence, tokens: tokens.map { TokenID($0) }, firstPosition: start,
                    logits: .last)
                try model.transformer.forward(StepPlan(chunks: [chunk]))
            }
            return model.transformer.withLogits(row: 0) { row in row.indices.map { row[$0] } }
        }
        let text = (0..<150).map { $0 * 7 % 250 }
        let expected = try logits([text], from: [0])
        for (end, right) in [(60, 62), (63, 64), (64, 65), (126, 127), (120, 131)] {
            let wrong = Array(text[end..<right]) + Array(repeating: 9, count: 14 - (right - end))
            let steps = [Array(text[..<end]), wrong, Array(text[right...])]
            #expect(try logits(steps, from: [0, end, right]) == expected, "\(end), \(right)")
        }
    }
}
