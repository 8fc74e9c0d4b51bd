// Several choices of one request: samples, prompts in a list, texts that are repeated; and what is
// added to logits.

import GenerationAPI
import HTTPInterface
import JSON
import Testing

@Suite(.serialized) struct ChoiceTests {
    private func withServer(_ body: (TestServer) throws -> Void) throws {
        let server = try TestServer()
        defer { server.stop() }
        try body(server)
    }

    private func complete(_ server: TestServer, _ fields: String) throws -> Reply {
        try server.request("POST", "/v1/completions", "{\(fields)}")
    }

    private func texts(_ reply: Reply) -> [String?] {
        (reply.json["choices"]?.array ?? []).map { $0["text"]?.string }
    }

    @Test func promptsOfAListAreAnsweredInTheirOrder() throws {
        try withServer { server in
            let reply = try complete(server, #""prompt":["one","two","three"],"seed":5"#)
            #expect(texts(reply) == ["one", "two", "three"])
            let places = (reply.json["choices"]?.array ?? []).map { $0["index"]?.integer }
            #expect(places == [0, 1, 2])
            #expect(reply.json["usage"]?["prompt_tokens"]?.integer == 9)
            #expect(reply.json["usage"]?["completion_tokens"]?.integer == 6)
            #expect(server.service.orders.map(\.sampling.seed) == [5, 5, 5])
            let tokens = try complete(server, #""prompt":[[1,2],[3]]"#)
            #expect(texts(tokens) == ["1 2", "3"])
            #expect(server.records.last?.generatedTokens == 4)
        }
    }

    @Test func samplesHaveSeedsOfTheirOwn() throws {
        try withServer { server in
            let reply = try complete(
                server, #""prompt":["a","b"],"n":2,"best_of":2,"seed":18446744073709551615"#)
            #expect(texts(reply) == ["a", "a", "b", "b"])
            #expect(server.service.orders.map(\.sampling.seed) == [.max, 0, .max, 0])
            // A prompt counts once, whatever the number of its samples.
            #expect(reply.json["usage"]?["prompt_tokens"]?.integer == 6)
            #expect(reply.json["usage"]?["completion_tokens"]?.integer == 8)
            #expect(reply.json["timings"]?["predicted_n"]?.integer == 8)
            let chat = try server.chat("hello", #","n":3"#).json
            let messages = (chat["choices"]?.array ?? []).map { $0["message"]?["content"]?.string }
            #expect(messages == ["hello", "hello", "hello"])
            #expect(server.service.orders.last?.sampling.seed == nil)
        }
    }

    @Test func choicesAreStreamedWithTheirIndex() throws {
        try withServer { server in
            let more = #","n":2,"stream":true,"stream_options":{"include_usage":true}"#
            let events = try server.chat("hello", more).events
            #expect(events.count == 10 && events.last == "[DONE]")
            let chunks = events.dropLast().map { text in
                (try? JSONParser.parse(Array(text.utf8))) ?? .null
            }
            let choices = chunks.dropLast().compactMap { $0["choices"]?.array?.first }
            #expect(choices.map { $0["index"]?.integer } == [0, 0, 0, 0, 1, 1, 1, 1])
            #expect(choices[4]["delta"]?["role"]?.string == "assistant")
            #expect(choices.compactMap { $0["finish_reason"]?.string } == ["stop", "stop"])
            #expect(chunks.last?["usage"]?["completion_tokens"]?.integer == 4)
            #expect(chunks.last?["usage"]?["prompt_tokens"]?.integer == 3)
        }
    }

    @Test func promptsAreRepeated() throws {
        try withServer { server in
            let whole = try complete(server, #""prompt":["ab","cd"],"echo":true,"n":2"#)
            #expect(texts(whole) == ["abab", "abab", "cdcd", "cdcd"])
            let stream = try complete(server, #""prompt":"hello","echo":true,"stream":true"#)
            let text = stream.events.dropLast().compactMap { text in
                let chunk = try? JSONParser.parse(Array(text.utf8))
                return chunk?["choices"]?.array?.first?["text"]?.string
            }
            #expect(text == ["hello", "hel", "lo", ""])
        }
    }

    @Test func aFailureEndsAllOfThem() throws {
        try withServer { server in
            let whole = try complete(server, #""prompt":["a","break:readFailed","c"]"#)
            #expect(whole.status == 500 && server.service.orders.count == 2)
            let stream = try complete(
                server, #""prompt":["a","refuse:readFailed","c"],"stream":true"#)
            #expect(stream.status == 200 && server.service.orders.count == 4)
            #expect(stream.events.last?.contains("read_failed") == true)
        }
    }

    @Test func leavingEndsTheRest() throws {
        try withServer { server in
            let body = #"{"prompt":["endless","a"],"n":64,"stream":true}"#
            let socket = try server.connect()
            try socket.send(
                "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: "
                    + "\(body.utf8.count)\r\n\r\n\(body)")
            _ = socket.read(until: "on and on")
            socket.close()
            #expect(eventually { server.service.cancelledCount == 1 })
            #expect(server.service.orders.count == 1)
        }
    }

    @Test func biasesAreRead() throws {
        try withServer { server in
            let fields = #""prompt":"a","ignore_eos":true,"n_probs":2,"logit_bias":"#
            #expect(try complete(server, fields + #"{"7":-1.5,"5":100,"6":0}"#).status == 200)
            let order = try #require(server.service.orders.last)
            let five = TokenBias(token: 5, value: 100)
            #expect(order.biases == [five, TokenBias(token: 7, value: -1.5)])
            #expect(order.ignoresEnd && order.alternativesReported == 2)
            let pairs = fields + "[[5,false],[6,1],[6,0.5],[5,3]]"
            #expect(try complete(server, pairs).status == 200)
            let banned = TokenBias(token: 5, value: -.infinity)
            let biases = server.service.orders.last?.biases
            #expect(biases == [banned, TokenBias(token: 6, value: 1.5)])
            let many = (0..<1025).map { "\"\($0)\":1" }.joined(separator: ",")
            let refused = try complete(server, fields + "{\(many)}")
            #expect(refused.json["error"]?["param"]?.string == "logit_bias")
        }
    }
}
