// Texts to tokens and back: what is wanted of a prompt instead of an answer.

import GenerationAPI
import ModelFormat
import Models
import Serving
import Testing
import Tokenization

@Suite struct TokenizingTests {
    private static let texts = ["a", "b", "c", "<end>"]

    private func builder(contextTokens: Int = 8) throws -> PromptBuilder {
        var vocabulary = Vocabulary(model: .bytePairEncoding)
        vocabulary.tokens = StringTable(Self.texts.map(\.utf8))
        vocabulary.kinds = [.normal, .normal, .normal, .control]
        vocabulary.special.beginning = TokenID(0)
        vocabulary.special.addsBeginning = true
        return PromptBuilder(
            try Tokenizer(vocabulary), templates: ChatTemplateSources(),
            contextTokens: contextTokens)
    }

    private func prepare(
        _ prompt: GenerationOrder.Prompt, _ wanted: GenerationOrder.Wanted
    ) throws -> PreparedPrompt {
        var order = GenerationOrder(prompt: prompt, client: ClientID(rawValue: 1))
        order.wanted = wanted
        return try builder().prepare(order)
    }

    private func tokens(
        _ text: String, _ configure: (inout TokenizingRules) -> Void = { _ in }
    ) throws -> [Int] {
        var rules = TokenizingRules()
        configure(&rules)
        let prepared = try prepare(.text(text), .tokens(rules))
        return try #require(prepared.tokenized).tokens.map(\.index)
    }

    @Test func usersTextMakesNoControlTokens() throws {
        #expect(try tokens("ab") == [0, 1])
        #expect(try !tokens("a<end>").contains(3))
        #expect(try tokens("a<end>") { $0.parsesSpecial = true } == [0, 3])
        #expect(try tokens("b") { $0.addsSpecial = true } == [0, 1])
        #expect(try tokens("").isEmpty)
    }

    @Test func piecesAreWhatTokensStandFor() throws {
        var rules = TokenizingRules()
        (rules.includesPieces, rules.parsesSpecial) = (true, true)
        let prepared = try prepare(.text("ab<end>"), .tokens(rules))
        let text = try #require(prepared.tokenized)
        let pieces = text.tokens.indices.map {
            String(decoding: text.piece($0), as: UTF8.self)
        }
        #expect(text.hasPieces && pieces == ["a", "b", "<end>"])
        guard case .tokens(text)? = prepared.told else {
            Issue.record("not told")
            return
        }
    }

    @Test func tokensAreTheirText() throws {
        let prepared = try prepare(.tokens([1, 3, 2].map { TokenID($0) }), .text)
        #expect(prepared.text == "b<end>c")
        #expect(try prepare(.tokens([]), .text).text?.isEmpty == true)
    }

    @Test func whatDoesNotFitIsRefusedByItsField() {
        let long = String(repeating: "ab", count: 100)
        expect(.contextExceeded, "content") {
            try prepare(.text(long), .tokens(TokenizingRules()))
        }
        expect(.contextExceeded, "tokens") {
            try prepare(.tokens(Array(repeating: TokenID(0), count: 9)), .text)
        }
        expect(.invalidRequest, "tokens") { try prepare(.tokens([TokenID(4)]), .text) }
    }

    private func expect(
        _ reason: GenerationError.Reason, _ parameter: String,
        _ body: () throws -> PreparedPrompt
    ) {
        do {
            Issue.record("accepted: \(try body())")
        } catch let error as GenerationError {
            #expect(error.reason == reason && error.parameter == parameter, "\(error)")
        } catch {
            Issue.record("\(error)")
        }
    }
}
