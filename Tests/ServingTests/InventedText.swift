// A model as an invented rule, and its KV cache as an array: what tests of sessions and of the
// scheduler compute instead of weights.

import GenerationAPI
import Inference
import ModelFormat
import SequenceState
import Serving
import TestSupport
import Tokenization

/// Which token follows a text: mostly the same after the same two tokens, so that drafts are often
/// right and sometimes wrong.
struct InventedText {
    let seed: UInt64
    /// The tokens that it is made of.
    let alphabet: [TokenID]
    /// What ends a text, where it does.
    let ending: TokenID

    init(seed: UInt64, tokenizer: Tokenizer) throws {
        let all = (0..<tokenizer.tokenCount).map { TokenID($0) }
        guard let ending = all.first(where: tokenizer.isEndOfGeneration) else {
            throw NoEnding()
        }
        self.seed = seed
        self.ending = ending
        alphabet = Array(all.filter { !tokenizer.isEndOfGeneration($0) }.prefix(7))
    }

    struct NoEnding: Error {}

    func next(after text: [TokenID]) -> TokenID {
        let isOdd = text.count % 11 == 0
        var state = seed ^ (isOdd ? UInt64(text.count) << 32 : 0)
        for token in text.suffix(2) { state = state &* 1_000_003 &+ UInt64(token.rawValue) }
        var random = SplitMix(seed: state)
        if isOdd, Int.random(in: 0..<8, using: &random) == 0 { return ending }
        return alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
    }

    /// What generating one token after the other gives.
    func generated(after prompt: [TokenID], tokensMax: Int) -> (
        tokens: [TokenID], reason: FinishReason
    ) {
        var text = prompt
        while true {
            let token = next(after: text)
            if token == ending { return (Array(text[prompt.count...]), .stop) }
            text.append(token)
            if text.count - prompt.count == tokensMax {
                return (Array(text[prompt.count...]), .length)
            }
        }
    }

    func prompt(_ random: inout SplitMix) -> [TokenID] {
        (0..<Int.random(in: 1...40, using: &random)).map { _ in
            alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
        }
    }
}

/// A sequence's KV cache: the token at each position.
struct InventedCache {
    private var tokens: [TokenID?] = []

    /// Computes a chunk, and samples as the engine does.
    ///
    /// - Returns: whether every position before the chunk's had been computed.
    mutating func compute(
        _ chunk: SequenceChunk, of session: Session, _ text: InventedText, vocabularySize: Int
    ) -> Bool {
        guard chunk.firstPosition <= tokens.count else { return false }
        tokens.removeSubrange(chunk.firstPosition...)
        tokens += chunk.tokens
        session.advance(chunk)
        let first = tokens.count - chunk.logitsRowCount
        for end in first..<tokens.count {
            var logits = [Float](repeating: 0, count: vocabularySize)
            logits[text.next(after: tokens[...end].compactMap { $0 }).index] = 1
            guard session.sample(logits.span) else { break }
        }
        return true
    }
}

extension InventedText {
    /// A session that reports each of its tokens to `answer`.
    func session(
        id: Int, prompt: [TokenID], tokensMax: Int, drafts: Bool, tokenizer: Tokenizer,
        stopStrings: [String] = [], answer: Answer
    ) throws -> Session {
        var order = GenerationOrder(prompt: .tokens(prompt), client: ClientID(rawValue: 1))
        order.alternativesReported = 0
        order.stopStrings = stopStrings
        let sampler = try Sampler(
            .greedy, vocabularySize: tokenizer.tokenCount, contextTokens: 512)
        let admission = Admission(
            order: order, prompt: prompt, sequence: SequenceID(rawValue: id), sampler: sampler,
            tokensMax: tokensMax, contextTokens: 512, submittedNanoseconds: 0,
            draftWindowTokens: drafts ? 512 : nil)
        return Session(id: id, admission, tokenizer: tokenizer) { answer.add($0) }
    }
}

extension Answer {
    /// The tokens that were reported.
    var tokens: [TokenID] {
        events.reduce(into: []) { tokens, event in
            guard case .text(_, let reports) = event else { return }
            tokens += reports.map(\.chosen.token)
        }
    }
}
