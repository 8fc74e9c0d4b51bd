// The door to batching: sequences computed in one step give the bits that each gives alone.

import Inference
import ModelFormat
import Models
import SequenceState
import Testing

@Suite struct BatchTests {
    @Test(arguments: [
        "qwen3moe", "llama-q8_0", "qwen2moe", "gemma3", "deepseek2", "gemma4", "gemma4-shared",
        "opt"
    ])
    func sequencesTogetherEqualEachAlone(name: String) throws {
        let model = try Fixtures.model("models/\(name).gguf") {
            $0.isResident = true
            $0.logitsRowsMax = 2
            $0.contextTokens = 256
        }
        let texts = [[5, 9, 2, 77, 31], [40, 3, 3, 8, 100, 101, 102, 12]]
        let alone = try texts.map { try logits(model, [$0])[0] }
        #expect(try logits(model, texts) == alone)
        #expect(try logits(model, texts.reversed()) == alone.reversed())
    }

    /// A ring of a window's pages gives the bits of pages that all stay.
    @Test func ringsEqualWholeSequences() throws {
        let tokens = (0..<400).map { TokenID($0 * 7 % 250) }
        var results: [[Float]] = []
        for tokensAtOnceMax in [8, 64, 512] {
            let model = try Fixtures.model("models/gemma3.gguf") {
                $0.isResident = true
                $0.logitsRowsMax = 1
                $0.contextTokens = 400
                $0.prefillChunkTokens = tokensAtOnceMax
            }
            let isRing = model.cache.layout.ringPages.contains { $0.map { $0 < 7 } ?? false }
            #expect(isRing == (tokensAtOnceMax < 512))
            let sequence = try #require(model.cache.open(tokensMax: tokens.count))
            for first in stride(from: 0, to: tokens.count, by: model.prefillChunkTokens) {
                let end = min(first + model.prefillChunkTokens, tokens.count)
                let chunk = SequenceChunk(
                    sequence: sequence, tokens: Array(tokens[first..<end]), firstPosition: first,
                    logits: end == tokens.count ? .last : .none)
                try model.transformer.forward(StepPlan(chunks: [chunk]))
            }
            results.append(
                model.transformer.withLogits(row: 0) { logits in
                    logits.indices.map { logits[$0] }
                })
        }
        #expect(results[0] == results[1] && results[1] == results[2])
    }

    /// Each text's prompt but the last token in one step, then all last tokens in one step.
    private func logits(_ model: ModelInstance, _ texts: [[Int]]) throws -> [[Float]] {
        let sequences = try texts.map {
            try #require(model.cache.open(tokensMax: $0.count), "no pages for \($0.count) tokens")
        }
        defer { for sequence in sequences { model.cache.close(sequence) } }
        let prompts = zip(texts, sequences).map { text, sequence in
            SequenceChunk(
                sequence: sequence, tokens: text.dropLast().map { TokenID($0) }, firstPosition: 0,
                logits: .none)
        }
        let lasts = zip(texts, sequences).map { text, sequence in
            SequenceChunk(
                sequence: sequence, tokens: text.suffix(1).map { TokenID($0) },
                firstPosition: text.count - 1, logits: .last)
        }
        try model.transformer.forward(StepPlan(chunks: prompts))
        try model.transformer.forward(StepPlan(chunks: lasts))
        return texts.indices.map { row in
            model.transformer.withLogits(row: row) { logits in logits.indices.map { logits[$0] } }
        }
    }
}
