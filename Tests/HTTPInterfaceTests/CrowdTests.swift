// More clients than there is room for: each is told so, none is reset without a word, and who asks
// for little gets it beside those who ask for much.

import Glibc
import HTTPInterface
import JSON
import NIOCore
import Testing

@Suite(.serialized) struct CrowdTests {
    private func withServer(
        _ limits: HTTPLimits, _ body: (TestServer) throws -> Void
    ) throws {
        let server = try TestServer(limits)
        defer { server.stop() }
        try body(server)
        #expect(eventually { (try? server.request("GET", "/health").status) == 200 })
    }

    private var small: HTTPLimits {
        var limits = HTTPLimits()
        limits.connectionsMax = 4
        limits.leavingMax = 2
        limits.generationsMax = 3
        return limits
    }

    @Test func everyoneInABurstIsAnswered() throws {
        try withServer(small) { server in
            server.identify(as: 1)
            let sockets = try (0..<60).map { _ in try server.complete("hello") }
            let statuses = sockets.map { Reply($0.read(until: "}}")).status }
            #expect(Set(statuses).isSubset(of: [200, 429]), "\(statuses)")
            #expect(statuses.contains(200))
        }
    }

    @Test func refusalsAreSeenByWhoSendsMuch() throws {
        var limits = small
        limits.generationsMax = 4
        try withServer(limits) { server in
            server.identify(as: 1)
            let busy = try (0..<4).map { _ in try server.complete("queued") }
            #expect(eventually { server.service.orders.count == 4 })
            let large = String(repeating: "a", count: 1 << 20)
            let refused = Reply(try server.complete(large).readToEnd())
            #expect(refused.status == 429)
            #expect(refused.headers["retry-after"] == "1")
            #expect(refused.headers["connection"] == "close")
            #expect(refused.json["error"]?["code"]?.string == "overloaded")
            #expect(server.records.contains { $0.status == 429 && $0.isRefusal })
            for socket in busy { socket.close() }
        }
    }

    @Test func aCrowdOfOneClientMakesRoomForAnother() throws {
        try withServer(small) { server in
            server.identify(as: 1)
            let greedy = try (0..<3).map { _ in try server.complete("queued") }
            #expect(eventually { server.service.orders.count == 3 })
            server.identify(as: 2)
            let polite = Reply(try server.complete("hello").read(until: "}}"))
            #expect(polite.status == 200)
            #expect(server.service.cancelledCount == 1)
            let newest = Reply(try #require(greedy.last).readToEnd())
            #expect(newest.status == 429)
            #expect(server.service.orders.count == 4)
            for socket in greedy { socket.close() }
        }
    }

    /// One that has said nothing is not waited for, however long those are that talk.
    @Test func silentOnesMakeRoom() throws {
        var limits = small
        limits.lingerTime = .minutes(10)
        try withServer(limits) { server in
            server.identify(as: 1)
            let silent = try (0..<40).map { _ in try server.connect() }
            server.identify(as: 2)
            #expect(try server.request("GET", "/health").status == 200)
            #expect(Reply(try #require(silent.first).readToEnd()).status == 429)
        }
    }

    @Test func whoHasBeenServedIsClosedWithoutAWord() throws {
        try withServer(small) { server in
            server.identify(as: 1)
            let served = try (0..<4).map { _ in
                let socket = try server.connect()
                try socket.send("GET /health HTTP/1.1\r\n\r\n")
                #expect(socket.read(until: "}").contains("200"))
                return socket
            }
            usleep(150_000)
            #expect(try server.request("GET", "/health").status == 200)
            #expect(try #require(served.first).readToEnd().isEmpty)
        }
    }

    @Test func answersThatAreTooMuchTogetherAreRefused() throws {
        var limits = HTTPLimits()
        limits.answerBytesTotalMax = 100_000
        try withServer(limits) { server in
            let reply = try server.request("POST", "/v1/completions", #"{"prompt":"big:200000"}"#)
            #expect(reply.status == 507)
            #expect(reply.json["error"]?["code"]?.string == "budget_exceeded")
        }
    }
}
