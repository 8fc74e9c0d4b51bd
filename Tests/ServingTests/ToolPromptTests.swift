// What a template is given of tools and calls, and what is refused.

import AnswerParsing
import GenerationAPI
import ModelFormat
import Models
import Testing
import Tokenization

@Suite struct ToolPromptTests {
    /// Writes everything that it is given, calls as JSON in tags.
    private static let template = """
        {#- "name", arguments #}
        {%- if tools %}[{{ tools | tojson }}]{% endif %}
        {%- for m in messages %}
        {{- '|' + m.role + ':' + m.content }}
        {%- if m.reasoning_content %}({{ m.reasoning_content }}){% endif %}
        {%- for c in m.tool_calls %}
        {{- '<tool_call>' + c.id + c.function.name }}
        {%- for k, v in c.function.arguments | items %} {{ k }}={{ v }}{% endfor %}</tool_call>
        {%- endfor %}
        {%- if m.role == 'tool' %}#{{ m.tool_call_id }}{{ m.name }}{% endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}|{% endif %}
        """
    private static let tools = #"[{"type":"function","function":{"name":"f","b":1,"a":2}}]"#

    private func render(
        _ messages: [ChatMessage], tools: String? = nil, template: String = template,
        toolTemplate: String? = nil, named name: String? = nil, arguments: String? = nil
    ) throws -> PreparedPrompt {
        var vocabulary = Vocabulary(model: .bytePairEncoding)
        vocabulary.tokens = StringTable(["a"].map(\.utf8))
        let builder = PromptBuilder(
            try Tokenizer(vocabulary),
            templates: ChatTemplateSources(
                plain: template, tool: toolTemplate,
                others: [.init(name: "rag", source: "R{{ documents | tojson }}")]),
            contextTokens: 4096)
        var order = GenerationOrder(prompt: .chat(messages), client: ClientID(rawValue: 1))
        order.tools = tools
        order.wanted = .prompt
        (order.templateName, order.templateArguments) = (name, arguments)
        return try builder.prepare(order)
    }

    private static let question = ChatMessage(role: "user", content: "u")

    private static func calling(_ arguments: String) -> [ChatMessage] {
        var call = ChatMessage(role: "assistant", content: "")
        call.reasoning = "Hm."
        call.toolCalls = [ToolCall(id: "id", name: "f", arguments: arguments)]
        var result = ChatMessage(role: "tool", content: "r")
        result.toolCallID = "id"
        return [question, call, result]
    }

    @Test func templatesSeeToolsInTheirOrder() throws {
        let prepared = try render([Self.question], tools: Self.tools)
        let tools = #"[[{"type": "function", "function": {"name": "f", "b": 1, "a": 2}}]]"#
        let expected = tools + "|user:u|"
        #expect(prepared.text == expected)
        #expect(prepared.plan?.tools == ToolSchemas(names: ["f"]))
        #expect(try render([Self.question]).plan == nil)
    }

