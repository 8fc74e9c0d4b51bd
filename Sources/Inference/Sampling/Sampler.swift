// Choosing the next token from logits: biases, penalties, top-k, top-p, min-p, temperature, draw,
// in this order. Memory is taken once, at creation; no logit, however strange, is a trap.

package import GenerationAPI
package import ModelFormat

/// One sequence's sampler: its random numbers and the recent tokens that its penalties look at.
///
/// The order is that of llama.cpp's default chain. Greedy (temperature 0) takes the largest logit
/// after penalties, the lowest token on a tie. NaN counts as minus infinity; when no logit is
/// finite, token 0 is chosen. The same parameters, seed, tokens and logits give the same choices on
/// every machine.
package struct Sampler: Sendable {
    /// With the seed that is used, also when none was asked for.
    package let parameters: SamplingParameters
    package let vocabularySize: Int

    /// Never chosen; ascending.
    private let suppressed: [TokenID]
    /// Of other tokens; ascending.
    private let biases: [TokenBias]
    private var random: SamplerRandom
    private var window: PenaltyWindow
    private var candidates: CandidateHeap

    /// - Parameters:
    ///   - contextTokens: the most tokens that are ever accepted; bounds the window of the
    ///     penalties.
    ///   - suppressed: tokens that are never chosen, ascending.
    ///   - biases: what is added to logits, each token once.
    /// - Throws: ``SamplingError`` when a parameter is out of range.
    /// - Precondition: `vocabularySize` is positive and is the count of every span given later.
    package init(
        _ parameters: SamplingParameters, vocabularySize: Int, contextTokens: Int,
        suppressed: [TokenID] = [], biases: [TokenBias] = []
    ) throws(SamplingError) {
        precondition(vocabularySize > 0, "a vocabulary has tokens")
        self.suppressed = suppressed
        let silent = Set(suppressed.map(\.rawValue))
        self.biases = biases.filter {
            !silent.contains($0.token) && (0..<vocabularySize).contains(Int($0.token))
        }.sorted { $0.token < $1.token }
        var parameters = try parameters.validated().bounded(contextTokens: contextTokens)
        let seed = parameters.seed ?? UInt64.random(in: 0...UInt64.max)
        parameters.seed = seed
        self.parameters = parameters
        self.vocabularySize = vocabularySize
        random = SamplerRandom(seed: seed)
        window = PenaltyWindow(
            capacity: parameters.penalizes ? parameters.penaltyWindow : 0,
            vocabularySize: vocabularySize)
        candidates = CandidateHeap(
            capacity: Self.candidateCount(parameters, vocabularySize: vocabularySize))
    }

    /// Bytes that a sampler with valid parameters keeps, for the memory budget.
    package static func bytes(
        _ parameters: SamplingParameters, vocabularySize: Int, contextTokens: Int
    ) -> Int {
        let parameters = parameters.bounded(contextTokens: contextTokens)
        let candidates = candidateCount(parameters, vocabularySize: vocabularySize)
        return candidates * MemoryLayout<CandidateHeap.Candidate>.stride
            + PenaltyWindow.bytes(
                capacity: parameters.penalizes ? parameters.penaltyWindow : 0,
                vocabularySize: vocabularySize)
    }

    /// Bytes of the largest sampler that a request can ask for.
    package static func bytesMax(vocabularySize: Int, contextTokens: Int) -> Int {
        var parameters = SamplingParameters()
        parameters.topK = 0
        parameters.penaltyWindow = contextTokens
        parameters.presencePenalty = 1
        return bytes(parameters, vocabularySize: vocabularySize, contextTokens: contextTokens)
            + TokenBias.countMax * MemoryLayout<TokenBias>.stride
    }

    private static func candidateCount(
        _ parameters: SamplingParameters, vocabularySize: Int
    ) -> Int {
        if parameters.temperature == 0 { return 1 }
        return parameters.topK <= 0 ? vocabularySize : min(parameters.topK, vocabularySize)
    }

    /// Adds a token to what the penalties look at: each of the prompt's, then each one chosen.
    ///
    /// - Precondition: the token is in the vocabulary.
    package mutating func accept(_ token: TokenID) {
        precondition((0..<vocabularySize).contains(token.index), "token outside the vocabulary")
        window.append(token)
    }

    /// Tokens that a choice is made from, at most.
    package var candidatesMax: Int { candidates.capacity }

    /// Chooses the next token. It is not yet accepted.
    ///
    /// - Parameter logits: one for each token of the vocabulary; not changed.
    package mutating func sample(_ logits: Span<Float>) -> TokenID {
        gather(logits) { _ in true }
        return choose() ?? TokenID(0)
    }

    /// Chooses the next token among those that `isAllowed`, as if the others had no probability:
    /// they are left out before anything else is, so that the choice is that of logits in which
    /// theirs are minus infinity. It is asked of those alone that would be candidates.
    ///
    /// - Returns: nil where none is allowed that has any probability.
    package mutating func sample(
        _ logits: Span<Float>, where isAllowed: (TokenID) -> Bool
    ) -> TokenID? {
        gather(logits, where: isAllowed)
        return choose()
    }

    /// The same for the tokens of a list, ascending.
    package mutating func sample(_ logits: Span<Float>, among tokens: [Int32]) -> TokenID? {
        precondition(logits.count == vocabularySize, "one logit for each token")
        beginGathering()
        var silent = suppressed[...]
        var biased = biases[...]
        for token in tokens {
            while let first = silent.first, first.rawValue < token { silent.removeFirst() }
            if silent.first?.rawValue == token { continue }
            guard let logit = logit(Int(token), logits, &biased) else { continue }
            candidates.offer(CandidateHeap.Candidate(logit: logit, token: token))
        }
        return choose()
    }

    /// One of the candidates; nil where there is none.
    private mutating func choose() -> TokenID? {
        guard candidates.count > 0 else { return nil }
        if parameters.temperature == 0 { return TokenID(rawValue: candidates[0].token) }
        return draw(from: truncate())
    }

    private mutating func beginGathering() {
        candidates.removeAll()
        if window.capacity > 0 { window.count() }
    }

    /// A token's logit after biases and penalties; nil for NaN and minus infinity.
    ///
    /// - Parameter biased: those of it and the tokens after it.
    private func logit(
        _ token: Int, _ logits: Span<Float>, _ biased: inout ArraySlice<TokenBias>
    ) -> Float? {
        var logit = logits[token]
        while let first = biased.first, Int(first.token) < token { biased.removeFirst() }
        if let first = biased.first, Int(first.token) == token { logit += first.value }
        if window.capacity > 0 && window.contains(token) { logit = penalized(logit, token) }
        return logit > -.infinity ? min(logit, .greatestFiniteMagnitude) : nil
    }

    /// Fills the candidates with the `topK` largest logits after penalties.
    private mutating func gather(_ logits: Span<Float>, where isAllowed: (TokenID) -> Bool) {
        precondition(logits.count == vocabularySize, "one logit for each token")
        beginGathering()
        var rest = suppressed[...]
        var silent = rest.popFirst()?.index
        var biased = biases[...]
        for token in logits.indices {
            if token == silent {
                silent = rest.popFirst()?.index
                continue
            }
            guard let logit = logit(token, logits, &biased), candidates.takes(logit, token),
                isAllowed(TokenID(rawValue: Int32(token)))
            else { continue }
            candidates.offer(CandidateHeap.Candidate(logit: logit, token: Int32(token)))
        }
    }

    /// Repetition as in CTRL (arXiv 1909.05858), then presence and frequency as OpenAI define them.
    private func penalized(_ logit: Float, _ token: Int) -> Float {
        let scaled =
            logit > 0 ? logit / parameters.repetitionPenalty : logit * parameters.repetitionPenalty
        let count = Float(window.occurrences(of: token))
        return scaled - count * parameters.frequencyPenalty - parameters.presencePenalty
    }

    /// The range of the candidates that top-p and min-p keep. Both keep the likeliest few, so
    /// taking candidates from the likeliest on until either has enough is doing one after the
    /// other.
    private mutating func truncate() -> Range<Int> {
        guard parameters.topP < 1 || parameters.minP > 0 else { return 0..<candidates.count }
        candidates.makeLikeliestFirst()
        let likeliest = Double(candidates[0].logit)
        var target = Double.infinity
        if parameters.topP < 1 {
            var total = 0.0
            for index in 0..<candidates.count {
                total += PortableMath.exponential(Double(candidates[index].logit) - likeliest)
            }
            target = Double(parameters.topP) * total
        }
        var sum = 0.0
        var remaining = candidates.count
        while remaining > 0 {
            let weight = PortableMath.exponential(Double(candidates[0].logit) - likeliest)
            let isFirst = remaining == candidates.count
            // The likeliest always stays, whatever the parameters.
            guard isFirst || (sum < target && weight >= Double(parameters.minP)) else { break }
            sum += weight
            remaining = candidates.moveLikeliestBehind(remaining)
        }
        return remaining..<candidates.count
    }

    /// Draws one of the kept candidates with the probabilities that temperature gives them.
    private mutating func draw(from kept: Range<Int>) -> TokenID {
        let temperature = Double(parameters.temperature)
        var likeliest = -Float.infinity
        for index in kept { likeliest = max(likeliest, candidates[index].logit) }
        var total = 0.0
        for index in kept {
            total += weight(index, likeliest, temperature)
        }
        let target = random.nextUnit() * total
        var sum = 0.0
        var chosen = candidates[kept.lowerBound]
        for index in kept {
            let weight = weight(index, likeliest, temperature)
            guard weight > 0 else { continue }
            chosen = candidates[index]
            sum += weight
            if sum > target { break }
        }
        return TokenID(rawValue: chosen.token)
    }

    private func weight(_ index: Int, _ likeliest: Float, _ temperature: Double) -> Double {
        let distance = Double(candidates[index].logit) - Double(likeliest)
        return PortableMath.exponential(distance / temperature)
    }
}
