// How many tokens to draft: never many where passes over several tokens cost more than the tokens
// that they bring. Decides; computes nothing, and changes no output (docs/SPECULATION.md).

package import Knobs
package import ModelFormat

/// What a session guesses from: its text, and how often such guesses were right.
package struct Drafting {
    private var trie: DraftTrie
    private var acceptance = DraftAcceptance()

    package init(windowTokens: Int) { trie = DraftTrie(windowTokens: windowTokens) }

    /// Adds a token of the prompt.
    package mutating func read(_ token: TokenID) { trie.append(token) }

    /// Adds a token that was generated, and learns what the trie's guess was worth, drafted or not.
    package mutating func learn(_ token: TokenID) {
        if let guess = trie.drafts(count: 1).first {
            acceptance.record(guess, isRight: guess.token == token)
        }
        trie.append(token)
    }

    /// The next tokens, at most `count`, and the probability that each is right if those before it
    /// are.
    package func drafts(count: Int) -> (tokens: [TokenID], probabilities: [Double]) {
        let drafts = trie.drafts(count: count)
        return (drafts.map(\.token), drafts.map(acceptance.probability))
    }
}

/// How often drafts were right, by how much of the text before them had occurred before.
struct DraftAcceptance {
    /// A guess so many guesses ago counts about a third.
    private static let memory = 32.0
    /// Guesses that the beginning's assumption counts for.
    private static let assumedGuesses = 4.0

    private var guesses = [Double](repeating: assumedGuesses, count: DraftTrie.matchMax + 1)
    private var right: [Double]

    package init() {
        right = (0...DraftTrie.matchMax).map { length in
            Self.assumedGuesses * Double(length) / Double(DraftTrie.matchMax + 1)
        }
    }

    func probability(_ draft: Draft) -> Double {
        right[draft.matchLength] / guesses[draft.matchLength]
    }

    mutating func record(_ draft: Draft, isRight: Bool) {
        let keep = 1 - 1 / Self.memory
        guesses[draft.matchLength] = guesses[draft.matchLength] * keep + 1
        right[draft.matchLength] = right[draft.matchLength] * keep + (isRight ? 1 : 0)
    }
}

/// Decides how many drafts a pass verifies, from what passes took. One for each loaded model.
package struct SpeculationControl: Sendable {
    /// Passes with drafts after which one without them is measured again.
    package static let controlInterval = 64
    /// Passes that were not worth drafts after which a few are tried, doubled each time in vain.
    private static let explorationIntervals = 64...1024
    private static let explorationDrafts = 2

    package let policy: SpeculationPolicy
    /// Most drafts of a pass; 0 is none ever.
    package let draftsMax: Int
    /// A pass over one token, in nanoseconds.
    private var single = RecentMedian()
    /// What each further token of a pass added, in nanoseconds.
    private var further = RecentMedian()
    private var passesSinceSingle = 0
    private var passesNotWorth = 0
    private var explorationInterval = explorationIntervals.lowerBound

    package init(policy: SpeculationPolicy, draftsMax: Int) {
        self.policy = policy
        self.draftsMax = draftsMax
    }

    /// How many drafts to verify.
    ///
    /// - Parameter probabilities: of each offered draft, that it is right if those before it are.
    package mutating func draftCount(_ probabilities: [Double]) -> Int {
        let offered = min(probabilities.count, draftsMax)
        guard offered > 0, policy == .automatic else { return offered }
        guard let singleTime = single.median, passesSinceSingle < Self.controlInterval else {
            return 0
        }
        let count = Self.best(
            probabilities.prefix(offered), single: singleTime,
            further: max(0, further.median ?? 0))
        if count > 0 {
            passesNotWorth = 0
            if further.median != nil { explorationInterval = Self.explorationIntervals.lowerBound }
            return count
        }
        passesNotWorth += 1
        guard passesNotWorth >= explorationInterval else { return 0 }
        passesNotWorth = 0
        explorationInterval = min(
            explorationInterval * 2, Self.explorationIntervals.upperBound)
        // The old times were what spoke against it: the new one alone decides.
        further = RecentMedian()
        return min(offered, Self.explorationDrafts)
    }

    /// The number of drafts that brings most tokens in a nanosecond.
    private static func best(
        _ probabilities: ArraySlice<Double>, single: Double, further: Double
    ) -> Int {
        var (best, bestSpeed) = (0, 1 / max(single, 1))
        var (tokens, reached) = (1.0, 1.0)
        for (index, probability) in probabilities.enumerated() {
            reached *= probability
            tokens += reached
            let speed = tokens / max(single + Double(index + 1) * further, 1)
            if speed > bestSpeed { (best, bestSpeed) = (index + 1, speed) }
        }
        return best
    }

    /// Learns from a pass over one sequence's last token and its drafts.
    package mutating func record(drafts: Int, nanoseconds: UInt64) {
        let time = Double(nanoseconds)
        guard drafts > 0 else {
            single.add(time)
            passesSinceSingle = 0
            return
        }
        passesSinceSingle += 1
        guard let singleTime = single.median else { return }
        further.add((time - singleTime) / Double(drafts))
    }
}

/// The median of the last few values: what one slow read or busy moment does not move.
struct RecentMedian: Sendable {
    private static let valuesMax = 5
    private var values: [Double] = []
    private var next = 0

    var median: Double? {
        values.isEmpty ? nil : values.sorted()[values.count / 2]
    }

    mutating func add(_ value: Double) {
        if values.count < Self.valuesMax {
            values.append(value)
        } else {
            values[next] = value
            next = (next + 1) % Self.valuesMax
        }
    }
}
