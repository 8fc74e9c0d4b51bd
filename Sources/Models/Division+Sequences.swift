// How many texts may be worked on at once where nobody says: they share pages and weights, so that
// each further one costs little.

internal import AnswerParsing
internal import Inference
internal import Memory
internal import SequenceState
internal import Tokenization

extension DivisionProblem {
    /// At most so many where nobody asked: what a pass over weights computes for all of them grows.
    private static let sequencesWelcome = 4
    /// What those beyond the first take together is at most this share of the limit.
    private static let sequencesShareDivisor = 64

    /// So many texts at once: each has a row of logits.
    mutating func serve(_ count: Int) {
        sequencesMax = count
        wishes.logitsRowsMax = max(wishes.logitsRowsMax, count)
    }

    /// As many texts at once as cost little.
    var sequencesAffordable: Int {
        let bytes = sequenceBytes(contextTokens: min(contextTokensMost, Division.contextTokensMin))
        let affordable = share.limitBytes / Self.sequencesShareDivisor / max(1, bytes)
        return min(Self.sequencesWelcome, 1 + affordable)
    }

    /// What one more text at once takes, beside the pages of its keys and values.
    private func sequenceBytes(contextTokens: Int) -> Int {
        let vocabularySize = model.tokenizer.tokenCount
        let answer =
            model.dividesAnswers ? CallLimits.bytesMax(contextTokens: contextTokens) : 0
        let logits = vocabularySize * MemoryLayout<Float>.stride
        return answer + logits
            + Sampler.bytesMax(vocabularySize: vocabularySize, contextTokens: contextTokens)
            + layout.sequenceBytes
    }
}
