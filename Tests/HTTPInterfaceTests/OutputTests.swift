// What an answer has to be, as each dialect says it.

import GenerationAPI
import HTTPInterface
import JSON
import Testing

@Suite struct OutputTests {
    private static let schema = #"{"z": {"b": 1, "a": [2]}, "type" : "object"}"#

    private func output(
        _ field: String, kind: CompletionKind = .chat, dialect: Dialect = .openAI
    ) throws -> OutputFormat? {
        try order(field, kind: kind, dialect: dialect).output
    }

    private func order(
        _ field: String, kind: CompletionKind = .chat, dialect: Dialect
    ) throws -> GenerationOrder {
        let prompt = dialect == .responses ? #""input":"i""# : #""prompt":"p""#
        let text = #"{"messages":[{"role":"user","content":"u"}],\#(prompt),\#(field)}"#
        let bytes = Array(text.utf8)
        let body = try JSONParser.parse(bytes)
        return try CompletionRequest(
            body, kind: kind, dialect: dialect, client: ClientID(rawValue: 1),
            defaults: SamplingParameters(),
            texts: RequestTexts(body, in: bytes.span, dialect: dialect)
        ).order
    }

    @Test(arguments: [
        #""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":S}}"#,
        #""response_format":{"type":"json_schema","schema":S}"#,
        #""response_format":{"type":"json_object","schema":S}"#, #""json_schema":S"#
    ])
    func schemasKeepTheirMembersOrder(_ field: String) throws {
        let field = field.replacing("S", with: Self.schema)
        for kind in [CompletionKind.chat, .text] {
            #expect(try output(field, kind: kind)?.kind == .schema(Self.schema))
        }
    }

    @Test func whatElseAnAnswerMayBe() throws {
        let object = try output(#""response_format":{"type":"json_object"}"#)
        #expect(object == OutputFormat(.object, parameter: "response_format"))
        let grammar = try output(#""grammar":"root ::= \"a\"""#)
        #expect(grammar == OutputFormat(.grammar("root ::= \"a\""), parameter: "grammar"))
        for nothing in [
            #""response_format":{"type":"text"}"#, #""response_format":{}"#, #""grammar":"""#,
            #""json_schema":null"#
        ] { #expect(try output(nothing) == nil) }
    }

    @Test func ollamasFormat() throws {
        for kind in [CompletionKind.chat, .text] {
            let json = try output(#""format":"json""#, kind: kind, dialect: .ollama)
            #expect(json == OutputFormat(.object, parameter: "format"))
            let schema = try output(
                #""format":\#(Self.schema)"#, kind: kind, dialect: .ollama)
            #expect(schema == OutputFormat(.schema(Self.schema), parameter: "format"))
            #expect(try output(#""format":"""#, kind: kind, dialect: .ollama) == nil)
        }
    }

    @Test func newerFormatsKeepTheirMembersOrder() throws {
        let format = #"{"type":"json_schema","name":"n","strict":true,"schema":\#(Self.schema)}"#
        let text = try output(#""text":{"format":\#(format)}"#, dialect: .responses)
        #expect(text == OutputFormat(.schema(Self.schema), parameter: "text.format"))
        let config = try output(#""output_config":{"format":\#(format)}"#, dialect: .anthropic)
        #expect(config == OutputFormat(.schema(Self.schema), parameter: "output_config.format"))
        let older = try output(#""output_format":\#(format)"#, dialect: .anthropic)
        #expect(older == OutputFormat(.schema(Self.schema), parameter: "output_format"))
        let object = try output(
            #""text":{"format":{"type":"json_object"}}"#, dialect: .responses)
        #expect(object?.kind == .object)
        #expect(try output(#""text":{"format":{"type":"text"}}"#, dialect: .responses) == nil)
    }

    @Test(arguments: [
        (Dialect.responses, #""required""#, ToolUse.required),
        (.responses, #"{"type":"function","name":"f"}"#, .named("f")),
        (.responses, #""auto""#, .free), (.anthropic, #"{"type":"any"}"#, .required),
        (.anthropic, #"{"type":"tool","name":"f"}"#, .named("f")),
        (.anthropic, #"{"type":"auto","disable_parallel_tool_use":true}"#, .free)
    ])
    func callsMayBeRequired(_ dialect: Dialect, _ choice: String, _ use: ToolUse) throws {
        let tools = #"[{"type":"T","name":"f","strict":true},{"type":"T","name":"g"}]"#
            .replacing("T", with: dialect == .responses ? "function" : "custom")
        let order = try order(
            #""tools":\#(tools),"tool_choice":\#(choice)"#, dialect: dialect)
        #expect(order.toolUse == use && order.strictTools == ["f"])
        // Templates are not told: what a model reads is the same with it and without.
        #expect(order.tools?.contains("strict") == false)
        #expect(order.allowsParallelCalls == !choice.contains("disable_parallel"))
    }

    @Test func textsHaveLimits() throws {
        let text = String(repeating: "x", count: 300_000)
        for field in [
            #""grammar":"\#(text)""#, #""json_schema":{"title":"\#(text)"}"#
        ] {
            let error = #expect(throws: GenerationError.self) { try output(field) }
            #expect(error?.message.contains("262144 bytes") == true)
        }
    }
}
