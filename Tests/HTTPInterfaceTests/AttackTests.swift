// Hostile and careless clients. After each, the server is alive and the next good request is
// answered as before.

import HTTPInterface
import JSON
import NIOCore
import TestSupport
import Testing

@Suite(.serialized) struct AttackTests {
    private func withServer(
        _ limits: HTTPLimits = HTTPLimits(), _ body: (TestServer) throws -> Void
    ) throws {
        let server = try TestServer(limits)
        defer { server.stop() }
        try body(server)
        let reply = try server.chat("still here")
        #expect(reply.status == 200)
        #expect(reply.json["choices"]?.array?.first?["message"]?["content"]?.string == "still here")
    }

    /// A request with this body, as bytes.
    private func post(_ body: [UInt8], _ server: TestServer) throws -> Reply {
        let socket = try server.connect()
        try socket.send(
            "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                + "Content-Length: \(body.count)\r\n\r\n")
        try? socket.send(body)
        return Reply(socket.readToEnd())
    }

    @Test func refusesBodiesThatAreNotRequests() throws {
        let stops = Array(repeating: "\"x\"", count: 1_000_000).joined(separator: ",")
        let bodies: [String] = [
            "", " ", "null", "[]", "5", "\"x\"", "{", "{}", "{\"prompt\":", "\0",
            String(repeating: "[", count: 100_000), String(repeating: "{\"a\":", count: 100_000),
            "{\"prompt\":" + String(repeating: "[", count: 100_000) + "}",
            #"{"prompt":"a","max_tokens":1e999}"#,
            #"{"prompt":"a","max_tokens":-9223372036854775808}"#,
            #"{"prompt":"a","seed":99999999999999999999999999}"#,
            #"{"prompt":"a","temperature":NaN}"#, #"{"prompt":"a","top_k":-1e300}"#,
            #"{"prompt":"a","top_p":-1e308}"#, #"{"prompt":"a","prompt":"b"}"#,
            "{\"prompt\":\"a\",\"stop\":[\(stops)]}"
        ]
        try withServer { server in
            for body in bodies {
                let reply = try post(Array(body.utf8), server)
                #expect(reply.status == 400, "\(body.prefix(60))")
                #expect(reply.json["error"]?["message"]?.string?.isEmpty == false)
            }
            #expect(try post([0x7B, 0x22, 0xFF, 0x22, 0x7D], server).status == 400)
            #expect(server.service.orders.isEmpty)
        }
    }

    @Test func passesNULThrough() throws {
        try withServer { server in
            let reply = try post(Array(#"{"prompt":"a\u0000b"}"#.utf8), server)
            #expect(reply.json["choices"]?.array?.first?["text"]?.string == "a\0b")
        }
    }

    @Test func refusesLongBodies() throws {
        var limits = HTTPLimits()
        limits.bodyBytesMax = 10_000
        try withServer(limits) { server in
            let large = [UInt8](repeating: 0x20, count: 100 << 20)
            let declared = try post(large, server)
            #expect(declared.status == 413)
            let chunk = "1000\r\n" + String(repeating: " ", count: 4096) + "\r\n"
            let head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
            let reply = try server.raw(
                head + "Transfer-Encoding: chunked\r\n\r\n"
                    + String(repeating: chunk, count: 4) + "0\r\n\r\n")
            #expect(reply.status == 413)
            for absurd in ["9223372036854775807", "99999999999999999999999"] {
                let fields = "Content-Length: \(absurd)\r\n"
                #expect(try server.raw(head + fields + "\r\n").status == 413)
                let asked = try server.raw(head + fields + "Expect: 100-continue\r\n\r\n")
                #expect(asked.status == 413)
            }
        }
    }

    @Test func boundsAllBodiesTogether() throws {
        var limits = HTTPLimits()
        limits.bodyBytesMax = 10_000
        limits.bodyBytesTotalMax = 15_000
        try withServer(limits) { server in
            let head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"
            let first = try server.connect()
            try first.send(head + String(repeating: " ", count: 9000))
            #expect(eventually { (try? server.request("GET", "/health").status) == 200 })
            let second = try server.connect()
            try second.send(head + String(repeating: " ", count: 9000))
            #expect(second.read(until: "\r\n\r\n").contains(" 429 "))
            first.close()
            second.close()
            let good = "{\"prompt\":\"\(String(repeating: "a", count: 9000))\"}"
            #expect(
                eventually { (try? self.post(Array(good.utf8), server))?.status == 200 })
        }
    }

    @Test func refusesMalformedHTTP() throws {
        let request = "POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
        let texts = [
            "garbage\r\n\r\n", "\0\0\0\0\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET\r\n\r\n",
            "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n",
            request + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            request + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            request + "Content-Length: -1\r\n\r\n", request + "Content-Length: x\r\n\r\n",
            request + "Content-Length: +5\r\n\r\nhello",
            request + "Content-Length: \r\n\r\n",
            request + "Content-Length: 5, 6\r\n\r\nhello",
            request + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
            request + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            "POST /v1/completions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            request + "X: a\0b\r\n\r\n", request + "X: a\rb\r\n\r\n",
            request + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            request + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            request + "Bad Header: x\r\n\r\n", request + " folded: x\r\n\r\n"
        ]
        try withServer { server in
            for text in texts {
                let reply = try server.raw(text)
                #expect(reply.status == 400, "\(text.debugDescription)")
            }
            #expect(server.service.orders.isEmpty)
        }
    }

    @Test func refusesLargeHeaders() throws {
        try withServer { server in
            let start = "GET /health HTTP/1.1\r\nHost: x\r\n"
            let long = "X: " + String(repeating: "a", count: 1 << 20) + "\r\n"
            let many = (0..<100_000).map { "X\($0): 1\r\n" }.joined()
            for headers in [long, many] {
                let socket = try server.connect()
                try? socket.send(start + headers + "\r\n")
                let text = socket.readToEnd()
                #expect(text.isEmpty || Reply(text).status == 431 || Reply(text).status == 400)
            }
            let socket = try server.connect()
            try? socket.send("GET /" + String(repeating: "a", count: 1 << 20))
            #expect(Reply(socket.readToEnd()).status != 200)
        }
    }

    @Test func cutsSlowSenders() throws {
        var limits = HTTPLimits()
        limits.receiveTimeout = .milliseconds(100)
        try withServer(limits) { server in
            let silent = try server.connect()
            #expect(silent.readToEnd().isEmpty)
            let header = try server.connect()
            try header.send("GET /health HTTP/1.1\r\nHo")
            #expect(!header.readToEnd().contains("200"))
            let body = try server.connect()
            try body.send(
                "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            #expect(Reply(body.readToEnd()).status == 408)
        }
    }

    @Test func makesRoomInAFloodOfIdleConnections() throws {
        var limits = HTTPLimits()
        limits.connectionsMax = 8
        try withServer(limits) { server in
            let flood = try (0..<300).map { _ in try server.connect() }
            for _ in 0..<20 { #expect(try server.request("GET", "/health").status == 200) }
            #expect(Reply(try #require(flood.first).readToEnd()).status == 429)
        }
    }

    @Test func refusesConnectionsBeyondItsLimitOfBusyOnes() throws {
        var limits = HTTPLimits()
        limits.connectionsMax = 2
        try withServer(limits) { server in
            let body = #"{"prompt":"prefill","stream":true}"#
            let busy = try (0..<2).map { _ in
                let socket = try server.connect()
                try socket.send(
                    "POST /v1/completions HTTP/1.1\r\nHost: x\r\n"
                        + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
                #expect(socket.read(until: "\r\n\r\n").contains("200 OK"))
                return socket
            }
            let reply = Reply(try server.connect().readToEnd())
            #expect(reply.status == 429)
            #expect(reply.headers["retry-after"] == "1")
            for socket in busy { socket.close() }
            #expect(eventually { server.service.cancelledCount == 2 })
        }
    }

    @Test func survivesConnectAndCloseStorms() throws {
        try withServer { server in
            for _ in 0..<500 { try server.connect().close() }
            for _ in 0..<100 {
                let socket = try server.connect()
                try socket.send("POST /v1/completions HTTP/1.1\r\nContent-Le")
                socket.close()
            }
        }
    }

    /// Random edits of a good request over the wire: an answer or a closed connection.
    @Test func survivesMutatedRequests() throws {
        let seed = UInt64.random(in: .min ... .max)
        print("AttackTests.survivesMutatedRequests seed \(seed)")
        var random = SplitMix(seed: seed)
        var limits = HTTPLimits()
        limits.receiveTimeout = .milliseconds(20)
        let body = #"{"prompt":"a","stream":true,"max_tokens":5,"stop":["b"]}"#
        let good = Array(
            ("POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)").utf8)
        let server = try TestServer(limits)
        defer { server.stop() }
        for _ in 0..<300 {
            var bytes = good
            for _ in 0...Int.random(in: 0..<3, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                bytes[place] = UInt8.random(in: 0...255, using: &random)
            }
            let socket = try server.connect()
            try? socket.send(bytes)
            socket.closeSending()
            _ = socket.readToEnd()
        }
        #expect(try server.request("GET", "/health").status == 200)
    }
}
