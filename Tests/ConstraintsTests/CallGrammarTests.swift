// Calls of tools as grammars, in each way of writing them.

import Constraints
import Testing
import Tokenization

@Suite struct CallGrammarTests {
    private static let tools = """
        [{"type": "function", "function": {"name": "add", "parameters": {"type": "object",
          "properties": {"a": {"type": "integer"}}, "required": ["a"]}}},
         {"type": "function", "function": {"name": "now"}}]
        """

    private func grammar(
        _ writing: CallWriting, name: String? = nil, allowsParallel: Bool = false
    ) throws -> Grammar {
        try TestVocabulary.library().grammar(
            .calls(
                CallRequest(
                    writing, tools: Self.tools, name: name, allowsParallel: allowsParallel)))
    }

    @Test func objectsBetweenMarkers() throws {
        let writing = CallWriting.objects(
            begin: "<tool_call>", arguments: "arguments", end: "</tool_call>")
        let call = "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 3}}\n</tool_call>"
        try check(
            try grammar(writing),
            accepts: [
                call, "<tool_call>{\"name\": \"now\", \"arguments\": {\"x\": []}}</tool_call>"
            ],
            refuses: [
                call + "\n" + call, "<tool_call>\n</tool_call>", "",
                "<tool_call>\n{\"name\": \"sub\", \"arguments\": {}}\n</tool_call>",
                "<tool_call>\n{\"name\": \"add\", \"arguments\": {}}\n</tool_call>"
            ])
        try check(
            try grammar(writing, allowsParallel: true), accepts: [call, call + "\n" + call],
            refuses: [call + "x"])
        try check(try grammar(writing, name: "now"), accepts: [], refuses: [call])
    }

    @Test func bareObjects() throws {
        try check(
            try grammar(.objects(begin: "", arguments: "parameters", end: "")),
            accepts: ["{\"name\": \"add\", \"parameters\": {\"a\": -1}}"],
            refuses: ["{\"name\": \"add\", \"arguments\": {\"a\": -1}}"])
    }

    @Test func listsAfterASpecialToken() throws {
        let grammar = try grammar(
            .list(begin: TestVocabulary.call, arguments: "arguments"), allowsParallel: true)
        let matcher = try ConstraintMatcher(AnswerConstraint(grammar))
        // The marker's text is not the marker.
        #expect(!matcher.allows(TestVocabulary.byte(UInt8(ascii: "["))))
        let marker = try #require(TestVocabulary.tokenizer.token(TestVocabulary.call))
        #expect(matcher.allows(marker))
        #expect(try matcher.accept(marker))
        let text = #"[{"name": "now", "arguments": {}}, {"name": "add", "arguments": {"a": 1}}]"#
        for byte in text.utf8 {
            #expect(try matcher.accept(TestVocabulary.byte(byte)))
        }
        #expect(matcher.isComplete)
    }

    @Test func namesAndArguments() throws {
        try check(
            try grammar(.named(begin: "<call>", separator: "<args>"), allowsParallel: true),
            accepts: ["<call>add<args>{\"a\": 1}<call>now<args>{}"],
            refuses: ["<call>sub<args>{}", "<call>add{\"a\": 1}"])
    }

    /// What a model of its own accord says and calls, told to the matcher byte by byte.
    private func follows(_ text: String, _ matcher: ConstraintMatcher) throws -> Bool {
        for byte in text.utf8 {
            let token = TestVocabulary.byte(byte)
            let isAllowed = matcher.allows(token)
            let isAccepted = try matcher.accept(token)
            #expect(isAllowed == isAccepted)
            guard isAccepted else { return false }
        }
        return true
    }

