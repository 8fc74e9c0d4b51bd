// Tools on the wire: what requests say of them, and answers that call some.

import GenerationAPI
import HTTPInterface
import JSON
import NIOCore
import Testing

@Suite(.serialized) struct ToolTests {
    private static let tool =
        #"{"type":"function","function":{"name":"get","parameters":{"type":"object","a":1}}}"#
    private static let hello = #""messages":[{"role":"user","content":"hello"}]"#

    private func order(
        _ text: String, kind: CompletionKind = .chat
    ) throws -> GenerationOrder {
        let bytes = Array(text.utf8)
        let body = try JSONParser.parse(bytes)
        return try CompletionRequest(
            body, kind: kind, client: ClientID(rawValue: 1), defaults: SamplingParameters(),
            texts: RequestTexts(body, in: bytes.span)
        ).order
    }

    @Test func toolsKeepTheirKeysOrder() throws {
        let order = try order("{\(Self.hello), \"tools\" : [\(Self.tool)] }")
        #expect(order.tools == "[\(Self.tool)]")
        #expect(order.allowsParallelCalls && order.wanted == .answer)
        let escaped = try self.order("{\"to\\u006fls\":[\(Self.tool)],\(Self.hello)}")
        #expect(escaped.tools == "[\(Self.tool)]")
        for nothing in ["[]", "null"] {
            #expect(try self.order("{\(Self.hello),\"tools\":\(nothing)}").tools == nil)
        }
    }

    @Test func membersAreFoundAsTheyWereWritten() throws {
        let text = #" {"a":"}\"," , "b" : [ {"c":"]"} , 1 ] ,"d":-1.5e3,"e":{},"f":"x"} "#
        let bytes = Array(text.utf8)
        let expected = [
            "a": #""}\",""#, "b": #"[ {"c":"]"} , 1 ]"#, "d": "-1.5e3", "e": "{}", "f": #""x""#
        ]
        for (name, value) in expected {
            let found = JSONParser.text(ofMember: name, in: bytes.span)
            #expect(found.map { String(decoding: $0, as: UTF8.self) } == value)
        }
        for text in ["{}", "[]", "", "{", #"{"a"#, #"{"a":"#, #"{"z":1}"#] {
            let found = JSONParser.text(ofMember: "x", in: Array(text.utf8).span)
            #expect(found == nil, "\(text)")
        }
    }

    @Test func whoMayNotCallIsNotToldOfTools() throws {
        let more = "\"tools\":[\(Self.tool)],\"tool_choice\":"
        #expect(try order("{\(Self.hello),\(more)\"none\"}").tools == nil)
        let auto = try order("{\(Self.hello),\(more)\"auto\",\"parallel_tool_calls\":false}")
        #expect(auto.tools != nil && !auto.allowsParallelCalls)
        #expect(auto.toolUse == .free)
    }

