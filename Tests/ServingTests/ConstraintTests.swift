// Answers that are held to a grammar: what sessions choose, when they end, what an engine refuses.

import Constraints
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

@Suite struct ConstraintTests {
    private let tokenizer: Tokenizer
    private let library: ConstraintLibrary

    init() throws {
        tokenizer = try Fixtures.model("models/llama.gguf") { $0.isResident = true }.tokenizer
        library = ConstraintLibrary(
            tokenizer, room: ConstraintRoom(tokenizer, limitBytes: 1 << 30))
    }

    private func session(
        _ grammar: String, _ answer: Answer, tokensMax: Int = 50, drafts: Bool = false,
        parameters: SamplingParameters = .greedy
    ) throws -> Session {
        let prompt = [try #require(tokenizer.token("a"))]
        var order = GenerationOrder(prompt: .tokens(prompt), client: ClientID(rawValue: 1))
        order.alternativesReported = 1
        order.output = OutputFormat(.grammar(grammar), parameter: "grammar")
        let constraint = AnswerConstraint(try library.grammar(.grammar(grammar)))
        let admission = Admission(
            order: order, prompt: prompt, constraint: try ConstraintMatcher(constraint),
            sequence: SequenceID(rawValue: 1),
            sampler: try Sampler(
                parameters, vocabularySize: tokenizer.tokenCount, contextTokens: 512),
            tokensMax: tokensMax, contextTokens: 512, submittedNanoseconds: 0,
            draftWindowTokens: drafts ? 512 : nil)
        let session = Session(id: 1, admission, tokenizer: tokenizer) { answer.add($0) }
        session.advance(session.nextChunk(tokensMax: 1))
        return session
    }

    /// Samples from noise until the session ends.
    private func run(_ session: Session, seed: UInt64) {
        var random = SplitMix(seed: seed)
        for _ in 0..<200 where !session.isFinished {
            if session.isDecoding { session.advance(session.nextChunk(tokensMax: 1)) }
            let logits = (0..<tokenizer.tokenCount).map { _ in
                Float(random.next() % 4096) / 256
            }
            _ = session.sample(logits.span)
        }
    }

    @Test func whatIsNotAllowedIsNeverChosen() throws {
        for seed in 0..<20 as Range<UInt64> {
            var everything = SamplingParameters()
            (everything.temperature, everything.topK, everything.topP) = (1.5, 0, 1)
            everything.seed = seed
            let ways: [SamplingParameters] = [.greedy, SamplingParameters(), everything]
            for parameters in ways {
                let answer = Answer()
                run(
                    try session("root ::= [a-c]{3} \"x\"", answer, parameters: parameters),
                    seed: seed)
                #expect(answer.reason == .stop && answer.text.count == 4)
                #expect(answer.text.hasSuffix("x"))
                #expect(answer.text.dropLast().allSatisfy { "abc".contains($0) })
            }
        }
    }

    @Test func probabilitiesAreTheModelsOwn() throws {
        let answer = Answer()
        let session = try session("root ::= \"b\" \"c\"*", answer)
        var logits = [Float](repeating: 0, count: tokenizer.tokenCount)
        let wished = try #require(tokenizer.token("z")).index
        logits[wished] = 100
        _ = session.sample(logits.span)
        guard case .text("b", let reports)? = answer.events.last else {
            Issue.record("\(answer.events)")
            return
        }
        #expect(reports[0].chosen.logProbability < -50)
        #expect(reports[0].alternatives[0].token.index == wished)
    }

    @Test func mostTokensEndAnAnswerAsUsual() throws {
        let answer = Answer()
        run(try session("root ::= \"a\"+ \"b\"", answer, tokensMax: 1), seed: 3)
        #expect(answer.reason == .length)
        let whole = Answer()
        let letter = try session("root ::= \"b\"", whole, tokensMax: 1)
        run(letter, seed: 3)
        #expect(whole.reason == .stop && whole.text == "b")
    }

    @Test func theEndIsWhereTheGrammarCanEnd() throws {
        let ending = try #require(
            (0..<tokenizer.tokenCount).first { tokenizer.isEndOfGeneration(TokenID($0)) })
        let answer = Answer()
        let session = try session("root ::= \"b\" \"c\"*", answer)
        var logits = [Float](repeating: 0, count: tokenizer.tokenCount)
        logits[ending] = 100
        _ = session.sample(logits.span)
        #expect(!session.isFinished && answer.text == "b")
        session.advance(session.nextChunk(tokensMax: 1))
        _ = session.sample(logits.span)
        #expect(answer.reason == .stop && answer.text == "b")
    }

    @Test func draftsThatAreForbiddenAreCut() throws {
        let text = String(repeating: "ab", count: 20)
        for (grammar, most) in [("root ::= [ab]*", 4), ("root ::= \"abab\" \"z\"", 1)] {
            let answer = Answer()
            let session = try session(grammar, answer, drafts: true)
            var control = SpeculationControl(policy: .upTo(4), draftsMax: 4)
            var longest = 0
            for letter in text.prefix(6) where !session.isFinished {
                let token = try #require(tokenizer.token(String(letter)))
                var logits = [Float](repeating: 0, count: tokenizer.tokenCount)
                logits[token.index] = 9
                if session.isDecoding {
                    let chunk = session.nextChunk(draftsMax: 4, &control)
                    longest = max(longest, chunk.tokens.count - 1)
                    session.advance(chunk)
                }
                _ = session.sample(logits.span)
            }
            #expect(longest <= most && (most == 1 || longest > 1), "\(grammar): \(longest)")
        }
    }

    @Test func whatTheVocabularyCannotWriteIsAnError() throws {
        // The tiny vocabulary has no such token, nor its bytes.
        let grammar = try library.grammar(.grammar("root ::= \"\\u4e2d\""))
        let matcher = try ConstraintMatcher(AnswerConstraint(grammar))
        let isWritable = (0..<tokenizer.tokenCount).contains { matcher.allows(TokenID($0)) }
        let answer = Answer()
        run(try session("root ::= \"\\u4e2d\"", answer), seed: 1)
        #expect(answer.failure == (isWritable ? nil : .invalidRequest))
    }

    @Test func grammarsHaveTheirRoom() throws {
        let small = ConstraintLibrary(tokenizer, room: ConstraintRoom(grammarBytes: 128 << 10))
        let first = try small.grammar(.grammar("root ::= \"a\""))
        #expect(throws: ConstraintRefusal.busy(grammars: 1)) {
            try small.grammar(.grammar("root ::= \"b\""))
        }
        #expect(try small.grammar(.grammar("root ::= \"a\"")) === first)
    }
}