    @Test func orAForm() throws {
        let writing = CallWriting.objects(begin: "<call>", arguments: "arguments", end: "</call>")
        let call = "<call>{\"name\": \"add\", \"arguments\": {\"a\": 3}}</call>"
        for form in [
            CallForm.object, .schema(#"{"type":"object","properties":{"d":{"type":"integer"}}}"#)
        ] {
            let request = CallRequest(
                writing, tools: Self.tools, name: nil, allowsParallel: false, form: form)
            try check(
                try TestVocabulary.library().grammar(.calls(request)),
                accepts: [call, "{\"d\": 3}"],
                refuses: ["", "{\"d\": 3}" + call, call + "{\"d\": 3}", "a", "[]"])
        }
        // Only strict tools' schemas are kept to.
        let request = CallRequest(
            writing, tools: Self.tools, name: nil, allowsParallel: false, strict: ["add"],
            form: .object)
        try check(
            try TestVocabulary.library().grammar(.calls(request)),
            accepts: [call, "<call>{\"name\": \"now\", \"arguments\": {\"b\": 1}}</call>", "{}"],
            refuses: ["<call>{\"name\": \"add\", \"arguments\": {\"b\": 1}}</call>", ""])
        let strange = CallRequest(
            writing, tools: Self.tools, name: nil, allowsParallel: false,
            form: .schema(#"{"type":"array","uniqueItems":true}"#))
        #expect(refusal(.calls(strange)) == "#/uniqueItems: not supported here")
    }

    private func free(_ writing: CallWriting, begin: String) throws -> ConstraintMatcher {
        let request = CallRequest(
            writing, tools: Self.tools, name: nil, allowsParallel: true, strict: ["add"])
        return try ConstraintMatcher(
            AnswerConstraint(
                try TestVocabulary.library().grammar(.calls(request)),
                thoughts: ThoughtMarkers(
                    begin: Array("<think>".utf8), end: Array("</think>".utf8)), callBegin: begin,
                token: TestVocabulary.tokenizer.token))
    }

    @Test func callsAmongFreeTextAreHeldToTheirSchemas() throws {
        let writing = CallWriting.objects(begin: "<call>", arguments: "arguments", end: "</call>")
        func call(_ name: String, _ arguments: String) -> String {
            "<call>\n{\"name\": \"\(name)\", \"arguments\": \(arguments)}\n</call>"
        }
        let (add, now) = (call("add", "{\"a\": 3}"), call("now", "{\"x\": [{}]}"))
        for text in [
            "", "Well <cal", "<<call", "a" + add, add + now + "\nDone.",
            "<think>\(now)</think>" + add, " <think><call></think>x",
            "<thin<call>{\"name\": \"now\""
        ] {
            let matcher = try free(writing, begin: "<call>")
            #expect(try follows(text, matcher), "\(text)")
            #expect(!matcher.isComplete)
        }
        for text in [
            "a" + call("add", "{}"), add + call("sub", "{}"), "<call>x", "<<call>x",
            add + "<call> <", "<think>x</think><call>x", "x<think><call>x"
        ] {
            #expect(try !follows(text, free(writing, begin: "<call>")), "\(text)")
        }
        let matcher = try free(writing, begin: "<call>")
        #expect(matcher.allows(TestVocabulary.end))
        #expect(try follows("<call>", matcher) && !matcher.allows(TestVocabulary.end))
        let tokens = "abc<call>".utf8.map { TestVocabulary.byte($0) }
        let guesses = try free(writing, begin: "<call>")
        #expect(try follows("a", guesses) && guesses.allowedCount(tokens) == 3)
    }

    @Test func specialTokensBeginFreeCalls() throws {
        let list = CallWriting.list(begin: TestVocabulary.call, arguments: "arguments")
        let marker = try #require(TestVocabulary.tokenizer.token(TestVocabulary.call))
        let matcher = try free(list, begin: TestVocabulary.call)
        #expect(try follows("x", matcher) && matcher.accept(marker))
        #expect(try !follows("x", matcher))
        let calls = #"[{"name": "now", "arguments": {}}, {"name": "add", "arguments": {"a": 1}}]"#
        #expect(try follows(calls + "x", matcher) && matcher.allows(TestVocabulary.end))
        let named = try free(.named(begin: "<c>", separator: "<a>"), begin: "<c>")
        #expect(try follows(#"<c>add<a>{"a": 1}<c>now<a>{} yes"#, named))
        #expect(try !follows(#"<c>add<a>{"b"#, named))
    }

    @Test func schemasOfToolsAreRefusedWithTheirPlaces() {
        let tools = """
            [{"type": "function", "function": {"name": "f", "parameters": {"type": "object",
              "properties": {"p": {"not": {}}}}}}]
            """
        let writing = CallWriting.objects(begin: "", arguments: "parameters", end: "")
        let source = ConstraintSource.calls(
            CallRequest(writing, tools: tools, name: nil, allowsParallel: false))
        #expect(
            refusal(source) == "#/0/function/parameters/properties/p/not: not supported here")
    }
}
