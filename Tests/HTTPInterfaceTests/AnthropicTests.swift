// Anthropic's routes over a real socket: what its clients send, and what they look for in answers.

import GenerationAPI
import HTTPInterface
import JSON
import NIOCore
import Testing

@Suite(.serialized) struct AnthropicTests {
    private func withServer(_ body: (TestServer) throws -> Void) throws {
        let server = try TestServer()
        defer { server.stop() }
        try body(server)
    }

    private func ask(
        _ server: TestServer, _ text: String, _ more: String = "",
        to route: String = "/v1/messages"
    ) throws -> Reply {
        try server.request(
            "POST", route,
            #"{"model":"echo:latest","max_tokens":9,"messages":[{"role":"user","#
                + #""content":"\#(text)"}]\#(more)}"#)
    }

    /// The stream's events: each one's name, which its data repeats.
    private func events(_ reply: Reply) -> [JSONValue] {
        reply.body.split(separator: "\n\n").map { event in
            let lines = event.split(separator: "\n").filter { !$0.hasPrefix(":") }
            let data = lines.first { $0.hasPrefix("data: ") } ?? ""
            let value = (try? JSONParser.parse(Array(data.dropFirst(6).utf8))) ?? .null
            #expect(lines.first == "event: \(value["type"]?.string ?? "?")")
            return value
        }
    }

    @Test func answersAsAWhole() throws {
        try withServer { server in
            let reply = try ask(server, "hello")
            #expect(reply.status == 200)
            for part in [
                #","type":"message","role":"assistant","model":"echo:latest","content":["#,
                #"[{"type":"text","text":"hello"}],"stop_reason":"end_turn","stop_sequence":null,"#,
                #""usage":{"input_tokens":3,"cache_creation_input_tokens":0,"#,
                #""cache_read_input_tokens":0,"output_tokens":2},"timings":{"#
            ] {
                #expect(reply.body.contains(part), "\(part): \(reply.body)")
            }
            #expect(reply.json["id"]?.string?.hasPrefix("msg_") == true)
            #expect(server.records.last?.route == "/v1/messages")
            #expect(server.service.orders.last?.tokensMax == 9)
            let long = try ask(server, "big:7")
            #expect(long.json["stop_reason"]?.string == "max_tokens")
            let stopped = try ask(server, "stopped", #","sluice":{"statistics":true}"#)
            #expect(stopped.json["stop_reason"]?.string == "stop_sequence")
            #expect(stopped.json["stop_sequence"]?.string == "END")
            #expect(stopped.json["sluice"]?["flash_bytes"]?.integer == 4096)
            let silent = try ask(server, "big:0").json["content"]?.array
            let empty = JSONValue.object(["type": .string("text"), "text": .string("")])
            #expect(silent == [empty])
        }
    }

    @Test func streamsNamedEvents() throws {
        try withServer { server in
            // As an agent calls it.
            let reply = try ask(
                server, "hello", #","stream":true"#, to: "/v1/messages?beta=true")
            #expect(reply.headers["content-type"] == "text/event-stream; charset=utf-8")
            let events = events(reply)
            #expect(
                events.map { $0["type"]?.string } == [
                    "message_start", "content_block_start", "content_block_delta",
                    "content_block_delta", "content_block_stop", "message_delta", "message_stop"
                ])
            let message = events[0]["message"]
            #expect(message?["usage"]?["input_tokens"]?.integer == 3)
            #expect(message?["content"] == .array([]) && message?["stop_reason"] == .null)
            #expect(events[1]["content_block"]?["text"]?.string?.isEmpty == true)
            #expect(events[2]["delta"]?["text"]?.string == "hel")
            #expect(events[5]["delta"]?["stop_reason"]?.string == "end_turn")
            #expect(events[5]["usage"]?["output_tokens"]?.integer == 2)
            let silent = self.events(try ask(server, "big:0", #","stream":true"#))
            #expect(silent.contains { $0["type"]?.string == "content_block_stop" })
        }
    }

    @Test func thoughtsAndCallsAreBlocks() throws {
        try withServer { server in
            let tools =
                #","tools":[{"name":"get","description":"d","input_schema":"#
                + #"{"type":"object","properties":{"b":{},"a":{}}},"cache_control":{}}]"#
            let whole = try ask(server, "call", tools)
            for part in [
                #""content":[{"type":"thinking","thinking":"Hm.","signature":""},{"type":"tool"#,
                #"},{"type":"tool_use","id":"call_0","name":"get","input":{"a":0}},{"type":"tool"#,
                #"{"type":"tool_use","id":"call_1","name":"get","input":{"a":1}}],"stop_reason":"#,
                #","stop_reason":"tool_use","#
            ] {
                #expect(whole.body.contains(part), "\(part): \(whole.body)")
            }
            let order = try #require(server.service.orders.last)
            let expected =
                #"[{"type":"function","function":{"name":"get","description":"d","parameters":"#
                + #"{"type":"object","properties":{"b":{},"a":{}}}}}]"#
            #expect(order.tools == expected)
            #expect(order.allowsParallelCalls)
            let events = events(try ask(server, "call", tools + #","stream":true"#))
            let deltas = events.compactMap { $0["delta"]?["type"]?.string }
            #expect(
                deltas == [
                    "thinking_delta", "thinking_delta", "signature_delta", "input_json_delta",
                    "input_json_delta", "input_json_delta", "input_json_delta"
                ])
            let begun = events.filter { $0["type"]?.string == "content_block_start" }
            #expect(begun.map { $0["index"]?.integer } == [0, 1, 2])
            #expect(begun[1]["content_block"]?["name"]?.string == "get")
            let ended = events.filter { $0["type"]?.string == "content_block_stop" }
            #expect(ended.map { $0["index"]?.integer } == [0, 1, 2])
            let one = #","tool_choice":{"type":"none","disable_parallel_tool_use":true}"#
            #expect(try ask(server, "hello", tools + one).status == 200)
            #expect(server.service.orders.last?.tools == nil)
            #expect(server.service.orders.last?.allowsParallelCalls == false)
        }
    }

    @Test func messagesAreRead() throws {
        try withServer { server in
            let body = #"""
                {"max_tokens":5,"system":[
                {"type":"text","text":"x-anthropic-billing-header: cch=1;"},
                {"type":"text","text":"s","cache_control":{"type":"ephemeral"}},
                {"type":"text","text":"t"}],"metadata":{"user_id":"u"},"messages":[
                {"role":"user","content":[{"type":"text","text":"a"}]},
                {"role":"user","content":"b"},
                {"role":"assistant","content":[{"type":"thinking","thinking":"h","signature":""},
                {"type":"redacted_thinking","data":"x"},{"type":"text","text":"c"},
                {"type":"tool_use","id":"1","name":"f","input":{"z": 1, "a":{"y":2,"b":3}}}]},
                {"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[
                {"type":"text","text":"r"}],"is_error":true},
                {"type":"tool_result","tool_use_id":"2"},{"type":"text","text":"d"}]}]}
                """#
            #expect(try server.request("POST", "/messages", body).status == 200)
            let order = try #require(server.service.orders.last)
            guard case .chat(let messages) = order.prompt else {
                Issue.record("no chat")
                return
            }
            #expect(
                messages.map(\.role) == ["system", "user", "assistant", "tool", "tool", "user"])
            #expect(
                messages.map(\.content) == ["s\n\nt", "a\n\nb", "c", "Error: r", "", "d"])
            #expect(messages[2].reasoning == "h")
            let call = ToolCall(
                id: "1", name: "f", arguments: #"{"z": 1, "a":{"y":2,"b":3}}"#)
            #expect(messages[2].toolCalls == [call])
            #expect(messages[3].toolCallID == "1" && messages[4].toolCallID == "2")
        }
    }

    @Test(
        arguments: [
            (#""thinking":{"type":"disabled"}"#, #"{"enable_thinking":false,"thinking":false}"#),
            (
                #""thinking":{"type":"enabled","budget_tokens":1024}"#,
                #"{"enable_thinking":true,"thinking":true}"#
            ),
            (
                #""thinking":{"type":"adaptive"},"output_config":{"effort":"max"}"#,
                #"{"enable_thinking":true,"thinking":true,"reasoning_effort":"high"}"#
            ), (#""output_config":{"effort":"low"}"#, #"{"reasoning_effort":"low"}"#),
            (#""thinking":null"#, nil)
        ] as [(String, String?)])
    func thinkingIsVariables(_ field: String, _ variables: String?) throws {
        try withServer { server in
            let more =
                #","temperature":0.5,"top_k":3,"top_p":0.25,"stop_sequences":["a","b"],"#
            #expect(try ask(server, "hello", more + field).status == 200)
            let order = try #require(server.service.orders.last)
            #expect(order.templateArguments == variables)
            #expect(order.stopStrings == ["a", "b"] && order.sampling.topK == 3)
            #expect(order.sampling.temperature == 0.5 && order.sampling.topP == 0.25)
        }
    }

    @Test func tokensAreCounted() throws {
        try withServer { server in
            let reply = try ask(server, "hello", to: "/v1/messages/count_tokens")
            #expect(reply.status == 200 && reply.body == #"{"input_tokens":5}"#)
            #expect(server.service.orders.last?.wanted == .tokens(TokenizingRules()))
            #expect(server.service.orders.last?.parameter == "messages")
            #expect(server.records.last?.route == "/v1/messages/count_tokens")
        }
    }

    @Test(arguments: [
        (#""tool_choice":{"type":"any"}"#, "tool_choice"),
        (#""tool_choice":{"type":"tool","name":"f"}"#, "tool_choice"),
        (#""tool_choice":{"type":"tool"}"#, "tool_choice.name"),
        (#""tool_choice":{"type":"some"}"#, "tool_choice.type"),
        (#""tool_choice":"auto""#, "tool_choice"),
        (#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#, "tools[0].type"),
        (#""tools":[{"name":"f f"}]"#, "tools[0].name"),
        (#""tools":[{"name":"f"},{"name":"f"}]"#, "tools"),
        (#""tools":[{"name":"f","input_schema":[]}]"#, "tools[0].input_schema"),
        (#""tools":[{"name":"f","strict":1}]"#, "tools[0].strict"),
        (#""thinking":{"type":"much"}"#, "thinking.type"), (#""thinking":true"#, "thinking"),
        (#""output_config":{"format":{"type":"json_schema"}}"#, "output_config.format.schema"),
        (#""output_config":{"effort":"some"}"#, "output_config.effort"),
        (
            #""output_format":{"type":"text"},"output_config":{"format":{"type":"text"}}"#,
            "output_format"
        ),
        (#""mcp_servers":[{}]"#, "mcp_servers"), (#""system":5"#, "system"),
        (#""system":[{"type":"image"}]"#, "system[0].type"),
        (#""stop_sequences":5"#, "stop_sequences"), (#""stream":1"#, "stream"),
        (#""temperature":"hot""#, "temperature"), (#""max_tokens":0"#, "max_tokens"),
        (#""sluice":{"x":1}"#, "sluice.x")
    ])
    func refusesByName(_ field: String, _ name: String) throws {
        try withServer { server in
            let body = #"{"messages":[{"role":"user","content":"x"}],\#(field)}"#
            let reply = try server.request("POST", "/v1/messages", body)
            #expect(reply.status == 400, "\(reply.body)")
            #expect(reply.json["type"]?.string == "error")
            #expect(reply.json["error"]?["type"]?.string == "invalid_request_error")
            let message = reply.json["error"]?["message"]?.string
            #expect(message?.hasPrefix(name + ":") == true, "\(reply.body)")
            #expect(server.service.orders.isEmpty)
        }
    }

    @Test(arguments: [
        (#"{"content":"x"}"#, "messages[0].role"), (#"{"role":"tool"}"#, "messages[0].role"),
        (#"{"role":"user"}"#, "messages[0].content"),
        (#"{"role":"user","content":5}"#, "messages[0].content"),
        (#"{"role":"user","content":[5]}"#, "messages[0].content[0]"),
        (#"{"role":"user","content":[{"type":"image"}]}"#, "messages[0].content[0].type"),
        (#"{"role":"user","content":[{"type":"document"}]}"#, "messages[0].content[0].type"),
        (#"{"role":"user","content":[{"text":"x"}]}"#, "messages[0].content[0].type"),
        (#"{"role":"user","content":[{"type":"text"}]}"#, "messages[0].content[0].text"),
        (
            #"{"role":"user","content":[{"type":"tool_result"}]}"#,
            "messages[0].content[0].tool_use_id"
        ),
        (
            #"{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":["#
                + #"{"type":"image"}]}]}"#, "messages[0].content[0].content[0].type"
        ),
        (
            #"{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","#
                + #""input":[]}]}"#, "messages[0].content[0].input"
        ),
        (
            #"{"role":"assistant","content":[{"type":"tool_use","name":"f"}]}"#,
            "messages[0].content[0].id"
        ),
        (#"{"role":"assistant","content":"{"}"#, "messages"), ("1", "messages[0]")
    ])
    func namesTheBlock(_ message: String, _ name: String) throws {
        try withServer { server in
            let reply = try server.request(
                "POST", "/v1/messages", #"{"messages":[\#(message)]}"#)
            #expect(reply.status == 400)
            let told = reply.json["error"]?["message"]?.string
            #expect(told?.hasPrefix(name + ": ") == true, "\(reply.body)")
        }
    }

    @Test func errorsHaveAnthropicsStatus() throws {
        try withServer { server in
            let missing = try ask(server, "refuse:modelNotFound")
            #expect(missing.status == 404)
            let told =
                #"{"type":"error","error":{"type":"not_found_error","#
                + #""message":"no: modelNotFound"}}"#
            #expect(missing.body == told)
            let busy = try ask(server, "refuse:overloaded")
            #expect(busy.status == 529 && busy.headers["retry-after"] == "1")
            #expect(busy.json["error"]?["type"]?.string == "overloaded_error")
            #expect(server.records.last?.status == 529 && server.records.last?.isRefusal == true)
            let broken = try ask(server, "break:readFailed", #","stream":true"#)
            #expect(broken.status == 200)
            let last = try #require(events(broken).last)
            #expect(last["type"]?.string == "error")
            #expect(last["error"]?["type"]?.string == "api_error")
            #expect(try ask(server, "break:readFailed").status == 500)
            let json = try server.request("POST", "/v1/messages", "{")
            #expect(json.json["error"]?["type"]?.string == "invalid_request_error")
            let route = try server.request("POST", "/v1/messages/batches", "{}")
            #expect(route.status == 404 && route.json["type"]?.string == "error")
            let method = try server.request("GET", "/v1/messages")
            #expect(method.status == 405 && method.json["type"]?.string == "error")
        }
    }

    @Test func aSilentStreamIsPinged() throws {
        var limits = HTTPLimits()
        limits.streamHeadTime = .milliseconds(20)
        limits.commentInterval = .milliseconds(20)
        let server = try TestServer(limits)
        defer { server.stop() }
        let body =
            #"{"max_tokens":9,"stream":true,"messages":[{"role":"user","content":"prefill"}]}"#
        let socket = try server.connect()
        try socket.send(
            "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)"
                + "\r\n\r\n\(body)")
        let text = socket.read(until: "event: ping\ndata: {\"type\":\"ping\"}\n\n")
        #expect(text.contains(": prefill\nevent: ping\n") && text.contains("message_start"))
        socket.close()
        #expect(eventually { server.service.cancelledCount == 1 })
    }
}