    @Test func toolsMayHaveToBeCalled() throws {
        let more = "\"tools\":[\(Self.tool)],\"tool_choice\":"
        #expect(try order("{\(Self.hello),\(more)\"required\"}").toolUse == .required)
        let choice = #"{"type":"function","function":{"name":"get"}}"#
        #expect(try order("{\(Self.hello),\(more)\(choice)}").toolUse == .named("get"))
        let other = #"{"type":"function","function":{"name":"other"}}"#
        let error = #expect(throws: GenerationError.self) {
            try order("{\(Self.hello),\(more)\(other)}")
        }
        #expect(error?.parameter == "tool_choice")
    }

    @Test func strictToolsAreTheOrders() throws {
        let tools = #""tools":[{"function":{"name":"a","strict":true}},{"function":{"name":"b"}}]"#
        let order = try order("{\(Self.hello),\(tools)}")
        #expect(order.strictTools == ["a"] && order.formatParameter == "tools")
        let none = try self.order("{\(Self.hello),\(tools),\"tool_choice\":\"none\"}")
        #expect(none.strictTools.isEmpty && none.formatParameter == nil)
    }

    @Test(arguments: [
        (#""tools":"x""#, "tools"), (#""tools":[1]"#, "tools[0]"),
        (#""tools":[{"type":"retrieval"}]"#, "tools[0].type"),
        (#""tools":[{"type":"function","function":{}}]"#, "tools[0].function.name"),
        (#""tools":[{"function":{"name":"a b"}}]"#, "tools[0].function.name"),
        (#""tools":[{"function":{"name":""}}]"#, "tools[0].function.name"),
        (#""tools":[{"function":{"name":"a","strict":1}}]"#, "tools[0].function.strict"),
        (#""tools":[{"function":{"name":"a","parameters":[]}}]"#, "tools[0].function.parameters"),
        (#""tools":[{"function":{"name":"a"}},{"function":{"name":"a"}}]"#, "tools"),
        (#""tool_choice":"required""#, "tool_choice"),
        (#""tool_choice":{"type":"function","function":{"name":"get"}}"#, "tool_choice"),
        (#""tool_choice":1"#, "tool_choice"),
        (#""parallel_tool_calls":"no""#, "parallel_tool_calls")
    ])
    func refusesByName(_ field: String, _ parameter: String) throws {
        let error = #expect(throws: GenerationError.self) {
            try order("{\(Self.hello),\(field)}")
        }
        #expect(error?.parameter == parameter && error?.reason == .invalidRequest)
    }

    @Test func toolsHaveLimits() throws {
        let tools = (0..<129).map { #"{"function":{"name":"f\#($0)"}}"# }
        let many = #expect(throws: GenerationError.self) {
            try order("{\(Self.hello),\"tools\":[\(tools.joined(separator: ","))]}")
        }
        #expect(many?.message.contains("128") == true)
        let text = String(repeating: "x", count: 300_000)
        let long = #expect(throws: GenerationError.self) {
            try order(
                "{\(Self.hello),\"tools\":[{\"function\":{\"name\":\"f\","
                    + "\"description\":\"\(text)\"}}]}"
            )
        }
        #expect(long?.message.contains("262144 bytes") == true)
    }

    @Test func messagesTellOfCalls() throws {
        let order = try order(
            """
            {"messages":[{"role":"user","content":"u"},{"role":"assistant","content":null,
              "reasoning_content":"Hm.","tool_calls":[{"id":"call_1","type":"function",
              "function":{"name":"get","arguments":"{\\"a\\": 1}"}}]},
             {"role":"tool","tool_call_id":"call_1","content":[{"type":"text","text":"2"}]}]}
            """)
        guard case .chat(let messages) = order.prompt else { return }
        var call = ChatMessage(role: "assistant", content: "")
        call.reasoning = "Hm."
        call.toolCalls = [ToolCall(id: "call_1", name: "get", arguments: "{\"a\": 1}")]
        var result = ChatMessage(role: "tool", content: "2")
        result.toolCallID = "call_1"
        #expect(messages == [ChatMessage(role: "user", content: "u"), call, result])
    }

    @Test(arguments: [
        (#"{"role":"user","content":"","tool_calls":[{}]}"#, "messages[0].tool_calls"),
        (#"{"role":"assistant","tool_calls":{}}"#, "messages[0].tool_calls"),
        (#"{"role":"assistant","tool_calls":[1]}"#, "messages[0].tool_calls[0]"),
        (#"{"role":"assistant","tool_calls":[{}]}"#, "messages[0].tool_calls[0].function"),
        (
            #"{"role":"assistant","tool_calls":[{"function":{"name":"a","arguments":{}}}]}"#,
            "messages[0].tool_calls[0].function.arguments"
        ),
        (#"{"role":"assistant","function_call":{}}"#, "messages[0].function_call"),
        (#"{"role":"tool","content":"x"}"#, "messages[0].tool_call_id")
    ])
    func refusesMessagesByName(_ message: String, _ parameter: String) throws {
        let error = #expect(throws: GenerationError.self) {
            try order("{\"messages\":[\(message)]}")
        }
        #expect(error?.parameter == parameter)
    }

    @Test func answersCallsWhole() throws {
        let server = try TestServer(HTTPLimits())
        defer { server.stop() }
        let reply = try server.chat("call", ",\"tools\":[\(Self.tool)]")
        let choice = try #require(reply.json["choices"]?.array?.first)
        #expect(choice["finish_reason"]?.string == "tool_calls")
        let message = try #require(choice["message"])
        #expect(message["content"] == .null && message["reasoning_content"]?.string == "Hm.")
        let calls = try #require(message["tool_calls"]?.array)
        #expect(calls.count == 2)
        #expect(
            calls.last
                == .object([
                    "id": .string("call_1"), "type": .string("function"),
                    "function": .object([
                        "name": .string("get"), "arguments": .string("{\"a\":1}")
                    ])
                ]))
        #expect(server.service.orders.last?.tools == "[\(Self.tool)]")
    }

    @Test func streamsCalls() throws {
        let server = try TestServer(HTTPLimits())
        defer { server.stop() }
        let reply = try server.chat("call", #","stream":true"#)
        let deltas = reply.events.dropLast().compactMap { text in
            (try? JSONParser.parse(Array(text.utf8)))?["choices"]?.array?.first
        }
        #expect(deltas.last?["finish_reason"]?.string == "tool_calls")
        let thought = deltas.compactMap { $0["delta"]?["reasoning_content"]?.string }
        #expect(thought == ["H", "m."])
        let calls = deltas.compactMap { $0["delta"]?["tool_calls"]?.array?.first }
        #expect(calls.map { $0["index"]?.integer } == [0, 0, 0, 1, 1, 1])
        #expect(calls.map { $0["id"]?.string } == ["call_0", nil, nil, "call_1", nil, nil])
        #expect(calls[0]["function"]?["name"]?.string == "get")
        #expect(calls[0]["type"]?.string == "function")
        let arguments = calls.map { $0["function"]?["arguments"]?.string }
        #expect(arguments == ["", "{\"a\":", "0}", "", "{\"a\":", "1}"])
    }

    @Test func showsPrompts() throws {
        let server = try TestServer(HTTPLimits())
        defer { server.stop() }
        let reply = try server.request("POST", "/apply-template", "{\(Self.hello),\"stream\":true}")
        #expect(reply.status == 200 && reply.body == #"{"prompt":"hello"}"#)
        #expect(server.service.orders.last?.wanted == .prompt)
        #expect(try server.request("GET", "/apply-template").status == 405)
        #expect(try server.request("POST", "/apply-template", "{}").status == 400)
    }
}
