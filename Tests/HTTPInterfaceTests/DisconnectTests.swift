// Clients that go away, stop reading, or close only their sending half.

import HTTPInterface
import JSON
import NIOCore
import Testing

@Suite(.serialized) struct DisconnectTests {
    private func start(
        _ prompt: String, stream: Bool, on server: TestServer
    ) throws -> UnixSocket {
        let socket = try server.connect()
        let body = "{\"prompt\":\"\(prompt)\",\"stream\":\(stream)}"
        try socket.send(
            "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)"
                + "\r\n\r\n\(body)")
        return socket
    }

    @Test(arguments: ["queued", "prefill", "endless"], [true, false])
    func cancelsWhenTheClientLeaves(_ prompt: String, _ stream: Bool) throws {
        let server = try TestServer()
        defer { server.stop() }
        let socket = try start(prompt, stream: stream, on: server)
        #expect(eventually { server.service.orders.count == 1 })
        if stream, prompt != "queued" { #expect(socket.read(until: "\r\n\r\n").contains("200")) }
        #expect(server.service.cancelledCount == 0)
        socket.close()
        #expect(eventually { server.service.cancelledCount == 1 })
        #expect(eventually { server.records.last?.outcome == "disconnected" })
        #expect(try server.chat("next").status == 200)
    }

    @Test func cancelsWhenAClientLeavesAfterClosingItsSendingHalf() throws {
        let server = try TestServer()
        defer { server.stop() }
        let socket = try start("prefill", stream: true, on: server)
        socket.closeSending()
        #expect(socket.read(until: "\r\n\r\n").contains("200"))
        #expect(server.service.cancelledCount == 0)
        socket.close()
        #expect(eventually { server.service.cancelledCount == 1 })
    }

    @Test func answersAClientThatClosedItsSendingHalf() throws {
        let server = try TestServer()
        defer { server.stop() }
        let socket = try start("hello", stream: true, on: server)
        socket.closeSending()
        let reply = Reply(socket.readToEnd())
        #expect(reply.status == 200)
        #expect(reply.events.last == "[DONE]")
    }

    @Test func cutsAClientThatDoesNotRead() throws {
        let server = try TestServer()
        defer { server.stop() }
        let socket = try start("endless", stream: true, on: server)
        #expect(eventually { server.service.cancelledCount == 1 })
        #expect(try server.chat("others go on").status == 200)
        socket.close()
    }

    @Test func cutsAClientThatDoesNotTakeItsWholeAnswer() throws {
        var limits = HTTPLimits()
        limits.sendTimeout = .milliseconds(100)
        let server = try TestServer(limits)
        defer { server.stop() }
        let socket = try server.connect()
        let body = #"{"prompt":"big:5000000"}"#
        try socket.send(
            "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
        #expect(eventually { server.records.count == 1 })
        #expect(eventually { (try? server.server.connectionCount()) == 0 })
        #expect(socket.readToEnd().utf8.count < 5_000_000)
        #expect(try server.chat("others go on").status == 200)
    }

    @Test func takesAWholeAnswerBeyondTheStreamLimit() throws {
        let server = try TestServer()
        defer { server.stop() }
        let reply = try server.request("POST", "/v1/completions", #"{"prompt":"big:3000000"}"#)
        #expect(reply.json["choices"]?.array?.first?["text"]?.string?.utf8.count == 3_000_000)
    }

    @Test func cancelsOnTheServersOrder() throws {
        let server = try TestServer()
        defer { server.stop() }
        let socket = try start("endless", stream: true, on: server)
        #expect(socket.read(until: "data: ").contains("data: "))
        server.server.cancelAll()
        #expect(socket.read(until: "cancelled").contains("\"code\":\"cancelled\""))
    }
}
