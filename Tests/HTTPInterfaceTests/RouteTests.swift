// Every route over a real socket, byte for byte where clients depend on it.

import GenerationAPI
import HTTPInterface
import JSON
import NIOCore
import Testing

@Suite(.serialized) struct RouteTests {
    private func withServer(
        _ limits: HTTPLimits = HTTPLimits(), _ body: (TestServer) throws -> Void
    ) throws {
        let server = try TestServer(limits)
        defer { server.stop() }
        try body(server)
    }

    @Test func answersHealth() throws {
        try withServer { server in
            #expect(try server.request("GET", "/health").body == #"{"status":"ok"}"#)
            server.service.state = .loading(model: "m")
            let loading = try server.request("GET", "/health")
            #expect(loading.status == 503)
            #expect(loading.headers["retry-after"] == "1")
            #expect(loading.json["error"]?["message"]?.string == "loading m")
            server.service.state = .draining
            #expect(try server.request("GET", "/health").status == 503)
        }
    }

    @Test func listsModels() throws {
        try withServer { server in
            let list = try server.request("GET", "/v1/models").json
            #expect(list["object"]?.string == "list")
            let first = try #require(list["data"]?.array?.first)
            #expect(first["id"]?.string == "echo")
            #expect(first["object"]?.string == "model")
            #expect(first["created"]?.integer == 1_700_000_000)
            #expect(first["owned_by"]?.string == "sluice")
            #expect(first["sluice"]?["loaded"]?.boolean == true)
            #expect(try server.request("GET", "/v1/models/echo").json == first)
            let other = try server.request("GET", "/v1/models/other%2Fone").json
            #expect(other["id"]?.string == "other/one")
            let missing = try server.request("GET", "/v1/models/none")
            #expect(missing.status == 404)
            #expect(missing.json["error"]?["code"]?.string == "model_not_found")
            for bad in ["%", "%2", "%zz", "%ff"] {
                #expect(try server.request("GET", "/v1/models/\(bad)").status == 404)
            }
        }
    }

    @Test(arguments: [
        "http://localhost/v1/models", "http://localhost:80/v1/models?x=1", "HTTP://h/models",
        "/models", "/models/", "//v1//models", "/v1/models/", "https://[::1]/v1/models#f"
    ])
    func servesEveryFormOfATarget(_ target: String) throws {
        try withServer { server in
            let reply = try server.request("GET", target)
            #expect(reply.status == 200 && reply.json["object"]?.string == "list", "\(target)")
        }
    }

    @Test(arguments: [
        "/chat/completions", "/v1//chat/completions/", "http://x/chat/completions"
    ])
    func servesChatsWithoutTheVersion(_ target: String) throws {
        try withServer { server in
            let body = #"{"messages":[{"role":"user","content":"hello"}]}"#
            let reply = try server.request("POST", target, body)
            #expect(reply.status == 200)
        }
    }

    @Test func servesTheRestWithoutTheVersion() throws {
        try withServer { server in
            let completion = try server.request("POST", "/completions", #"{"prompt":"a"}"#)
            #expect(completion.status == 200)
            for target in ["/models/echo", "/v1/models/echo:latest", "/v1//models/echo"] {
                let model = try server.request("GET", target).json
                #expect(model["id"]?.string == "echo", "\(target)")
            }
            #expect(try server.request("GET", "http://localhost").body == "Ollama is running")
            // A browser gets the page, which may not do more than ask here.
            let page = try server.raw(
                "GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html,*/*;q=0.8\r\n"
                    + "Connection: close\r\n\r\n")
            #expect(page.status == 200 && page.body.hasPrefix("<!DOCTYPE html>"))
            #expect(page.body.hasSuffix("</html>\n"))
            #expect(page.headers["content-type"] == "text/html; charset=utf-8")
            let policy = page.headers["content-security-policy"] ?? ""
            #expect(policy.hasPrefix("default-src 'none'") && policy.contains("connect-src 'self'"))
            #expect(!page.body.contains("http://") && !page.body.contains("https://"))
        }
    }

    @Test(arguments: [
        ("/v1/chat/completion", "POST /v1/chat/completions"), ("/v1/modles", "GET /v1/models"),
        ("/v1/v1/chat/completions", "POST /v1/chat/completions"), ("/healthz", "GET /health"),
        ("/api/v1/completions", "POST /v1/completions"),
        ("/favicon.ico", "/v1/models, /health")
    ])
    func namesTheNearestRoute(_ target: String, _ near: String) throws {
        try withServer { server in
            let reply = try server.request("GET", target)
            #expect(reply.status == 404)
            #expect(
                reply.json["error"]?["message"]?.string?.contains(near) == true, "\(reply.body)")
        }
    }