    @Test func templatesAreAskedForByName() throws {
        let arguments = #"{"documents": [{"title": 1, "b": {"z": 2, "a": 3}}]}"#
        let rag = try render([Self.question], named: "rag", arguments: arguments)
        #expect(rag.text == #"R[{"title": 1, "b": {"z": 2, "a": 3}}]"#)
        let plain = try render([Self.question], template: "a", named: "default")
        #expect(plain.text == "a")
        let tools = try render([Self.question], toolTemplate: "{{ tools }}t", named: "tool_use")
        #expect(tools.text == "Nonet")
        let unknown = #expect(throws: GenerationError.self) {
            try render([Self.question], named: "x")
        }
        #expect(unknown?.reason == .invalidRequest && unknown?.parameter == "chat_template")
        #expect(unknown?.description.contains("'default', 'rag'") == true)
    }

    @Test func argumentsAreObjects() throws {
        let text = try render(Self.calling(#"{"z": 1, "a": "<b>"}"#)).text
        #expect(
            text == "|user:u|assistant:(Hm.)<tool_call>idf z=1 a=<b></tool_call>|tool:r#idf|")
    }

    /// A template that puts texts together takes nothing else.
    @Test func argumentsAreTextWhereTheTemplateWantsIt() throws {
        let template =
            "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}"
            + "{{ '<tool_call>' + c.function.arguments }}{% endfor %}{% endfor %}{{ tools }}"
        let text = try render(Self.calling(#"{"z": 1}"#), template: template).text
        #expect(text == #"u<tool_call>{"z": 1}rNone"#)
        let python = template.replacing("'<tool_call>' + c", with: "'<tool_call>' ~ c")
        #expect(
            try render(Self.calling(#"{"z": 1}"#), template: python).text
                == #"u<tool_call>{"z": 1}rNone"#)
    }

    /// Some templates write calls only where there is no content at all.
    @Test func contentIsNoneWhereTheTemplateWantsIt() throws {
        let template =
            "{% for m in messages %}{% if m.content is none %}{{ m.tool_calls | tojson }}"
            + "{% else %}{{ m.content }}{% endif %}{% endfor %}"
        let text = try render(Self.calling("{}"), template: template).text
        #expect(text?.hasPrefix(#"u[{"id": "id", "type": "function""#) == true)
    }

    @Test func argumentsThatAreNoObjectStayText() throws {
        let template =
            "{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments | tojson }}"
            + "{% endfor %}{% endfor %}{{ tools }}"
        #expect(try render(Self.calling("{\"z\""), template: template).text == #""{\"z\""None"#)
    }

    @Test func thoughtsHaveTheTemplatesName() throws {
        let template =
            "{% for m in messages %}{{ m.content }}{{ m.thinking }}{{ m.tool_calls | length }}"
            + "{% endfor %}"
        var messages = Self.calling("{}")
        messages[1].content = "c"
        #expect(try render(messages, template: template).text == "u0Hm.1r0")
        messages[1].toolCalls = []
        messages.removeLast()
        #expect(try render(messages, template: template).text == "u0cHm.0")
    }

    @Test func toolsHaveTheirOwnTemplate() throws {
        let own = "own {% if tools %}{{ tools | length }}{% endif %} <tool_call> \"name arguments"
        #expect(
            try render([Self.question], tools: Self.tools, toolTemplate: own).text
                == "own 1 <tool_call> \"name arguments")
        #expect(try render([Self.question], toolTemplate: own).text == "|user:u|")
        #expect(try render(Self.calling("{}"), toolTemplate: own).text?.hasPrefix("own") == true)
    }

    @Test(arguments: [
        ("{{ messages[0].content }}", "knows no tools"),
        ("{{ tools | tojson }}", "how the model writes calls is not known")
    ])
    func refusesToolsByName(_ template: String, _ problem: String) throws {
        let error = #expect(throws: GenerationError.self) {
            try render([Self.question], tools: Self.tools, template: template)
        }
        #expect(error?.reason == .templateUnsupported && error?.parameter == "tools")
        #expect(error?.message.contains(problem) == true)
    }

    @Test func refusesCallsWhereTheTemplateKnowsNone() throws {
        let error = #expect(throws: GenerationError.self) {
            try render(Self.calling("{}"), template: "{{ messages[0].content }}")
        }
        #expect(error?.reason == .templateUnsupported && error?.parameter == "messages")
    }

    @Test func promptsMayEndWithinThoughts() throws {
        let open = "{{ messages[0].content }}<think>\n"
        #expect(try render([Self.question], template: open).plan?.beginsInReasoning == true)
        let closed = open + "\n</think>\n\n"
        #expect(try render([Self.question], template: closed).plan?.beginsInReasoning == false)
        var fooling = Self.question
        fooling.content = "<think>"
        let plain = "</think>{{ messages[0].content }}"
        #expect(try render([fooling], template: plain).plan?.beginsInReasoning == false)
    }
}
