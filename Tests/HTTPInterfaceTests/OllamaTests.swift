// Ollama's routes over a real socket: what its clients send, and what they look for in answers.

import GenerationAPI
import HTTPInterface
import JSON
import Testing

@Suite(.serialized) struct OllamaTests {
    private func withServer(_ body: (TestServer) throws -> Void) throws {
        let server = try TestServer()
        defer { server.stop() }
        try body(server)
    }

    private func chat(_ server: TestServer, _ text: String, _ more: String = "") throws -> Reply {
        try server.request(
            "POST", "/api/chat",
            #"{"model":"echo","messages":[{"role":"user","content":"\#(text)"}]\#(more)}"#)
    }

    private func lines(_ reply: Reply) -> [JSONValue] {
        reply.body.split(separator: "\n").map {
            (try? JSONParser.parse(Array($0.utf8))) ?? .null
        }
    }

    @Test func streamsAChatWithoutBeingAskedTo() throws {
        try withServer { server in
            let reply = try chat(server, "hello")
            #expect(reply.status == 200)
            #expect(reply.headers["content-type"] == "application/x-ndjson")
            #expect(
                reply.body.hasPrefix(
                    #"{"model":"echo","created_at":"2023-11-14T22:13:20Z","message":"#
                        + #"{"role":"assistant","content":"hel"},"done":false}"# + "\n"))
            let lines = lines(reply)
            #expect(lines.count == 3 && reply.body.hasSuffix("}\n"))
            #expect(lines.map { $0["message"]?["content"]?.string } == ["hel", "lo", ""])
            let last = lines[2]
            #expect(last["done"]?.boolean == true && last["done_reason"]?.string == "stop")
            #expect(last["prompt_eval_count"]?.integer == 3 && last["eval_count"]?.integer == 2)
            #expect(last["prompt_eval_duration"]?.integer == 500_000_000)
            #expect(last["eval_duration"]?.integer == 250_000_000)
            #expect(last["total_duration"]?.integer == 750_000_000)
            #expect(last["load_duration"]?.integer == 0)
            #expect(server.records.last?.route == "/api/chat")
        }
    }

    @Test func answersAsAWhole() throws {
        try withServer { server in
            let chat = try chat(server, "big:7", #","stream":false"#)
            #expect(chat.headers["content-type"] == "application/json")
            #expect(chat.json["message"]?["content"]?.string == "xxxxxxx")
            #expect(chat.json["done_reason"]?.string == "length")
            let text = try server.request(
                "POST", "/api/generate",
                #"{"model":"echo:latest","prompt":"hello","stream":false}"#)
            #expect(text.json["response"]?.string == "hello" && text.json["message"] == nil)
            // As the client calls it.
            #expect(text.json["model"]?.string == "echo:latest")
            #expect(server.service.orders.last?.model == "echo:latest")
        }
    }

    @Test(arguments: [true, false]) func callsHaveObjects(_ streams: Bool) throws {
        try withServer { server in
            let tools = #","tools":[{"type":"function","function":{"name":"get","b":1,"a":2}}]"#
            let reply = try chat(server, "call", tools + #","stream":\#(streams)"#)
            let lines = lines(reply)
            let calls = lines.flatMap { $0["message"]?["tool_calls"]?.array ?? [] }
            #expect(calls.count == 2)
            for (index, call) in calls.enumerated() {
                #expect(call["function"]?["name"]?.string == "get")
                #expect(call["id"]?.string == "call_\(index)")
                let arguments = call["function"]?["arguments"]
                #expect(arguments == .object(["a": .integer(Int64(index))]))
            }
            let thoughts = lines.compactMap { $0["message"]?["thinking"]?.string }
            #expect(thoughts.joined() == "Hm.")
            #expect(lines.last?["done_reason"]?.string == "stop")
            let order = try #require(server.service.orders.last)
            #expect(order.tools?.contains(#""b":1,"a":2"#) == true)
        }
    }

    @Test func messagesAreRead() throws {
        try withServer { server in
            let body = #"""
                {"model":"echo","stream":false,"think":"low","messages":[
                {"role":"system","content":"s"},
                {"role":"assistant","content":"","thinking":"t","images":[],"tool_calls":[
                {"function":{"name":"f","arguments":{"z":1, "a":2}}},
                {"id":"own","function":{"name":"g","arguments":{}}}]},
                {"role":"tool","content":"2","tool_name":"g"},
                {"role":"tool","content":"1"},{"role":"user","content":"hello"}]}
                """#
            #expect(try server.request("POST", "/api/chat", body).status == 200)
            let order = try #require(server.service.orders.last)
            guard case .chat(let messages) = order.prompt else {
                Issue.record("no chat")
                return
            }
            #expect(messages.map(\.role) == ["system", "assistant", "tool", "tool", "user"])
            #expect(messages[1].reasoning == "t")
            #expect(
                messages[1].toolCalls == [
                    ToolCall(id: "call00000", name: "f", arguments: #"{"z":1, "a":2}"#),
                    ToolCall(id: "own", name: "g", arguments: "{}")
                ])
            #expect(messages[2].toolCallID == "own" && messages[2].name == "g")
            #expect(messages[3].toolCallID == "call00000")
            #expect(
                order.templateArguments
                    == #"{"enable_thinking":true,"thinking":true,"reasoning_effort":"low"}"#)
        }
    }

    @Test func optionsAreRead() throws {
        try withServer { server in
            let options =
                #","options":{"num_predict":5,"temperature":0.5,"top_k":3,"top_p":0.25,"#
                + #""min_p":0.125,"seed":9,"stop":["a","b"],"num_ctx":999999999,"#
                + #""repeat_penalty":1.5,"repeat_last_n":-1,"presence_penalty":1,"#
                + #""frequency_penalty":2,"num_gpu":9,"mirostat":0,"nobody":"knows"}"#
            let more = #","keep_alive":"10m","think":false,"format":"""# + options
            #expect(try chat(server, "hello", more).status == 200)
            let order = try #require(server.service.orders.last)
            #expect(order.tokensMax == 5 && order.stopStrings == ["a", "b"])
            let sampling = order.sampling
            #expect(sampling.temperature == 0.5 && sampling.topK == 3 && sampling.seed == 9)
            #expect(sampling.topP == 0.25 && sampling.minP == 0.125)
            #expect(sampling.repetitionPenalty == 1.5 && sampling.penaltyWindow == -1)
            #expect(sampling.presencePenalty == 1 && sampling.frequencyPenalty == 2)
            #expect(order.templateArguments == #"{"enable_thinking":false,"thinking":false}"#)
            #expect(try chat(server, "hello", #","options":{"num_predict":-1}"#).status == 200)
            #expect(server.service.orders.last?.tokensMax == nil)
        }
    }

    @Test func promptsAreRawOrNot() throws {
        try withServer { server in
            func prompt(_ more: String) throws -> GenerationOrder.Prompt {
                let body = #"{"model":"echo","prompt":"hello"\#(more)}"#
                #expect(try server.request("POST", "/api/generate", body).status == 200)
                return try #require(server.service.orders.last).prompt
            }
            let user = ChatMessage(role: "user", content: "hello")
            let plain = try prompt("")
            #expect(plain == .chat([user]))
            let system = ChatMessage(role: "system", content: "s")
            let both = try prompt(#","system":"s""#)
            #expect(both == .chat([system, user]))
            let raw = try prompt(#","raw":true"#)
            #expect(raw == .text("hello"))
        }
    }

    @Test func nothingToAnswerLoads() throws {
        try withServer { server in
            for (route, body) in [
                ("/api/chat", #"{"model":"echo","messages":[]}"#),
                ("/api/generate", #"{"model":"echo","keep_alive":-1}"#)
            ] {
                let reply = try server.request("POST", route, body)
                #expect(reply.status == 200 && reply.json["done"]?.boolean == true)
                #expect(reply.json["done_reason"]?.string == "load")
                let order = try #require(server.service.orders.last)
                #expect(order.wanted == .tokens(TokenizingRules()))
            }
        }
    }

    @Test(arguments: [
        (#""10m""#, KeepAlive.seconds(600)), (#""1h30m""#, .seconds(5400)), ("7", .seconds(7)),
        (#""-1s""#, .always), ("-1", .always), ("0", .seconds(0)), (#""0""#, .seconds(0)),
        (#""1.5s""#, .seconds(1.5))
    ])
    func readsHowLongAModelStays(_ value: String, _ meant: KeepAlive) throws {
        try withServer { server in
            let reply = try chat(server, "hello", #","keep_alive":"# + value)
            #expect(reply.status == 200)
            #expect(server.service.orders.last?.keepAlive == meant)
        }
    }

    /// Without a prompt, no time at all is the end of it.
    @Test func unloadsOnDemand() throws {
        try withServer { server in
            let body = #"{"model":"echo","prompt":"","keep_alive":"0s"}"#
            let reply = try server.request("POST", "/api/generate", body)
            #expect(reply.status == 200 && reply.json["done_reason"]?.string == "unload")
            #expect(server.service.orders.last?.wanted == .unloading)
        }
    }

    @Test(arguments: [
        (#""format":"xml""#, "format"), (#""format":1"#, "format"),
        (#""images":["aGk="]"#, "images"), (#""template":"x""#, "template"),
        (#""suffix":"x""#, "suffix"), (#""context":[1]"#, "context"),
        (#""logprobs":true"#, "logprobs"), (#""stream":1"#, "stream"),
        (#""options":[]"#, "options"), (#""options":{"temperature":"hot"}"#, "options.temperature"),
        (#""options":{"mirostat":2}"#, "options.mirostat"),
        (#""options":{"num_ctx":0}"#, "options.num_ctx"),
        (#""options":{"num_predict":0}"#, "options.num_predict"),
        (#""keep_alive":"soon""#, "keep_alive"), (#""keep_alive":"5""#, "keep_alive"),
        (#""keep_alive":[]"#, "keep_alive"), (#""think":"much""#, "think"),
        (#""system":"s","raw":true"#, "system"), (#""raw":1"#, "raw"),
        (#""sluice":{"x":1}"#, "sluice.x")
    ])
    func refusesByName(_ field: String, _ name: String) throws {
        try withServer { server in
            let prompt = field.contains("\"prompt\"") ? "" : #","prompt":"hello""#
            let body = #"{"model":"echo","# + field + prompt + "}"
            let reply = try server.request("POST", "/api/generate", body)
            #expect(reply.status == 400, "\(reply.body)")
            let message = reply.json["error"]?.string
            #expect(message?.hasPrefix(name + ":") == true, "\(reply.body)")
            #expect(server.service.orders.isEmpty)
        }
    }

    @Test(arguments: [
        (#"{"content":"x"}"#, "messages[0].role"), (#"{"role":"function"}"#, "messages[0].role"),
        (#"{"role":"user","content":1}"#, "messages[0].content"),
        (#"{"role":"user","content":"x","images":["aGk="]}"#, "messages[0].images"),
        (#"{"role":"user","tool_calls":[{}]}"#, "messages[0].tool_calls"),
        (#"{"role":"assistant","tool_calls":[{}]}"#, "messages[0].tool_calls[0].function"),
        (
            #"{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":[]}}]}"#,
            "messages[0].tool_calls[0].function.arguments"
        ), ("1", "messages[0]: expected an object")
    ])
    func namesTheMessage(_ message: String, _ name: String) throws {
        try withServer { server in
            let reply = try server.request(
                "POST", "/api/chat", #"{"model":"echo","messages":[\#(message)]}"#)
            #expect(reply.status == 400)
            #expect(reply.json["error"]?.string?.hasPrefix(name) == true, "\(reply.body)")
        }
    }

    @Test func errorsAreTextsWithOllamasStatus() throws {
        try withServer { server in
            let missing = try chat(server, "refuse:modelNotFound")
            #expect(missing.status == 404 && missing.body == #"{"error":"no: modelNotFound"}"#)
            let busy = try chat(server, "refuse:overloaded")
            #expect(busy.status == 503 && busy.headers["retry-after"] == "1")
            #expect(server.records.last?.status == 503)
            // A stream that has begun ends with a line.
            let broken = try chat(server, "break:readFailed")
            #expect(broken.status == 200)
            #expect(broken.body.hasSuffix(#"{"error":"broken: readFailed"}"# + "\n"))
            let whole = try chat(server, "break:readFailed", #","stream":false"#)
            #expect(whole.status == 500 && whole.json["error"]?.string == "broken: readFailed")
            let json = try server.request("POST", "/api/chat", "{")
            #expect(json.status == 400 && json.json["error"]?.string != nil)
            let route = try server.request("POST", "/api/push", "{}")
            #expect(route.status == 404 && route.json["error"]?.string != nil)
            let method = try server.request("GET", "/api/chat")
            #expect(method.status == 405 && method.json["error"]?.string != nil)
            #expect(method.headers["allow"] == "POST")
        }
    }

    @Test func tellsOfModels() throws {
        try withServer { server in
            let tags = try server.request("GET", "/api/tags").json["models"]?.array ?? []
            #expect(tags.map { $0["model"]?.string } == ["echo:latest", "other/one:latest"])
            #expect(tags[0]["name"] == tags[0]["model"] && tags[0]["size"]?.integer == 7)
            #expect(tags[0]["modified_at"]?.string == "2023-11-14T22:13:20Z")
            #expect(tags[0]["details"]?["family"]?.string == "fake")
            #expect(tags[0]["digest"]?.string?.utf8.count == 64)
            #expect(tags[0]["digest"] != tags[1]["digest"])
            let running = try server.request("GET", "/api/ps").json["models"]?.array ?? []
            #expect(running.map { $0["name"]?.string } == ["echo:latest"])
            #expect(running[0]["digest"] == tags[0]["digest"])
            let show = try server.request("POST", "/api/show", #"{"model":"echo:latest"}"#)
            let info = show.json["model_info"]
            #expect(show.status == 200 && info?["general.architecture"]?.string == "fake")
            #expect(show.json["capabilities"]?.array?.contains(.string("completion")) == true)
            let missing = try server.request("POST", "/api/show", #"{"name":"nobody"}"#)
            #expect(missing.status == 404 && missing.json["error"]?.string != nil)
            #expect(try server.request("POST", "/api/show", "{}").status == 400)
            let version = try server.request("GET", "/api/version").json
            #expect(version["version"]?.string == SluiceVersion.current)
            let root = try server.request("GET", "/")
            #expect(root.body == "Ollama is running")
            #expect(root.headers["content-type"] == "text/plain")
            #expect(try server.request("HEAD", "/").status == 200)
        }
    }
}