    @Test func unknownModelsAreToldWhichThereAre() throws {
        try withServer { server in
            let message = try server.request("GET", "/v1/models/none").json["error"]?["message"]
            #expect(message?.string == "no model 'none'; there are 'echo', 'other/one'")
        }
    }

    @Test func refusesOtherRoutesAndMethods() throws {
        try withServer { server in
            let missing = try server.request("GET", "/v1/nothing")
            #expect(missing.status == 404)
            #expect(missing.json["error"]?["type"]?.string == "invalid_request_error")
            let wrong = try server.request("GET", "/v1/chat/completions")
            #expect(wrong.status == 405)
            #expect(wrong.headers["allow"] == "POST")
            let posted = try server.request("POST", "/v1/models", "{}")
            #expect(posted.status == 405)
            #expect(posted.headers["allow"] == "GET, HEAD")
            let head = try server.request("HEAD", "/health")
            #expect(head.status == 200)
            #expect(head.body.isEmpty)
            #expect(try server.request("GET", "/health?x=1").status == 200)
        }
    }

    @Test func answersAChatWhole() throws {
        try withServer { server in
            let reply = try server.chat("hello", #","model":"m","sluice":{"statistics":true}"#)
            #expect(reply.status == 200)
            #expect(reply.headers["content-type"] == "application/json")
            let json = reply.json
            #expect(json["object"]?.string == "chat.completion")
            #expect(json["id"]?.string?.hasPrefix("chatcmpl-") == true)
            #expect(json["created"]?.integer == 1_700_000_000)
            #expect(json["model"]?.string == "m")
            let choice = try #require(json["choices"]?.array?.first)
            #expect(choice["message"]?["content"]?.string == "hello")
            #expect(choice["message"]?["role"]?.string == "assistant")
            #expect(choice["finish_reason"]?.string == "stop")
            #expect(choice["logprobs"] == .null)
            #expect(json["usage"]?["prompt_tokens"]?.integer == 3)
            #expect(json["usage"]?["completion_tokens"]?.integer == 2)
            #expect(json["usage"]?["total_tokens"]?.integer == 5)
            #expect(json["timings"]?["prompt_n"]?.integer == 3)
            #expect(json["timings"]?["prompt_ms"]?.double == 500)
            #expect(json["timings"]?["prompt_per_second"]?.double == 6)
            #expect(json["timings"]?["predicted_n"]?.integer == 2)
            #expect(json["timings"]?["predicted_per_second"]?.double == 8)
            #expect(json["timings"]?["draft_n"]?.integer == 4)
            #expect(json["timings"]?["draft_n_accepted"]?.integer == 1)
            #expect(json["sluice"]?["flash_bytes"]?.integer == 4096)
            #expect(json["sluice"]?["bundle_hit_rate"]?.double == 0.75)
            #expect(json["sluice"]?["kv_bytes"]?.integer == 512)
            #expect(server.records.last?.generatedTokens == 2)
            #expect(server.records.last?.outcome == "stop")
        }
    }

    @Test func draftsAreTimedWhereThereAreAny() throws {
        var writer = AnswerWriter(
            options: AnswerOptions(kind: .chat), identifier: "1", created: 0, model: "m")
        let whole = writer.whole(AnswerText(), probabilities: [], .stop, GenerationStatistics())
        let json = try JSONParser.parse(Array(whole.readableBytesView))
        #expect(json["timings"]?["predicted_n"]?.integer == 0)
        #expect(json["timings"]?["draft_n"] == nil)
    }

    @Test func streamsAChat() throws {
        try withServer { server in
            let more = #","stream":true,"stream_options":{"include_usage":true}"#
            let reply = try server.chat("hello", more)
            #expect(reply.headers["content-type"] == "text/event-stream; charset=utf-8")
            #expect(reply.events.last == "[DONE]")
            let chunks = reply.events.dropLast().map { text in
                (try? JSONParser.parse(Array(text.utf8))) ?? .null
            }
            #expect(chunks.count == 5)
            #expect(Set(chunks.map { $0["id"]?.string }).count == 1)
            #expect(chunks.allSatisfy { $0["object"]?.string == "chat.completion.chunk" })
            let deltas = chunks.dropLast().compactMap { $0["choices"]?.array?.first }
            #expect(
                deltas[0]["delta"]
                    == .object(["role": .string("assistant"), "content": .string("")]))
            #expect(deltas[1]["delta"] == .object(["content": .string("hel")]))
            #expect(deltas[2]["delta"] == .object(["content": .string("lo")]))
            #expect(deltas[3]["delta"] == .object([:]))
            #expect(deltas.map { $0["finish_reason"]?.string } == [nil, nil, nil, "stop"])
            #expect(chunks.dropLast().allSatisfy { $0["usage"] == .null })
            #expect(chunks[3]["timings"]?["predicted_n"]?.integer == 2)
            #expect(chunks[4]["choices"] == .array([]))
            #expect(chunks[4]["usage"]?["total_tokens"]?.integer == 5)
        }
    }

