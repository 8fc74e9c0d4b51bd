// A connection from request to request: pipelining, persistence, header fields (RFC 9110 and 9112),
// slow bodies.

import Glibc
import HTTPInterface
import NIOCore
import Testing

@Suite(.serialized) struct ConnectionTests {
    private static let health = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    private static let prompt = #"{"prompt":"hello"}"#

    private func withServer(
        _ limits: HTTPLimits = HTTPLimits(), _ body: (TestServer) throws -> Void
    ) throws {
        let server = try TestServer(limits)
        defer { server.stop() }
        try body(server)
    }

    /// A POST of `body`, with more header fields.
    private func post(_ fields: String, version: String = "1.1", _ body: String = prompt) -> String
    {
        "POST /v1/completions HTTP/\(version)\r\nHost: x\r\n\(fields)"
            + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    // MARK: pipelining

    @Test func stopsReadingAClientThatReadsNothing() throws {
        try withServer { server in
            let socket = try server.connect()
            let sent = socket.sendUntilFull(String(repeating: Self.health, count: 80_000))
            // What the kernel keeps between two sockets, and no more.
            #expect(sent < 80_000 * Self.health.utf8.count / 2)
            #expect(try server.request("GET", "/health").status == 200)
            #expect(server.records.count < 10_000)
            socket.close()
            #expect(eventually { (try? server.server.connectionCount()) == 0 })
        }
    }

    @Test func answersPipelinedRequestsInOrder() throws {
        try withServer { server in
            let socket = try server.connect()
            try socket.send(
                String(repeating: Self.health, count: 500) + post("")
                    + "GET /v1/models/echo HTTP/1.1\r\nHost: x\r\n\r\n" + post("")
                    + "GET /last HTTP/1.1\r\nHost: x\r\n\r\n")
            socket.closeSending()
            let text = socket.readToEnd()
            let statuses = text.split(separator: "HTTP/1.1 ").map { $0.prefix(3) }
            #expect(statuses.count == 504)
            #expect(statuses.dropLast().allSatisfy { $0 == "200" })
            #expect(statuses.last == "404")
        }
    }

    @Test func readsRequestsHoweverTheyAreCut() throws {
        let text =
            "\r\nGET /health?x HTTP/1.1\nHost: x\n\n" + post("Expect: 100-continue\r\n")
            + "POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"
            + "4;x=y\r\n{\"pr\r\n00E\r\nompt\":\"hello\"}\r\n0\r\nTrailer: x\r\n\r\n"
            + "GET /health HTTP/1.1\r\nConnection: x, Close\r\n\r\n"
        for size in [1, 2, 3, 7, 64, 1000] {
            try withServer { server in
                let socket = try server.connect()
                var rest = Array(text.utf8)[...]
                while !rest.isEmpty {
                    try socket.send(Array(rest.prefix(size)))
                    rest = rest.dropFirst(size)
                }
                let answers = socket.readToEnd().split(separator: "HTTP/1.1 ")
                    .filter { !$0.hasPrefix("100 ") }
                #expect(answers.map { $0.prefix(3) } == ["200", "200", "200", "200"])
                #expect(answers.filter { $0.contains("\"text\":\"hello\"") }.count == 2)
            }
        }
    }

    // MARK: persistence

    @Test(arguments: [
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
        "Connection: upgrade\r\nUpgrade: websocket\r\n",
        "Connection: UPGRADE\r\nUpgrade: TLS/1.0\r\n"
    ])
    func ignoresUpgrades(_ fields: String) throws {
        try withServer { server in
            let socket = try server.connect()
            for request in [post(fields), "GET /health HTTP/1.1\r\n\(fields)\r\n"] {
                try socket.send(request)
                #expect(socket.read(until: "}").contains("200 OK"))
            }
            try socket.send("GET /last HTTP/1.1\r\n\r\n")
            #expect(socket.read(until: "}}").contains("404"))
        }
    }

    @Test func refusesCONNECTAndCloses() throws {
        try withServer { server in
            let reply = try server.raw(
                "CONNECT localhost:1 HTTP/1.1\r\nHost: x\r\n\r\n" + Self.health)
            #expect(reply.status == 501)
            #expect(reply.headers["connection"] == "close")
        }
    }

    @Test func saysWhetherTheConnectionGoesOn() throws {
        try withServer { server in
            let close = try server.raw("GET /health HTTP/1.1\r\nConnection: Close\r\n\r\n")
            #expect(close.headers["connection"] == "close")
            #expect(close.headers["keep-alive"] == nil)
            let old = try server.raw("GET /health HTTP/1.0\r\n\r\n")
            #expect(old.headers["connection"] == "close")
            for head in ["HTTP/1.0\r\nConnection: Keep-Alive", "HTTP/1.1\r\nHost: x"] {
                let socket = try server.connect()
                for _ in 0..<2 {
                    try socket.send("GET /health \(head)\r\n\r\n")
                    let reply = Reply(socket.read(until: "}"))
                    #expect(reply.status == 200)
                    #expect(reply.headers["connection"] == "keep-alive")
                    #expect(reply.headers["keep-alive"] == "timeout=25")
                }
            }
            let stream = try server.raw(
                post("Connection: keep-alive\r\n", version: "1.0", #"{"prompt":"a","stream":true}"#)
            )
            #expect(stream.headers["connection"] == "close")
            #expect(stream.headers["transfer-encoding"] == nil)
            #expect(stream.events.last == "[DONE]")
        }
    }

    // MARK: header fields

    @Test func sendsContinueToWhoWaitsForIt() throws {
        try withServer { server in
            for expectation in ["100-continue", "100-Continue"] {
                let socket = try server.connect()
                let request = post("Expect: \(expectation)\r\n")
                try socket.send(String(request.dropLast(Self.prompt.count)))
                #expect(socket.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 100 "))
                try socket.send(Self.prompt)
                #expect(Reply(socket.read(until: "}}")).status == 200)
            }
            let old = try server.raw(post("Expect: 100-continue\r\n", version: "1.0"))
            #expect(old.status == 200)
            let odd = try server.raw(post("Expect: 200-ok\r\n"))
            #expect(odd.status == 417)
        }
    }

    @Test func refusesBodiesInACoding() throws {
        try withServer { server in
            for coding in [
                "gzip", "zstd, gzip", "identity, br", "gzip\r\nContent-Encoding: deflate"
            ] {
                let reply = try server.raw(post("Content-Encoding: \(coding)\r\n"))
                #expect(reply.status == 415, "\(coding)")
                let accepted = reply.headers["accept-encoding"]
                #expect(accepted == "identity" || accepted == "zstd, identity")
            }
            let plain = try server.raw(
                post("Content-Encoding: Identity\r\nConnection: close\r\n"))
            #expect(plain.status == 200)
        }
    }

    @Test func refusesOtherTransferCodings() throws {
        try withServer { server in
            let head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
            let reply = try server.raw(head + "gzip, chunked\r\n\r\n0\r\n\r\n")
            #expect(reply.status == 501)
        }
    }

    // MARK: time

    @Test func slowBodiesArrive() throws {
        var limits = HTTPLimits()
        limits.receiveTimeout = .milliseconds(400)
        try withServer(limits) { server in
            let socket = try server.connect()
            let body = #"{"prompt":"slow"}"#
            try socket.send(
                post("Connection: close\r\n", body).dropLast(body.utf8.count).description)
            // More than twice the longest silence in all.
            for byte in body.utf8 {
                usleep(60_000)
                try socket.send([byte])
            }
            #expect(Reply(socket.readToEnd()).status == 200)
        }
    }

    @Test func bodiesBelowTheSlowestRateAreCut() throws {
        var limits = HTTPLimits()
        limits.receiveTimeout = .milliseconds(200)
        limits.bodyBytesPerSecondMin = 1000
        try withServer(limits) { server in
            let socket = try server.connect()
            try socket.send(
                "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
            for _ in 0..<20 {
                usleep(20_000)
                try? socket.send(" ")
            }
            #expect(Reply(socket.readToEnd()).status == 408)
        }
    }
}
