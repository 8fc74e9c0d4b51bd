// How fast an answer should come: said once, in the first bytes of every dialect's answer.

import GenerationAPI
import HTTPInterface
import JSON
import Testing

@Suite(.serialized) struct ExpectedSpeedTests {
    private static let chat = #""messages":[{"role":"user","content":"expected"}],"max_tokens":9"#
    /// Routes, bodies, and where of the first object of a stream the prediction is.
    private static let dialects: [(route: String, body: String, members: [String])] = [
        ("/v1/chat/completions", chat, []),
        ("/v1/completions", #""prompt":"expected""#, []),
        ("/v1/messages", chat, ["message"]),
        ("/v1/responses", #""input":"expected""#, ["response"]),
        ("/api/chat", #""model":"m","# + chat, []),
        ("/api/generate", #""model":"m","prompt":"expected""#, [])
    ]

    private func expected(_ json: JSONValue?) -> [Double?]? {
        guard let told = json?["sluice"]?["expected"] else { return nil }
        return [told["time_to_first_token_ms"]?.double, told["tokens_per_second"]?.double]
    }

    /// The objects of a stream, of events or of lines.
    private func objects(_ reply: Reply) throws -> [JSONValue] {
        let texts =
            reply.body.hasPrefix("{")
            ? reply.body.split(separator: "\n").map(String.init)
            : reply.body.split(separator: "\n").filter { $0.hasPrefix("data: ") }
                .map { String($0.dropFirst(6)) }
        return try texts.filter { $0 != "[DONE]" }.map { try JSONParser.parse(Array($0.utf8)) }
    }

    @Test func everyDialectSaysItFirstAndOnce() throws {
        let server = try TestServer()
        defer { server.stop() }
        for (route, body, members) in Self.dialects {
            let reply = try server.request("POST", route, "{\(body),\"stream\":true}")
            let objects = try objects(reply)
            let place = members.reduce(objects.first) { $0?[$1] }
            #expect(expected(place) == [1500, 7.25], "\(route): \(reply.body)")
            // A Responses stream repeats its whole object.
            guard members != ["response"] else { continue }
            for later in objects.dropFirst() {
                #expect(expected(later) == nil, "\(route)")
            }
        }
    }

    @Test func wholeAnswersSayItBesideTheirStatistics() throws {
        let server = try TestServer()
        defer { server.stop() }
        for (route, body, _) in Self.dialects {
            let stream = #","stream":false"#
            let reply = try server.request("POST", route, "{\(body)\(stream)}")
            #expect(expected(reply.json) == [1500, 7.25], "\(route): \(reply.body)")
            guard !route.hasPrefix("/api") else { continue }
            let more = try server.request(
                "POST", route, "{\(body)\(stream),\"sluice\":{\"statistics\":true}}")
            #expect(expected(more.json) == [1500, 7.25], "\(route): \(more.body)")
            #expect(more.json["sluice"]?["flash_bytes"] != nil, "\(route): \(more.body)")
        }
    }

    @Test func whatIsNotKnownIsNotSaid() throws {
        let server = try TestServer()
        defer { server.stop() }
        let reply = try server.chat("hello", #","stream":true"#)
        #expect(!reply.body.contains("expected"), "\(reply.body)")
        let half = try server.chat("half expected", #","stream":true"#)
        let told = try objects(half).first?["sluice"]?["expected"]
        #expect(told?["time_to_first_token_ms"] == .null, "\(half.body)")
        #expect(told?["tokens_per_second"]?.double == 7.25)
    }
}
