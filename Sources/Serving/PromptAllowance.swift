// How many tokens of prompts a step computes beside answers under way, so that these go on without
// a noticeable pause (stall-free batching: Sarathi-Serve, arXiv 2403.02310, section 4.3). The paper
// profiles a machine once for the largest step that meets a deadline; here steps are measured as
// they are made, for each model that is open: what they cost depends on its drive and its cache.

/// How many tokens of prompts may ride along.
package struct PromptAllowance: Sendable {
    /// A step with tokens of prompts takes at most so many times as long as one without.
    static let stretchMax = 2.0
    /// Before anything was measured, and the fewest: what kernels compute together anyway.
    private static let tokensMin = 16
    /// The share of a new measurement.
    private static let weight = 0.25

    /// As many as the profile says; nil follows what was measured.
    private let fixedTokens: Int?
    /// Of a step of answers alone.
    private var answersNanoseconds: Double?
    /// That a prompt's token adds to such a step.
    private var tokenNanoseconds: Double?

    /// - Parameter fixedTokens: as many as the profile says; nil follows what is measured.
    package init(fixedTokens: Int? = nil) { self.fixedTokens = fixedTokens }

    /// Tokens of prompts in a step with answers, at most `most`.
    package func tokens(atMost most: Int) -> Int {
        if let fixedTokens { return min(fixedTokens, most) }
        guard let answersNanoseconds, let tokenNanoseconds, tokenNanoseconds > 0 else {
            return min(Self.tokensMin, most)
        }
        let allowed = (Self.stretchMax - 1) * answersNanoseconds / tokenNanoseconds
        if allowed >= Double(most) { return most }
        let tokens = Int(allowed) / Self.tokensMin * Self.tokensMin
        return min(most, max(Self.tokensMin, tokens))
    }

    /// Learns from a step that took so long.
    package mutating func record(answers: Int, promptTokens: Int, nanoseconds: UInt64) {
        let time = Double(nanoseconds)
        if answers > 0, promptTokens == 0 {
            Self.learn(time, &answersNanoseconds)
        } else if answers > 0, let answersNanoseconds {
            let added = max(0, time - answersNanoseconds) / Double(promptTokens)
            Self.learn(added, &tokenNanoseconds)
        } else if answers == 0, tokenNanoseconds == nil {
            // More than it adds, where weights are read for it alone; until more is known.
            tokenNanoseconds = time / Double(max(1, promptTokens))
        }
    }

    private static func learn(_ new: Double, _ mean: inout Double?) {
        mean = mean.map { $0 + weight * (new - $0) } ?? new
    }
}
