// GBNF: what is read, what is refused and how, which texts follow.

import Constraints
import Testing
import Tokenization

@Suite struct GBNFTests {
    @Test func literalsAlternativesAndGroups() throws {
        let grammar = try gbnf(
            """
            # a comment
            root ::= greeting " " ( "world" | who ) "!"? # another
            greeting ::= "hello" |
              "good " ("day"
                | "night")
            who ::= [A-Z] [a-z]*
            """)
        try check(
            grammar, accepts: ["hello world", "hello Bob!", "good day world!", "good night A"],
            refuses: ["hello", "hello world!!", "good world", "hello bob", ""])
    }

    @Test func repetitions() throws {
        try check(
            try gbnf("root ::= \"a\"* \"b\"+ \"c\"? \"d\"{2} \"e\"{1,} \"f\"{1,3}"),
            accepts: ["bddef", "aabbcddeefff"],
            refuses: ["ddef", "bccddef", "bdef", "bdddef", "bddf", "bddeffff", "bdde"])
        try check(try gbnf("root ::= (\"ab\"){0,2}"), accepts: ["", "ab", "abab"], refuses: ["a"])
        try check(try gbnf("root ::= \"a\"{0}"), accepts: [""], refuses: ["a"])
    }

    @Test func charactersAreScalars() throws {
        try check(
            try gbnf("root ::= [^\"\\\\] . [\u{E0}-\u{FF}] \"\\u4e2d\\x41\\U0001F600\""),
            accepts: ["a\u{1F600}\u{E9}\u{4E2D}A\u{1F600}", "\u{10FFFF}\n\u{FF}\u{4E2D}A\u{1F600}"],
            refuses: ["\"a\u{E9}\u{4E2D}A\u{1F600}", "aa\u{DF}\u{4E2D}A\u{1F600}"])
        let any = try gbnf("root ::= .")
        // No surrogates, nothing overlong, nothing beyond the last.
        for bytes: [UInt8] in [
            [0xED, 0xA0, 0x80], [0xC0, 0x80], [0xE0, 0x80, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x80],
            [0xF0, 0x80, 0x80, 0x80]
        ] { #expect(try !any.accepts(bytes), "\(bytes)") }
        for scalar: Unicode.Scalar in [
            "\u{0}", "\u{7F}", "\u{80}", "\u{7FF}", "\u{800}", "\u{D7FF}", "\u{E000}", "\u{FFFF}",
            "\u{10000}", "\u{10FFFF}"
        ] { #expect(try any.accepts(String(Character(scalar))), "\(scalar.value)") }
        try check(try gbnf("root ::= [a\\]\\-\\n]"), accepts: ["a", "]", "-", "\n"], refuses: ["b"])
        try check(try gbnf("root ::= [^]"), accepts: ["a", "\u{E9}"], refuses: ["", "ab"])
        try check(try gbnf("root ::= [a-]"), accepts: ["a", "-"], refuses: ["b"])
    }

    @Test func recursionCounts() throws {
        let grammar = try gbnf("root ::= \"(\" root \")\" | \"x\"")
        let deep = String(repeating: "(", count: 2000) + "x" + String(repeating: ")", count: 2000)
        #expect(try grammar.accepts(deep))
        #expect(try !grammar.accepts(deep + ")"))
        #expect(try !grammar.accepts(String(deep.dropLast())))
        // A rule's last call costs nothing.
        let right = try gbnf("root ::= \"a\" root | \"b\"")
        #expect(try right.accepts(String(repeating: "a", count: 100_000) + "b"))
    }

    @Test func ambiguityIsBounded() throws {
        let grammar = try gbnf("root ::= (\"a\"* \"a\"*)* | \"a\" root \"a\" | \"a\"{0,40}")
        #expect(try grammar.accepts(String(repeating: "a", count: 300)))
        // Each `a` may be the middle: ways add up, and end in an error.
        let many = try gbnf(
            "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"a\" root root | \"a\"")
        let matcher = try ConstraintMatcher(AnswerConstraint(many))
        #expect(throws: ConstraintError.self) {
            for _ in 0..<100_000 {
                guard try matcher.accept(TestVocabulary.byte(0x61)) else { return }
            }
        }
    }

    @Test func nestedNullableLoopsEnd() throws {
        let grammar = try gbnf("root ::= ((\"a\"?)*)* x* y\nx ::= y*\ny ::= (\"b\" | \"\")*")
        try check(grammar, accepts: ["", "aaa", "abbb", "bb"], refuses: ["ba"])
        #expect(try gbnf("root ::= ((\"\"{1000}){1000}){1000}").accepts(""))
    }

    @Test func whatNeverEndsIsLeftOut() throws {
        let grammar = try gbnf("root ::= \"a\" x | \"b\"\nx ::= \"c\" x")
        try check(grammar, accepts: ["b"], refuses: ["a", "ac"])
        #expect(try !grammar.begins("a"))
        #expect(refusal(.grammar("root ::= \"a\" root"))?.contains("no text") == true)
        #expect(refusal(.grammar("root ::= []"))?.contains("no text") == true)
    }

    @Test func tokensByTheirTexts() throws {
        let library = ConstraintLibrary(
            TestVocabulary.tokenizer,
            room: ConstraintRoom(TestVocabulary.tokenizer, limitBytes: 1 << 28))
        #expect(throws: ConstraintRefusal.self) {
            try library.grammar(.grammar("root ::= <none> \"a\""))
        }
        // A token's text is its bytes, too; `<think>` is a plain token of this vocabulary.
        let grammar = try library.grammar(.grammar("root ::= <think> \"a\""))
        let matcher = try ConstraintMatcher(AnswerConstraint(grammar))
        #expect(!matcher.allows(TestVocabulary.byte(0x3C)))
        let think = try #require(TestVocabulary.tokenizer.token("<think>"))
        #expect(try matcher.accept(think))
        #expect(try matcher.accept(TestVocabulary.byte(0x61)))
        #expect(matcher.isComplete)
    }

