// Streams that wait for the model: their clients hear of it.

import GenerationAPI
import HTTPInterface
import JSON
import NIOCore
import Testing

@Suite(.serialized) struct WaitingTests {
    @Test func progressIsToldWhereItIsAskedFor() throws {
        let server = try TestServer()
        defer { server.stop() }
        let told = #"],"prompt_progress":{"total":3,"cache":1,"processed":2,"time_ms":500.0}}"#
        let reply = try server.chat("hello", #","stream":true,"return_progress":true"#)
        #expect(reply.events.count == 6 && reply.events[1].hasSuffix(told), "\(reply.body)")
        let whole = try server.chat("hello", #","return_progress":true"#)
        #expect(whole.status == 200 && !whole.body.contains("prompt_progress"))
        let none = try server.chat("hello", #","stream":true"#)
        #expect(!none.body.contains("prompt_progress"))
    }

    private func withServer(_ body: (TestServer) throws -> Void) throws {
        var limits = HTTPLimits()
        limits.streamHeadTime = .milliseconds(100)
        limits.commentInterval = .milliseconds(20)
        let server = try TestServer(limits)
        defer { server.stop() }
        try body(server)
    }

    private static let stream = #","stream":true"#

    @Test func saysWhatItWaitsFor() throws {
        try withServer { server in
            let queued = try server.complete("queued", Self.stream).read(until: ": queued\n\n")
            #expect(queued.contains("200 OK") && queued.contains("text/event-stream"))
            #expect(queued.contains(": queued\n\n") && !queued.contains("data:"))
            server.service.state = .loading(model: "m")
            let loading = try server.complete("queued", Self.stream).read(until: ": loading\n\n")
            #expect(loading.contains(": loading\n\n"))
            server.service.state = .ready(models: [])
            let prefill = try server.complete("prefill", Self.stream).read(until: ": prefill\n\n")
            #expect(prefill.contains(": prefill\n\n"))
        }
    }

    @Test func repeatsItselfAndNeverBreaksTheStream() throws {
        try withServer { server in
            let socket = try server.complete("queued", Self.stream)
            var text = ""
            while text.split(separator: ": queued\n\n").count < 6, let piece = socket.read() {
                text += String(decoding: piece, as: UTF8.self)
            }
            #expect(!text.contains("\n\n\n") && !text.contains("id:"))
            socket.close()
            #expect(eventually { server.service.cancelledCount == 1 })
        }
    }

    @Test func errorsAtOnceAreStatuses() throws {
        try withServer { server in
            let reply = try server.request(
                "POST", "/v1/completions", #"{"prompt":"refuse:overloaded","stream":true}"#)
            #expect(reply.status == 429)
        }
    }

    @Test func errorsAfterTheHeadAreAnEvent() throws {
        try withServer { server in
            let socket = try server.complete("queued", Self.stream)
            #expect(socket.read(until: ": queued\n\n").contains(": queued\n\n"))
            server.server.cancelAll()
            let rest = socket.read(until: "0\r\n\r\n")
            #expect(rest.split(separator: "data: ").count == 2)
            #expect(rest.contains("\"code\":\"cancelled\""))
            #expect(server.records.last?.outcome == "cancelled")
        }
    }

    /// Who waits when the service goes down has not cancelled.
    @Test func answersCutByTheServicesEndSaySo() throws {
        try withServer { server in
            let socket = try server.complete("queued", Self.stream)
            #expect(socket.read(until: ": queued\n\n").contains(": queued\n\n"))
            try server.server.beginDrain(keepsListening: false)
            server.server.cancelAll()
            let rest = socket.read(until: "0\r\n\r\n")
            #expect(rest.contains("the service is going down"), "\(rest)")
            #expect(server.records.last?.outcome == "draining")
        }
    }

    @Test func theFirstChunksContentIsText() throws {
        try withServer { server in
            let reply = try server.chat("hello", Self.stream)
            let first = try JSONParser.parse(Array(try #require(reply.events.first).utf8))
            let delta = first["choices"]?.array?.first?["delta"]
            #expect(delta?["role"]?.string == "assistant")
            #expect(delta?["content"]?.string == "")
        }
    }

    /// Line-based clients cut where Unicode has a line's end.
    @Test func noLineEndsWithinAnEvent() throws {
        try withServer { server in
            let text =
                "a\u{2028}b\u{2029}c\u{85}d\u{7F}\u{9F}e\u{A0}f\u{20AC}g\u{B}\u{C}\u{1C}\u{1E}"
            let body = text.unicodeScalars.map { scalar in
                let code = String(scalar.value, radix: 16)
                return "\\u" + String(repeating: "0", count: 4 - code.count) + code
            }.joined()
            for more in [Self.stream, ""] {
                let reply = try server.chat(body, more)
                let separators = reply.body.unicodeScalars.filter {
                    [0x85, 0x2028, 0x2029, 0xB, 0xC, 0x1C, 0x1E, 0x9F, 0x7F].contains($0.value)
                }
                #expect(separators.isEmpty)
                #expect(reply.body.unicodeScalars.contains("\u{A0}"))
                #expect(reply.body.contains("\\u2028") && reply.body.contains("\\u0085"))
                guard more.isEmpty else { continue }
                let content = reply.json["choices"]?.array?.first?["message"]?["content"]
                #expect(content?.string == text)
            }
        }
    }
}
