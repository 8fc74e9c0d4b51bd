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