    @Test(arguments: [
        ("", "line 1: there is no rule 'root'"),
        ("root ::= a", "line 1: there is no rule 'a'"),
        ("root ::= \"a\"\nb ::=\n  \"c\" d", "line 3: there is no rule 'd'"),
        ("root ::= \"a", "line 1: a text has no end"),
        ("root ::= [a", "line 1: a set of characters has no end"),
        ("root ::= (\"a\"", "line 1: expected ')'"),
        ("root ::= \"a\")", "line 1: unexpected ')'"),
        ("root = \"a\"", "line 1: expected '::=' after 'root'"),
        ("root ::= \"a\"\nroot ::= \"b\"", "line 2: 'root' is defined twice"),
        ("root ::= \"a\"{2,1}", "line 1: {2,1} is nothing"),
        ("root ::= \"a\"{20000}", "line 1: at most 10000 repetitions"),
        ("root ::= \"a\"{x}", "line 1: expected a number"),
        ("root ::= \"\\q\"", "line 1: the escape \\q is not known"),
        ("root ::= \"\\ud800\"", "line 1: U+D800 is no character"),
        ("root ::= [z-a]", "line 1: the range z-a is backwards"),
        ("root ::= <[12]>", "line 1: tokens by their numbers are not supported: <text> is"),
        ("root ::= root \"a\" | \"b\"", "root: begins with itself (left recursion)"),
        (
            "root ::= \"x\" a\na ::= b? a \"c\" | \"d\"\nb ::= \"e\"",
            "a: begins with itself (left recursion)"
        ),
        ("root ::= a\na ::= b\nb ::= \"\" a | \"x\"", "a: begins with itself (left recursion)")
    ])
    func refusedByName(_ text: String, _ expected: String) {
        #expect(refusal(.grammar(text)) == expected)
    }

    @Test func tooMuchIsRefused() {
        let deep = String(repeating: "(", count: 100) + "\"a\"" + String(repeating: ")", count: 100)
        #expect(refusal(.grammar("root ::= " + deep))?.contains("nested deeper") == true)
        let long = "root ::= \"" + String(repeating: "a", count: 200 << 10) + "\""
        #expect(refusal(.grammar(long))?.contains("at most") == true)
        let wide = "root ::= ((\"abc\"{1000}){1000}){1000}"
        #expect(refusal(.grammar(wide))?.contains("more memory") == true)
        let many = (0..<5000).map { "r\($0) ::= \"a\"" }.joined(separator: "\n")
        #expect(refusal(.grammar("root ::= r1\n" + many))?.contains("rules") == true)
    }
}
