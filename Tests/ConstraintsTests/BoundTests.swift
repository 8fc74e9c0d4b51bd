// Grammars made to cost: on the desk's stack, and in time for a token.

import Constraints
import LinuxSystem
import ModelFormat
import Synchronization
import Testing
import Tokenization

@Suite struct BoundTests {
    /// What the desk's thread has.
    private static let stackBytes = 1 << 20

    /// Sources that are as deep as they may be, and deeper.
    private static var deep: [ConstraintSource] {
        func nested(_ before: String, _ inner: String, _ after: String, _ count: Int) -> String {
            (0..<count).reduce(inner) { text, _ in before + text + after }
        }
        var sources: [ConstraintSource] = []
        for depth in [20, 31, 63, 64, 200, 10_000] {
            sources += [
                .grammar("root ::= " + nested("(", "\"a\"", ")", depth)),
                .grammar("root ::= " + nested("(\"b\" | ", "\"a\"", ")*?+", depth)),
                .schema(nested(#"{"items": "#, #"{"type": "null"}"#, "}", depth)),
                .schema(nested(#"{"properties": {"a": "#, "{}", #"}, "required": ["a"]}"#, depth)),
                .schema(nested(#"{"allOf": [{"type": "object"}, "#, "{}", "]}", depth)),
                .schema(nested(#"{"anyOf": [{"type": "object"}, "#, "{}", "]}", depth)),
                .schema(#"{"pattern": "^\#(nested("(a|", "b", ")*", depth))$"}"#),
                .schema(#"{"const": \#(nested("[", "1", "]", depth))}"#)
            ]
            let chain = (0..<depth).map { ##""d\##($0)": {"$ref": "#/$defs/d\##($0 + 1)"}"## }
            let list = (chain + [##""d\##(depth)": {}"##]).joined(separator: ",")
            sources.append(.schema(##"{"$ref": "#/$defs/d0", "$defs": {\##(list)}}"##))
            let rules = (0..<depth).map { "r\($0) ::= r\($0 + 1) \"a\"?" }
            sources.append(
                .grammar("root ::= r0\nr\(depth) ::= \"x\"\n" + rules.joined(separator: "\n")))
        }
        return sources
    }

    @Test func theDesksStackSuffices() throws {
        let taken = Mutex(0)
        for source in Self.deep {
            let thread = try Thread(name: "desk", stackBytes: Self.stackBytes) {
                let library = TestVocabulary.library()
                guard let grammar = try? library.grammar(source),
                    let matcher = try? ConstraintMatcher(AnswerConstraint(grammar))
                else { return }
                _ = allowedTokens(matcher, candidatesMax: 1)
                taken.withLock { $0 += 1 }
            }
            thread.join()
        }
        #expect(taken.withLock { $0 } > 10)
    }

    /// A token of a grammar that may be read in ever more ways takes its time, and no more.
    @Test(.timeLimit(.minutes(1))) func ambiguityEndsInAnError() throws {
        let grammar = try gbnf(
            """
            root ::= e
            e ::= a e | a e e | a
            a ::= [a-y]{1,40} | [a-x]{1,30} | [b-y]{1,20} | "aa" | "a"
            """)
        let matcher = try ConstraintMatcher(AnswerConstraint(grammar))
        var steps = 0
        while steps < 200 {
            let allowed = allowedTokens(
                matcher, candidatesMax: TestVocabulary.tokenizer.tokenCount)
            guard let token = allowed.first(where: { $0 != TestVocabulary.end.index }),
                let isTaken = try? matcher.accept(TokenID(token)), isTaken
            else { break }
            steps += 1
        }
        #expect(steps > 0)
    }
}
