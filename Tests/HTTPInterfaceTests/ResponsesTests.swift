// The Responses API over a real socket: what its clients send, and what they look for in answers.

import GenerationAPI
import HTTPInterface
import JSON
import Testing

@Suite(.serialized) struct ResponsesTests {
    private func withServer(_ body: (TestServer) throws -> Void) throws {
        let server = try TestServer()
        defer { server.stop() }
        try body(server)
    }

    private func ask(
        _ server: TestServer, _ text: String, _ more: String = ""
    ) throws -> Reply {
        try server.request(
            "POST", "/v1/responses", #"{"model":"echo","input":"\#(text)"\#(more)}"#)
    }

    /// The stream's events: each one's name, which its data repeats, numbered from 0.
    private func events(_ reply: Reply) -> [JSONValue] {
        let events = reply.body.split(separator: "\n\n").map { event in
            let lines = event.split(separator: "\n").filter { !$0.hasPrefix(":") }
            let data = lines.first { $0.hasPrefix("data: ") } ?? ""
            let value = (try? JSONParser.parse(Array(data.dropFirst(6).utf8))) ?? .null
            #expect(lines.first == "event: \(value["type"]?.string ?? "?")")
            return value
        }
        #expect(events.map { $0["sequence_number"]?.integer } == (0..<events.count).map(Int64.init))
        return events
    }

    @Test func answersAsAWhole() throws {
        try withServer { server in
            let reply = try ask(
                server, "hello",
                #","max_output_tokens":9,"temperature":0.1,"metadata":{"a":"b"},"store":true,"#
                    + #""include":["reasoning.encrypted_content"],"truncation":"auto","#
                    + #""text":{"format":{"type":"text"},"verbosity":"low"},"#
                    + #""parallel_tool_calls":false"#)
            #expect(reply.status == 200, "\(reply.body)")
            let json = reply.json
            #expect(json["object"]?.string == "response" && json["status"]?.string == "completed")
            #expect(json["id"]?.string?.hasPrefix("resp_") == true)
            #expect(json["model"]?.string == "echo" && json["error"] == .null)
            #expect(json["metadata"] == .object(["a": .string("b")]))
            #expect(json["temperature"]?.double == 0.1 && json["store"]?.boolean == false)
            #expect(json["max_output_tokens"]?.integer == 9)
            #expect(json["parallel_tool_calls"]?.boolean == false)
            let items = try #require(json["output"]?.array)
            #expect(items.count == 1 && items[0]["type"]?.string == "message")
            #expect(items[0]["status"]?.string == "completed")
            let part = items[0]["content"]?.array?.first
            #expect(part?["type"]?.string == "output_text" && part?["text"]?.string == "hello")
            let usage = json["usage"]
            #expect(usage?["input_tokens"]?.integer == 3 && usage?["total_tokens"]?.integer == 5)
            #expect(json["timings"]?["predicted_n"]?.integer == 2)
            let order = try #require(server.service.orders.last)
            #expect(order.tokensMax == 9 && !order.allowsParallelCalls)
            #expect(server.records.last?.route == "/v1/responses")
            let long = try ask(server, "big:7").json
            #expect(long["status"]?.string == "incomplete")
            #expect(long["incomplete_details"]?["reason"]?.string == "max_output_tokens")
            #expect(long["output"]?.array?.first?["status"]?.string == "incomplete")
        }
    }

    @Test func streamsTypedEvents() throws {
        try withServer { server in
            let reply = try ask(server, "hello", #","stream":true"#)
            #expect(reply.headers["content-type"] == "text/event-stream; charset=utf-8")
            let events = events(reply)
            #expect(
                events.map { $0["type"]?.string } == [
                    "response.created", "response.in_progress", "response.output_item.added",
                    "response.content_part.added", "response.output_text.delta",
                    "response.output_text.delta", "response.output_text.done",
                    "response.content_part.done", "response.output_item.done",
                    "response.completed"
                ])
            #expect(events[0]["response"]?["status"]?.string == "in_progress")
            let item = events[2]["item"]
            #expect(item?["status"]?.string == "in_progress" && item?["content"] == .array([]))
            #expect(events[4]["item_id"] == item?["id"])
            #expect(events[4]["delta"]?.string == "hel" && events[6]["text"]?.string == "hello")
            let response = events[9]["response"]
            #expect(response?["output"]?.array?.first == events[8]["item"])
            #expect(response?["id"] == events[0]["response"]?["id"])
            #expect(response?["usage"]?["output_tokens"]?.integer == 2)
            #expect(!reply.body.contains("[DONE]"))
            let long = self.events(try ask(server, "big:700000", #","stream":true"#))
            #expect(long.last?["type"]?.string == "response.incomplete")
            let text = long.last?["response"]?["output"]?.array?.first?["content"]?.array?.first
            #expect(text?["text"]?.string?.utf8.count == 700_000)
        }
    }

    @Test func thoughtsAndCallsAreItems() throws {
        try withServer { server in
            let tools =
                #","tools":[{"type":"function","name":"get","description":"d","strict":false,"#
                + #""parameters":{"type":"object","properties":{"b":{},"a":{}}}},"#
                + #"{"type":"web_search"},{"type":"web_search_preview_2025_03_11"}]"#
            let whole = try ask(server, "call", tools).json["output"]?.array ?? []
            #expect(
                whole.map { $0["type"]?.string } == ["reasoning", "function_call", "function_call"])
            #expect(whole[0]["content"]?.array?.first?["text"]?.string == "Hm.")
            #expect(whole[2]["arguments"]?.string == #"{"a":1}"#)
            #expect(whole[2]["call_id"]?.string == "call_1" && whole[2]["name"]?.string == "get")
            let expected =
                #"[{"type":"function","function":{"name":"get","description":"d","parameters":"#
                + #"{"type":"object","properties":{"b":{},"a":{}}}}}]"#
            #expect(server.service.orders.last?.tools == expected)
            let events = events(try ask(server, "call", tools + #","stream":true"#))
            let done = events.filter { $0["type"]?.string == "response.output_item.done" }
            #expect(done.map { $0["output_index"]?.integer } == [0, 1, 2])
            #expect(
                done.map { $0["item"]?["status"]?.string } == [
                    "completed", "completed", "completed"
                ])
            let last = events.last?["response"]
            #expect(last?["output"] == .array(done.compactMap { $0["item"] }))
            let arguments = events.filter {
                $0["type"]?.string == "response.function_call_arguments.delta"
            }
            #expect(
                arguments.compactMap { $0["delta"]?.string } == ["{\"a\":", "0}", "{\"a\":", "1}"])
            let none = tools + #","tool_choice":"none""#
            #expect(try ask(server, "hello", none).status == 200)
            #expect(server.service.orders.last?.tools == nil)
        }
    }

    /// As an agent sends it, which keeps the conversation itself.
    @Test func itemsAreRead() throws {
        try withServer { server in
            let body = #"""
                {"model":"echo","instructions":"i","stream":true,"store":false,
                "prompt_cache_key":"k","include":[],"reasoning":{"effort":"high","summary":"auto"},
                "tool_choice":"auto","parallel_tool_calls":false,"tools":[],"input":[
                {"type":"message","role":"developer","content":[{"type":"input_text","text":"d"}]},
                {"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]},
                {"role":"user","content":"b"},
                {"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":null,
                "content":[{"type":"reasoning_text","text":"h"}]},
                {"type":"message","role":"assistant","content":[{"type":"output_text","text":"c"}]},
                {"type":"function_call","call_id":"1","name":"f","arguments":"{}"},
                {"type":"function_call","call_id":"2","name":"g"},
                {"type":"function_call_output","call_id":"1","output":"r"},
                {"type":"function_call_output","call_id":"2","output":[
                {"type":"input_text","text":"s"}]},
                {"type":"reasoning","summary":[]},
                {"role":"user","content":"e"}]}
                """#
            #expect(try server.request("POST", "/responses", body).status == 200)
            let order = try #require(server.service.orders.last)
            guard case .chat(let messages) = order.prompt else {
                Issue.record("no chat")
                return
            }
            #expect(
                messages.map(\.role) == ["system", "user", "assistant", "tool", "tool", "user"])
            #expect(messages.map(\.content) == ["i\n\nd", "a\n\nb", "c", "r", "s", "e"])
            #expect(messages[2].reasoning == "h")
            #expect(messages[2].toolCalls.map(\.name) == ["f", "g"])
            #expect(messages[4].toolCallID == "2")
            #expect(order.templateArguments == #"{"reasoning_effort":"high"}"#)
        }
    }

    @Test(arguments: [
        (#""input":null"#, "input"), (#""input":[]"#, "input"), (#""input":5"#, "input"),
        (#""input":[5]"#, "input[0]"), (#""input":[{"type":"item_reference"}]"#, "input[0].type"),
        (#""input":[{"role":"tool","content":"x"}]"#, "input[0].role"),
        (#""input":[{"role":"user"}]"#, "input[0].content"),
        (
            #""input":[{"role":"user","content":[{"type":"input_image"}]}]"#,
            "input[0].content[0].type"
        ),
        (#""input":[{"type":"function_call","name":"f"}]"#, "input[0].call_id"),
        (#""input":[{"type":"function_call_output","call_id":"1"}]"#, "input[0].output"),
        (#""previous_response_id":"resp_1""#, "previous_response_id"),
        (#""conversation":"c""#, "conversation"), (#""background":true"#, "background"),
        (#""text":{"format":{"type":"xml"}}"#, "text.format.type"),
        (#""text":{"format":{"type":"json_schema"}}"#, "text.format.schema"),
        (#""tool_choice":"required""#, "tool_choice"),
        (#""tools":[{"type":"custom","name":"f"}]"#, "tools[0].type"),
        (#""tools":[{"type":"function"}]"#, "tools[0].name"),
        (#""tools":[{"type":"function","name":"f","strict":1}]"#, "tools[0].strict"),
        (#""tool_choice":{"type":"allowed_tools"}"#, "tool_choice.type"),
        (#""tool_choice":{"type":"function","name":"f"}"#, "tool_choice"),
        (#""reasoning":{"effort":"vast"}"#, "reasoning.effort"),
        (#""include":["message.output_text.logprobs"]"#, "include"),
        (#""metadata":{"a":1}"#, "metadata"), (#""max_output_tokens":0"#, "max_output_tokens"),
        (#""sluice":{"x":1}"#, "sluice.x")
    ])
    func refusesByName(_ field: String, _ name: String) throws {
        try withServer { server in
            let input = field.hasPrefix("\"input\"") ? "" : #","input":"hello""#
            let reply = try server.request("POST", "/v1/responses", "{\(field)\(input)}")
            #expect(reply.status == 400, "\(reply.body)")
            #expect(reply.json["error"]?["param"]?.string == name, "\(reply.body)")
            #expect(server.service.orders.isEmpty)
        }
    }

    @Test func failuresEndAStream() throws {
        try withServer { server in
            let busy = try ask(server, "refuse:overloaded", #","stream":true"#)
            #expect(busy.status == 429)
            let events = events(try ask(server, "break:readFailed", #","stream":true"#))
            let last = try #require(events.last)
            #expect(last["type"]?.string == "response.failed")
            #expect(last["response"]?["status"]?.string == "failed")
            #expect(last["response"]?["error"]?["code"]?.string == "read_failed")
            #expect(try ask(server, "break:readFailed").status == 500)
            #expect(try server.request("GET", "/v1/responses").status == 405)
        }
    }
}
