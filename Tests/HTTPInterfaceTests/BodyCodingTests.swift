// Bodies in Zstandard's coding, made by hand: blocks as they are and blocks of one byte repeated,
// which is enough to be decoded, damaged and far too long.

import GenerationAPI
import HTTPInterface
import JSON
import LinuxSystem
import Testing

private let isThere = (try? ZstandardDecoder()) != nil

@Suite(.serialized, .enabled(if: isThere, "needs libzstd1")) struct BodyCodingTests {
    /// A frame that does not say how long its text is.
    private static func frame(_ blocks: [(bytes: [UInt8], count: Int?)]) -> [UInt8] {
        var frame: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x58]
        for (index, block) in blocks.enumerated() {
            let isLast = index == blocks.count - 1 ? 1 : 0
            let kind = block.count == nil ? 0 : 1
            let header = isLast | kind << 1 | (block.count ?? block.bytes.count) << 3
            frame += [0, 8, 16].map { UInt8(truncatingIfNeeded: header >> $0) }
            frame += block.bytes
        }
        return frame
    }

    private static func raw(_ text: String) -> (bytes: [UInt8], count: Int?) {
        (Array(text.utf8), nil)
    }

    private static func spaces(_ count: Int) -> (bytes: [UInt8], count: Int?) { ([0x20], count) }

    private func post(_ body: [UInt8], _ server: TestServer) throws -> Reply {
        let socket = try server.connect()
        try socket.send(
            "POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                + "Content-Encoding: zstd\r\nContent-Length: \(body.count)\r\n\r\n")
        try socket.send(body)
        return Reply(socket.readToEnd())
    }

    private func withServer(
        _ limits: HTTPLimits = HTTPLimits(), _ body: (TestServer) throws -> Void
    ) throws {
        let server = try TestServer(limits)
        defer { server.stop() }
        try body(server)
        #expect(try server.chat("still here").status == 200)
    }

    @Test func bodiesAreDecoded() throws {
        try withServer { server in
            let short = Self.frame([Self.raw(#"{"prompt":"hello"}"#)])
            let reply = try post(short, server)
            #expect(reply.json["choices"]?.array?.count == 1)
            // More than is tried first.
            let blocks = [Self.raw(#"{"prompt":"hello""#)]
            let padding = (0..<5).map { _ in Self.spaces(100_000) }
            let long = Self.frame(blocks + padding + [Self.raw("}")])
            #expect(try post(long, server).status == 200)
            // Frames follow one another.
            let two = Self.frame([Self.raw(#"{"prompt""#)]) + Self.frame([Self.raw(":\"x\"}")])
            #expect(try post(two, server).status == 200)
            #expect(server.service.orders.count == 3)
        }
    }

    @Test func whatIsNoneIsRefused() throws {
        try withServer { server in
            let frame = Self.frame([Self.raw(#"{"prompt":"hello"}"#)])
            var damaged = frame
            damaged[4] = 0xFF
            for body in [Array("{}".utf8), Array(frame.dropLast(3)), damaged, frame + [1, 2, 3]] {
                let reply = try post(body, server)
                #expect(reply.status == 400, "\(reply.body)")
            }
            #expect(server.service.orders.isEmpty)
        }
    }

    @Test func bombsAreRefused() throws {
        var limits = HTTPLimits()
        limits.bodyBytesMax = 1 << 20
        try withServer(limits) { server in
            let blocks = (0..<1000).map { _ in Self.spaces(128 << 10) }
            let reply = try post(Self.frame(blocks), server)
            #expect(reply.status == 413)
        }
        limits.bodyBytesTotalMax = 40 << 10
        try withServer(limits) { server in
            let body = Self.frame([Self.raw("{\"prompt\":\"hello\"}")])
            let reply = try post(body, server)
            #expect(reply.status == 429)
        }
    }
}
