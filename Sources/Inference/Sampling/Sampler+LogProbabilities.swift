// What the model thought of a token, for clients that ask: natural-log probabilities before
// penalties, truncation and temperature.

package import ModelFormat

extension Sampler {
    /// Stands for minus infinity, which JSON cannot carry.
    package static let logProbabilityMin: Float = -9999

    /// The log-probability of one token and of the likeliest ones.
    package struct LogProbabilities: Sendable, Equatable {
        package struct Entry: Sendable, Equatable {
            package let token: TokenID
            package let logProbability: Float
        }

        package var chosen: Float
        /// The likeliest first, the lowest token first between equals.
        package var alternatives: [Entry]
    }

    /// Log-probabilities of the chosen token and of the `topCount` likeliest.
    ///
    /// - Parameter logits: one for each token, as the model gave them. NaN counts as minus
    ///   infinity.
    /// - Returns: at most `topCount` alternatives: those with a finite logit.
    /// - Precondition: `token` is in the vocabulary, `topCount` is not negative.
    package static func logProbabilities(
        of token: TokenID, topCount: Int, in logits: Span<Float>
    ) -> LogProbabilities {
        precondition(topCount >= 0, "a count is not negative")
        let normalizer = logSum(logits)
        func logProbability(_ logit: Float) -> Float {
            guard logit > -.infinity, let normalizer else { return logProbabilityMin }
            let finite = Double(min(logit, .greatestFiniteMagnitude))
            return max(Float(finite - normalizer), logProbabilityMin)
        }
        let count = min(topCount, logits.count)
        var heap = CandidateHeap(capacity: count)
        if count > 0 {
            for index in logits.indices where logits[index] > -.infinity {
                heap.offer(CandidateHeap.Candidate(logit: logits[index], token: Int32(index)))
            }
        }
        heap.makeLikeliestFirst()
        var alternatives: [LogProbabilities.Entry] = []
        var remaining = heap.count
        while remaining > 0 {
            let candidate = heap[0]
            alternatives.append(
                LogProbabilities.Entry(
                    token: TokenID(rawValue: candidate.token),
                    logProbability: logProbability(candidate.logit)))
            remaining = heap.moveLikeliestBehind(remaining)
        }
        return LogProbabilities(
            chosen: logProbability(logits[token.index]), alternatives: alternatives)
    }

    /// The logarithm of the sum of exponentials; nil when no logit is finite.
    private static func logSum(_ logits: Span<Float>) -> Double? {
        var largest = -Float.infinity
        for index in logits.indices where logits[index] > largest { largest = logits[index] }
        guard largest > -.infinity else { return nil }
        let top = Double(min(largest, .greatestFiniteMagnitude))
        var sum = 0.0
        for index in logits.indices where logits[index] > -.infinity {
            let logit = Double(min(logits[index], .greatestFiniteMagnitude))
            sum += PortableMath.exponential(logit - top)
        }
        return top + PortableMath.naturalLogarithm(sum)
    }
}
