// Real chat templates, which are not part of the repository: what they write of calls that an
// assistant made is parsed back to the same calls.

import AnswerParsing
import ChatTemplates
import FoundationEssentials
import Glibc
import JSON
import TestSupport
import Testing

@Suite struct RoundTripTests {
    /// A folder of templates (`*.jinja`), such as llama.cpp's `models/templates`.
    private static let folder = unsafe getenv("SLUICE_CHAT_TEMPLATES").map {
        unsafe String(cString: $0)
    }

    private static let tools = """
        [{"type":"function","function":{"name":"get_weather","description":"The weather.",
          "parameters":{"type":"object","properties":{"city":{"type":"string","description":"c"},
          "days":{"type":"integer","description":"d"},"more":{"type":"object","description":"m"}},
          "required":["city"]}}},
         {"type":"function","function":{"name":"time","description":"The time.",
          "parameters":{"type":"object","properties":{"zone":{"type":"string",
          "description":"z"}}}}}]
        """

    private static func call(_ name: String, _ arguments: String, _ id: String) -> String {
        #"{"type":"function","id":"\#(id)","function":{"name":"\#(name)","#
            + #""arguments":\#(arguments)}}"#
    }

    private static let weather =
        #"{"city": "Pa \"ris\"\n<é>", "days": 2, "more": {"a": [1, null]}}"#
    private static let plainWeather = #"{"city": "Paris", "days": 2}"#

    private static func conversation(
        _ calls: String, generates: Bool, _ form: ChatCallForm
    ) throws -> ChatConversation {
        var list = #"[{"role":"user","content":"Hello?"}"#
        let content = form.hasEmptyContent ? "\"\"" : "null"
        if !generates {
            list += #",{"role":"assistant","content":\#(content),"tool_calls":[\#(calls)]}"#
        }
        guard case .list(let messages) = try JinjaValue(json: Array((list + "]").utf8)) else {
            return ChatConversation(messages: [])
        }
        var conversation = ChatConversation(
            messages: messages.elements.map(ChatConversation.named))
        conversation.tools = try JinjaValue(json: Array(tools.utf8))
        conversation.addsGenerationPrompt = generates
        return conversation
    }

    private static let limits = JinjaLimits(inputBytes: 1 << 20)
    private static let clock = JinjaClock(secondsSince1970: 1_700_000_000)

    private static func written(_ arguments: String, isText: Bool) -> String {
        isText ? String(decoding: JSONValue.string(arguments).text(), as: UTF8.self) : arguments
    }

    /// What follows the prompt where the assistant called.
    private static func answer(
        _ template: ChatTemplate, _ calls: [(String, String)]
    ) throws -> String {
        let form = template.callForm(limits: limits, clock: clock)
        let list = calls.enumerated().map { index, call in
            Self.call(call.0, written(call.1, isText: form.argumentsAreText), "abcdefgh\(index)")
        }.joined(separator: ",")
        func render(generates: Bool) throws -> String {
            try template.render(
                try conversation(list, generates: generates, form), limits: limits,
                clock: clock
            ).string
        }
        let (prompt, whole) = (try render(generates: true), try render(generates: false))
        let common = Array(zip(prompt.utf8, whole.utf8).prefix { $0 == $1 }.map(\.0))
        // The prompt may go on with another marker than the call's.
        let open = common.lastIndex(of: UInt8(ascii: "<")) ?? 0
        let count = common[open...].contains(UInt8(ascii: ">")) ? common.count : open
        return String(decoding: whole.utf8.dropFirst(count), as: UTF8.self)
    }

    private static func parse(_ answer: String, _ style: AnswerStyle) throws -> [JSONValue] {
        let json = try JSONParser.parse(Array(tools.utf8))
        let plan = AnswerPlan(style: style, tools: ToolSchemas(json))
        var parser = AnswerParser(plan, seed: 1)
        let read = ReadAnswer(parser.append(answer) + parser.finish())
        return read.calls.map { call in
            let arguments = try? JSONParser.parse(Array(call.arguments.utf8))
            return .array([.string(call.name), arguments ?? .string(call.arguments)])
        }
    }

    private static func expected(_ calls: [(String, String)]) throws -> [JSONValue] {
        try calls.map {
            .array([.string($0.0), try JSONParser.parse(Array($0.1.utf8))])
        }
    }

    @Test(.enabled(if: folder != nil, "set SLUICE_CHAT_TEMPLATES to a folder of templates"))
    func whatTemplatesWriteIsParsedBack() throws {
        let folder = try #require(Self.folder)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        var same: [String] = []
        var unknown: [String] = []
        var silent: [String] = []
        for name in names where name.hasSuffix(".jinja") {
            let bytes = try #require(fileBytes(folder + "/" + name))
            let source = String(decoding: bytes, as: UTF8.self)
            guard let template = try? ChatTemplate(source),
                let style = AnswerStyle(template: source), style.hasCalls
            else {
                unknown.append(name)
                continue
            }
            let two = [("get_weather", Self.weather), ("time", "{}")]
            let one = [("get_weather", Self.weather)]
            let plain = [("get_weather", Self.plainWeather)]
            var found: [JSONValue]?
            var wanted: [JSONValue] = []
            var text = ""
            for calls in [two, one, plain] {
                guard let answer = try? Self.answer(template, calls) else { continue }
                (found, wanted, text) = (
                    try Self.parse(answer, style), try Self.expected(calls), answer
                )
                if found == wanted { break }
            }
            guard text.contains("get_weather") else {
                silent.append(name)
                continue
            }
            #expect(found == wanted && found != nil, "\(name): \(text)")
            if found == wanted { same.append(name) }
        }
        print("parsed back: \(same.joined(separator: " "))")
        print("skipped: no style of \(unknown.joined(separator: " "))")
        print("skipped: calls are not written by \(silent.joined(separator: " "))")
        #expect(same.count >= 20)
    }
}
