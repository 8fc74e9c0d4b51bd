// Vectors in the shapes of OpenAI and Ollama.

import GenerationAPI
import HTTPInterface
import JSON
import ModelFormat
import Testing

@Suite(.serialized) struct EmbeddingRouteTests {
    private static let vector = "[0.6,-0.8,1e-09]"

    private func withServer(_ body: (TestServer) throws -> Void) throws {
        let server = try TestServer()
        defer { server.stop() }
        try body(server)
    }

    private func rules(_ order: GenerationOrder) -> EmbeddingRules? {
        if case .embedding(let rules) = order.wanted { rules } else { nil }
    }

    @Test func openAIsShape() throws {
        try withServer { server in
            let body = #"{"model":"echo","input":["a","b"],"user":"u"}"#
            for route in ["/v1/embeddings", "/embeddings"] {
                let reply = try server.request("POST", route, body)
                let members = ["0", "1"].map {
                    #"{"object":"embedding","index":\#($0),"embedding":\#(Self.vector)}"#
                }
                #expect(
                    reply.body
                        == #"{"object":"list","data":[\#(members.joined(separator: ","))],"#
                        + #""model":"echo","usage":{"prompt_tokens":6,"total_tokens":6}}"#)
            }
            #expect(server.service.orders.map(\.prompt).suffix(2) == [.text("a"), .text("b")])
            let order = try #require(server.service.orders.last)
            #expect(rules(order) == EmbeddingRules(parameter: "input"))
            let coded = try server.request(
                "POST", "/v1/embeddings",
                #"{"input":[[1,2],[3]],"encoding_format":"base64","dimensions":2}"#)
            // 0.6, -0.8 and 1e-9 as little-endian floats.
            #expect(coded.body.contains(#""embedding":"mpkZP83MTL9fcIkw"}"#), "\(coded.body)")
            let last = try #require(server.service.orders.last)
            #expect(last.prompt == .tokens([TokenID(3)]) && rules(last)?.dimensions == 2)
            #expect(server.records.last?.route == "/v1/embeddings")
            let tokens = try server.request("POST", "/v1/embeddings", #"{"input":[1,2]}"#)
            #expect(tokens.status == 200)
            #expect(server.service.orders.last?.prompt == .tokens([TokenID(1), TokenID(2)]))
        }
    }

    @Test func ollamasShapes() throws {
        try withServer { server in
            let reply = try server.request(
                "POST", "/api/embed", #"{"model":"echo:latest","input":"a","options":{"x":1}}"#)
            #expect(
                reply.body.hasPrefix(
                    #"{"model":"echo:latest","embeddings":[\#(Self.vector)],"total_duration":"#))
            #expect(reply.json["prompt_eval_count"]?.whole == 3)
            let order = try #require(server.service.orders.last)
            #expect(rules(order)?.truncates == true)
            let whole = #"{"model":"echo","input":["a"],"truncate":false,"keep_alive":0}"#
            _ = try server.request("POST", "/api/embed", whole)
            let other = try #require(server.service.orders.last)
            #expect(rules(other)?.truncates == false && other.keepAlive == .seconds(0))
            // Texts come one after the other: the model goes after the last.
            let three = #"{"model":"echo","input":["a","b","c"],"keep_alive":0}"#
            _ = try server.request("POST", "/api/embed", three)
            let keeping = server.service.orders.suffix(3).map(\.keepAlive)
            #expect(keeping == [.untilNeeded, .untilNeeded, .seconds(0)])
            let older = try server.request(
                "POST", "/api/embeddings", #"{"model":"echo","prompt":"a"}"#)
            #expect(older.body == #"{"embedding":\#(Self.vector)}"#)
            #expect(server.records.last?.route == "/api/embeddings")
            let loading = try server.request("POST", "/api/embed", #"{"model":"echo"}"#)
            #expect(loading.json["embeddings"] == .array([]), "\(loading.body)")
            #expect(server.service.orders.last?.wanted == .tokens(TokenizingRules()))
        }
    }

    @Test(arguments: [
        ("/v1/embeddings", "{}", "input"), ("/v1/embeddings", #"{"input":[]}"#, "input"),
        ("/v1/embeddings", #"{"input":5}"#, "input"),
        ("/v1/embeddings", #"{"input":[[]]}"#, "input"),
        ("/v1/embeddings", #"{"input":["a",5]}"#, "input"),
        ("/v1/embeddings", #"{"input":"a","dimensions":0}"#, "dimensions"),
        ("/v1/embeddings", #"{"input":"a","encoding_format":"int8"}"#, "encoding_format"),
        ("/api/embed", #"{"input":{}}"#, "input"),
        ("/api/embed", #"{"input":"a","truncate":1}"#, "truncate"),
        ("/api/embed", #"{"input":"a","keep_alive":"x"}"#, "keep_alive"),
        ("/api/embeddings", #"{"prompt":5}"#, "prompt"),
        ("/api/embeddings", #"{"prompt":["a","b"]}"#, "prompt")
    ])
    func refusesByName(_ route: String, _ body: String, _ name: String) throws {
        try withServer { server in
            let reply = try server.request("POST", route, body)
            #expect(reply.status == 400 && reply.body.contains("\(name): "), "\(reply.body)")
            #expect(server.service.orders.isEmpty)
        }
    }

    @Test func textsHaveALimit() throws {
        try withServer { server in
            let many = Array(repeating: #""a""#, count: 2049).joined(separator: ",")
            let reply = try server.request("POST", "/v1/embeddings", #"{"input":[\#(many)]}"#)
            #expect(reply.status == 400 && reply.body.contains("at most 2048"))
        }
    }
}
