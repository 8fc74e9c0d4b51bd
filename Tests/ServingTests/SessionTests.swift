// One generation's books: its chunks, drafts and end, against generating one token after the other.

import GenerationAPI
import Inference
import Knobs
import ModelFormat
import Models
import SequenceState
import Serving
import TestSupport
import Testing
import Tokenization

@Suite struct SessionTests {
    private let tokenizer: Tokenizer

    init() throws {
        tokenizer = try Fixtures.model("models/llama.gguf") { $0.isResident = true }.tokenizer
    }

    @Test func aPromptComesInChunksAndThenTokenByToken() throws {
        let text = try InventedText(seed: 1, tokenizer: tokenizer)
        let answer = Answer()
        let prompt = (0..<5).map { text.alphabet[$0] }
        let session = try text.session(
            id: 3, prompt: prompt, tokensMax: 4, drafts: false, tokenizer: tokenizer,
            answer: answer)
        let first = session.nextChunk(tokensMax: 3)
        #expect(first.tokens == Array(prompt[..<3]) && first.firstPosition == 0)
        #expect(first.logits == .none && first.sequence == SequenceID(rawValue: 3))
        session.advance(first)
        let second = session.nextChunk(tokensMax: 3)
        #expect(second.tokens == Array(prompt[3...]) && second.firstPosition == 3)
        #expect(second.logits == .last && !session.isDecoding)
        session.advance(second)
        #expect(!sample(text.alphabet[2], session))
        let third = session.nextChunk(tokensMax: 3)
        #expect(session.isDecoding && third.tokens == [text.alphabet[2]])
        #expect(third.firstPosition == 5 && third.logits == .last)
        #expect(session.statistics.promptTokens == 5 && session.statistics.generatedTokens == 1)
        #expect(answer.finalCount == 0 && answer.tokens == [text.alphabet[2]])
    }

    @Test func thereIsOneLastEvent() throws {
        let text = try InventedText(seed: 1, tokenizer: tokenizer)
        let answer = Answer()
        let session = try text.session(
            id: 0, prompt: [text.alphabet[0]], tokensMax: 9, drafts: false, tokenizer: tokenizer,
            answer: answer)
        session.advance(session.nextChunk(tokensMax: 1))
        #expect(!sample(text.ending, session))
        #expect(session.isFinished && answer.reason == .stop && answer.tokens.isEmpty)
        session.fail(GenerationError(.cancelled, "late"))
        session.finish(.length)
        #expect(answer.finalCount == 1 && answer.reason == .stop)
        #expect(answer.statistics?.generatedTokens == 0)
    }

    @Test func aStopStringEndsTheTextBeforeIt() throws {
        let text = try InventedText(seed: 1, tokenizer: tokenizer)
        let letters = try "abc".map { try #require(tokenizer.token(String($0))) }
        let answer = Answer()
        let session = try text.session(
            id: 0, prompt: [letters[0]], tokensMax: 9, drafts: false, tokenizer: tokenizer,
            stopStrings: ["bc"], answer: answer)
        for token in letters {
            session.advance(session.nextChunk(tokensMax: 1))
            _ = sample(token, session)
        }
        #expect(answer.text == "a" && answer.reason == .stop && session.isFinished)
    }

    /// However a prompt is cut and whatever is drafted, a text is what one token after the other
    /// gives.
    @Test(arguments: [false, true]) func randomTextsEqualOneTokenAtATime(drafts: Bool) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        var accepted = 0
        for round in 0..<40 {
            let text = try InventedText(seed: random.next(), tokenizer: tokenizer)
            let prompt = text.prompt(&random)
            let tokensMax = Int.random(in: 1...80, using: &random)
            let answer = Answer()
            let session = try text.session(
                id: round, prompt: prompt, tokensMax: tokensMax, drafts: drafts,
                tokenizer: tokenizer, answer: answer)
            try run(session, text, &random, "seed \(seed), round \(round)")
            let expected = text.generated(after: prompt, tokensMax: tokensMax)
            #expect(answer.tokens == expected.tokens, "seed \(seed), round \(round)")
            #expect(answer.reason == expected.reason && answer.finalCount == 1, "seed \(seed)")
            let statistics = try #require(answer.statistics)
            #expect(statistics.generatedTokens == expected.tokens.count, "seed \(seed)")
            #expect(statistics.acceptedTokens <= statistics.draftedTokens, "seed \(seed)")
            accepted += statistics.acceptedTokens
        }
        #expect((accepted > 0) == drafts, "seed \(seed)")
    }

    private func run(
        _ session: Session, _ text: InventedText, _ random: inout SplitMix, _ what: String
    ) throws {
        var cache = InventedCache()
        var control = SpeculationControl(policy: .upTo(8), draftsMax: 8)
        for _ in 0..<1000 where !session.isFinished {
            let size = Int.random(in: 0...9, using: &random)
            let chunk =
                session.isDecoding
                ? session.nextChunk(draftsMax: size, &control)
                : session.nextChunk(tokensMax: size + 1)
            #expect(chunk.tokens.count <= size + 1, "\(what)")
            let isWhole = cache.compute(
                chunk, of: session, text, vocabularySize: tokenizer.tokenCount)
            try #require(isWhole, "\(what): a position was left out")
        }
        #expect(session.isFinished, "\(what)")
    }

    /// Logits after which `token` is chosen.
    private func sample(_ token: TokenID, _ session: Session) -> Bool {
        var logits = [Float](repeating: 0, count: tokenizer.tokenCount)
        logits[token.index] = 1
        return session.sample(logits.span)
    }
}