    @Test func streamsWithoutUsageUnlessAsked() throws {
        try withServer { server in
            let reply = try server.chat("hello", #","stream":true"#)
            #expect(reply.events.count == 5)
            #expect(!reply.body.contains("usage"))
            #expect(!reply.body.contains("\"sluice\""))
        }
    }

    @Test func completesText() throws {
        try withServer { server in
            let whole = try server.request("POST", "/v1/completions", #"{"prompt":"hello"}"#).json
            #expect(whole["object"]?.string == "text_completion")
            #expect(whole["id"]?.string?.hasPrefix("cmpl-") == true)
            #expect(whole["choices"]?.array?.first?["text"]?.string == "hello")
            let stream = try server.request(
                "POST", "/v1/completions", #"{"prompt":"hello","stream":true}"#)
            let texts = stream.events.dropLast().map { text in
                (try? JSONParser.parse(Array(text.utf8)))?["choices"]?.array?.first?["text"]?.string
            }
            #expect(texts == ["hel", "lo", ""])
        }
    }

    @Test func reportsProbabilities() throws {
        try withServer { server in
            let chat = try server.chat("probabilities", #","logprobs":true,"top_logprobs":2"#).json
            let content = try #require(
                chat["choices"]?.array?.first?["logprobs"]?["content"]?.array?.first)
            #expect(content["token"]?.string == "p")
            #expect(content["logprob"]?.double == -0.5)
            #expect(content["bytes"] == .array([.integer(0x70)]))
            let top = try #require(content["top_logprobs"]?.array)
            #expect(top.count == 2)
            #expect(top[1]["bytes"] == .array([.integer(0xE2), .integer(0x80)]))
            #expect(top[1]["logprob"]?.double == -9999)
            let text = try server.request(
                "POST", "/v1/completions", #"{"prompt":"probabilities","logprobs":2}"#
            ).json
            #expect(
                text["choices"]?.array?.first?["logprobs"]
                    == .object([
                        "tokens": .array([.string("p")]),
                        "token_logprobs": .array([.number(-0.5)]),
                        "top_logprobs": .array([
                            .object(["p": .number(-0.5), #"bytes:\xe2\x80"#: .number(-9999)])
                        ]),
                        "text_offset": .array([.integer(0)])
                    ]))
        }
    }

    @Test(arguments: GenerationError.Reason.allCases)
    func mapsEveryReasonToAStatus(_ reason: GenerationError.Reason) throws {
        let statuses: [GenerationError.Reason: Int] = [
            .invalidRequest: 400, .modelNotFound: 404, .modelInvalid: 500, .contextExceeded: 400,
            .templateUnsupported: 400, .overloaded: 429, .draining: 503, .budgetExceeded: 507,
            .readFailed: 500, .readerRefused: 500, .cancelled: 503, .internalError: 500
        ]
        try withServer { server in
            for stream in ["", #","stream":true"#] {
                let reply = try server.chat("refuse:\(reason)", stream)
                #expect(reply.status == statuses[reason])
                let error = try #require(reply.json["error"])
                #expect(error["message"]?.string == "no: \(reason)")
                #expect(error["param"]?.string == "model")
                #expect(error["code"]?.string == reason.code)
                #expect(GenerationError.Reason(code: reason.code) == reason)
                let mayRetry = [.overloaded, .draining, .cancelled].contains(reason)
                #expect((reply.headers["retry-after"] != nil) == mayRetry)
            }
        }
    }

    @Test func failsWithinAStreamByAnEvent() throws {
        try withServer { server in
            let reply = try server.chat("break:readFailed", #","stream":true"#)
            #expect(reply.status == 200)
            let last = try #require(reply.events.last)
            let error = try JSONParser.parse(Array(last.utf8))
            #expect(error["error"]?["code"]?.string == "read_failed")
            #expect(!reply.events.contains("[DONE]"))
            let whole = try server.chat("break:readFailed")
            #expect(whole.status == 500)
        }
    }

    @Test func keepsConnectionsAliveAndInOrder() throws {
        try withServer { server in
            let socket = try server.connect()
            let body = #"{"prompt":"one"}"#
            let post =
                "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)"
                + "\r\n\r\n\(body)"
            let get = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            try socket.send(post + post + get)
            let text = socket.readToEnd()
            let parts = text.split(separator: "HTTP/1.1 200 OK")
            #expect(parts.count == 3)
            #expect(parts.last?.contains(#"{"status":"ok"}"#) == true)
            #expect(server.service.orders.count == 2)
        }
    }

    @Test func speaksHTTP10() throws {
        try withServer { server in
            let body = #"{"prompt":"hello","stream":true}"#
            let text = "POST /v1/completions HTTP/1.0\r\nContent-Length: \(body.utf8.count)"
            let reply = try server.raw(text + "\r\n\r\n" + body)
            #expect(reply.status == 200)
            #expect(reply.headers["transfer-encoding"] == nil)
            #expect(reply.events.last == "[DONE]")
        }
    }

    @Test func invitesALargeBody() throws {
        try withServer { server in
            let socket = try server.connect()
            let body = #"{"prompt":"hello"}"#
            try socket.send(
                "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                    + "Expect: 100-continue\r\nContent-Length: \(body.utf8.count)\r\n\r\n")
            #expect(socket.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 100 Continue"))
            try socket.send(body)
            #expect(Reply(socket.readToEnd()).status == 200)
        }
    }

    @Test func drains() throws {
        try withServer { server in
            let idle = try server.connect()
            let busy = try server.connect()
            let body = #"{"prompt":"prefill","stream":true}"#
            try busy.send(
                "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)"
                    + "\r\n\r\n\(body)")
            #expect(busy.read(until: "\r\n\r\n").contains("200 OK"))
            try server.server.beginDrain(keepsListening: true)
            #expect(idle.readToEnd().isEmpty)
            #expect(try server.server.activeCount() == 1)
            // Who comes now is told so, and that trying again makes sense.
            let late = try server.chat("late")
            #expect(late.status == 503 && late.headers["retry-after"] == "5", "\(late.body)")
            #expect(try server.request("GET", "/health").status == 503)
            server.server.cancelAll()
            #expect(busy.readToEnd().contains("\"code\":\"draining\""))
            #expect(eventually { (try? server.connect()) == nil })
            #expect(eventually { (try? server.server.activeCount()) == 0 })
        }
    }
}
