// The built daemon before clients that pipeline without reading, come in crowds or leave it without
// descriptors: it stays within its budget, answers everybody with something, and goes on.

import Glibc
import LinuxSystem
import TestSupport
import Testing

@Suite(.serialized) struct CrowdTests {
    private static let health = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

    @Test func requestsThatNobodyReadsTheAnswersOfAreLeftUnread() throws {
        let daemon = try ServedModel(memory: "48M")
        let before = try daemon.complete()
        #expect(before.contains("200 OK"))
        let bytes = Array(String(repeating: Self.health, count: 80_000).utf8)
        let clients = try (0..<10).map { _ in try RawClient(daemon.socket) }
        let sent = clients.map { $0.sendUntilFull(bytes) }
        #expect(sent.allSatisfy { $0 < bytes.count })
        #expect(try daemon.complete() == before)
        #expect(try daemon.memory("VmHWM") <= 48 << 20)
        for client in clients { client.close() }
        #expect(try daemon.complete() == before)
        #expect(daemon.stop() == 0)
    }

    @Test func everyoneInACrowdIsAnswered() throws {
        let daemon = try ServedModel(memory: "40M")
        let before = try daemon.complete()
        let clients = try (0..<300).map { _ in
            let client = try RawClient(daemon.socket)
            try client.send(Self.health)
            return client
        }
        let statuses = clients.map { $0.status() }
        #expect(Set(statuses).isSubset(of: [200, 429]), "\(Set(statuses))")
        for client in clients { client.close() }
        #expect(try daemon.complete() == before)
        #expect(try daemon.memory("VmHWM") <= 40 << 20)
        #expect(daemon.stop() == 0)
    }

    @Test func aFullHouseSaysSo() throws {
        let daemon = try ServedModel(memory: "30M")
        let clients = try (0..<120).map { _ in
            let client = try RawClient(daemon.socket)
            try client.send(ServedModel.request)
            return client
        }
        let statuses = clients.map { $0.status() }
        #expect(Set(statuses) == [200, 429], "\(Set(statuses))")
        #expect(try daemon.complete().contains("200 OK"))
        #expect(daemon.stop() == 0)
        #expect(daemon.errors.contains("requests refused: too many at once"))
        #expect(!daemon.errors.contains("refused=0"))
    }

    @Test func aHandfulOfDescriptorsIsEnough() throws {
        let daemon = try ServedModel(memory: "40M", descriptorsMax: 48)
        let clients = try (0..<100).map { _ in
            let client = try RawClient(daemon.socket)
            try client.send(Self.health)
            return client
        }
        let statuses = clients.map { $0.status() }
        #expect(Set(statuses).isSubset(of: [200, 429]), "\(Set(statuses))")
        for client in clients { client.close() }
        #expect(try daemon.complete().contains("200 OK"))
        #expect(daemon.stop() == 0)
        #expect(daemon.errors.contains("too few open files"))
    }

    @Test func aStreamThatWaitsHearsOfIt() throws {
        let daemon = try ServedModel(memory: "40M")
        let busy = try (0..<6).map { _ in
            let client = try RawClient(daemon.socket)
            try client.send(ServedModel.endless)
            return client
        }
        #expect(busy[0].read(until: "data: ").contains("data: "))
        let waiting = try RawClient(daemon.socket)
        try waiting.send(ServedModel.endless)
        #expect(waiting.read(until: ": queued\n\n").contains("200 OK"))
        for client in busy { client.close() }
        waiting.close()
        #expect(daemon.stop() == 0)
    }
}
