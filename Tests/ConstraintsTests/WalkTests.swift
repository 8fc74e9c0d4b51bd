// Random walks by masks: whatever a mask allows is allowed when asked for, and every walk that ends
// is a text that the grammar is of.

import Constraints
import JSON
import ModelFormat
import TestSupport
import Testing
import Tokenization

/// One walk.
struct Walk {
    static let tokensMax = 400

    /// - Returns: the text, or nil where it was cut off.
    static func run(_ grammar: Grammar, _ random: inout SplitMix) throws -> [UInt8]? {
        let tokenizer = TestVocabulary.tokenizer
        let matcher = try ConstraintMatcher(AnswerConstraint(grammar))
        var text: [UInt8] = []
        for _ in 0..<tokensMax {
            let allowed = (0..<tokenizer.tokenCount).filter { matcher.allows(TokenID($0)) }
            check(matcher, allowed, tokenizer.tokenCount)
            if matcher.isComplete { return text }
            #expect(!allowed.isEmpty, "nothing may follow")
            let ends = allowed.contains(TestVocabulary.end.index)
            if ends, Int.random(in: 0..<3, using: &random) == 0 { return text }
            let usable = allowed.filter { $0 != TestVocabulary.end.index }
            guard let token = usable.randomElement(using: &random) else { return text }
            let isTaken = try matcher.accept(TokenID(token))
            #expect(isTaken)
            text += tokenizer.bytes(of: TokenID(token))
        }
        return nil
    }

    /// Masks say the same.
    private static func check(_ matcher: ConstraintMatcher, _ allowed: [Int], _ count: Int) {
        #expect(allowedTokens(matcher, candidatesMax: count) == allowed)
    }
}

@Suite struct WalkTests {
    @Test(arguments: walkedSchemas.indices)
    func walksAreValid(_ index: Int) throws {
        let text = walkedSchemas[index]
        let grammar = try schema(text)
        let validator = SchemaValidator(root: try JSONParser.parse(Array(text.utf8)))
        let seed = UInt64(UInt32.random(in: 0 ... .max))
        var random = SplitMix(seed: seed)
        var ended = 0
        for _ in 0..<40 {
            guard let bytes = try Walk.run(grammar, &random) else { continue }
            ended += 1
            let answer = String(decoding: bytes, as: UTF8.self)
            #expect(Array(answer.utf8) == bytes, "seed \(seed): no UTF-8")
            guard let value = try Self.value(bytes) else { continue }
            #expect(validator.isValid(value), "seed \(seed): \(answer)")
        }
        #expect(ended > 5, "seed \(seed)")
    }

    /// - Returns: nil where a free name was chosen twice: no grammar over bytes can forbid that,
    ///   and our reader of JSON refuses it.
    static func value(_ text: [UInt8]) throws(JSONError) -> JSONValue? {
        do { return try JSONParser.parse(text) } catch {
            guard error.problem == "a key appears twice" else { throw error }
            return nil
        }
    }

    /// With so little memory that states are forgotten again and again.
    @Test func forgettingChangesNothing() throws {
        let rules = """
            root ::= item ("," item)*
            item ::= "[" root "]" | [a-z]{1,20} | [0-9]{3}
            """
        let small = ConstraintLibrary(
            TestVocabulary.tokenizer, room: ConstraintRoom(grammarBytes: 24 << 10))
        let grammar = try small.grammar(.grammar(rules))
        let whole = try gbnf(rules)
        let seed = UInt64(UInt32.random(in: 0 ... .max))
        var random = SplitMix(seed: seed)
        let count = TestVocabulary.tokenizer.tokenCount
        for _ in 0..<10 {
            let own = try ConstraintMatcher(AnswerConstraint(grammar))
            let other = try ConstraintMatcher(AnswerConstraint(whole))
            for _ in 0..<60 {
                _ = own.selection(candidatesMax: count)
                let allowed = (0..<count).filter { own.allows(TokenID($0)) }
                #expect(
                    allowed == (0..<count).filter { other.allows(TokenID($0)) }, "seed \(seed)")
                guard let token = allowed.randomElement(using: &random),
                    token != TestVocabulary.end.index
                else { break }
                #expect(try own.accept(TokenID(token)))
                #expect(try other.accept(TokenID(token)))
            }
        }
    }

    @Test func draftsAreCutWhereTheyAreForbidden() throws {
        let matcher = try ConstraintMatcher(AnswerConstraint(try gbnf("root ::= \"abc\"")))
        let tokens = "abd".utf8.map { TestVocabulary.byte($0) }
        #expect(matcher.allowedCount(tokens) == 2)
        #expect(matcher.allowedCount([TestVocabulary.end]) == 0)
        #expect(matcher.allows(TestVocabulary.byte(0x61)))
    }
}

@Suite struct ThoughtTests {
    private let thoughts = ThoughtMarkers(
        begin: Array("<think>".utf8), end: Array("</think>".utf8))

    private func matcher(isThinking: Bool) throws -> ConstraintMatcher {
        try ConstraintMatcher(
            AnswerConstraint(
                try gbnf("root ::= \"{\" \"}\""), thoughts: thoughts, isThinking: isThinking))
    }

    private func token(_ text: String) throws -> TokenID {
        try #require(TestVocabulary.tokenizer.token(text))
    }

    @Test func thoughtsAreFreeAndDoNotEndTheAnswer() throws {
        let matcher = try matcher(isThinking: true)
        #expect(!matcher.allows(TestVocabulary.end))
        for text in ["abc", "think", "x</", "think", "}}"] {
            #expect(try matcher.accept(try token(text)), "\(text)")
        }
        #expect(try matcher.accept(try token("</think>\n\n")))
        #expect(!matcher.allows(try token("abc")))
        #expect(!matcher.allows(TestVocabulary.end))
        #expect(try matcher.accept(try token("\n")))
        #expect(try matcher.accept(TestVocabulary.byte(UInt8(ascii: "{"))))
        #expect(try matcher.accept(TestVocabulary.byte(UInt8(ascii: "}"))))
        #expect(matcher.isComplete)
        #expect(matcher.allows(TestVocabulary.end))
    }

    @Test func markersMayBeInPieces() throws {
        let matcher = try matcher(isThinking: true)
        #expect(try matcher.accept(try token("x</")))
        #expect(try matcher.accept(try token("think")))
        #expect(try matcher.accept(TestVocabulary.byte(UInt8(ascii: ">"))))
        #expect(try !matcher.accept(try token("abc")))
        #expect(try matcher.accept(TestVocabulary.byte(UInt8(ascii: "{"))))
    }

    @Test func thoughtsMayBeginOrNot() throws {
        let own = try matcher(isThinking: false)
        #expect(try own.accept(TestVocabulary.byte(UInt8(ascii: "{"))))
        #expect(!own.allows(try token("<think>")))
        let other = try matcher(isThinking: false)
        #expect(!other.allows(try token("abc")))
        #expect(!other.allows(TestVocabulary.end))
        #expect(try other.accept(try token("<think>")))
        #expect(try other.accept(try token("abc")))
        #expect(try other.accept(try token("</think>")))
        #expect(try other.accept(TestVocabulary.byte(UInt8(ascii: "{"))))
    }
}
