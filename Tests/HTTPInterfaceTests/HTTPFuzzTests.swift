// Requests as bytes, sound ones and what becomes of them when they are damaged: what is read does
// not depend on how the bytes arrive, and is no more than was sent. Some go to the whole server.

import HTTPInterface
import NIOCore
import NIOHTTP1
import TestSupport
import Testing

/// What a parser made of a connection's bytes.
private struct Reading: Equatable {
    struct Request: Equatable {
        var line: String
        var fields: [String]
        var framing: BodyFraming
        var body: [UInt8] = []
        var isWhole = false
    }

    var requests: [Request] = []
    /// Why the connection ended; nil where it may go on.
    var failure: String?

    /// - Parameter pieces: the bytes as they arrive.
    init(_ pieces: [ArraySlice<UInt8>], _ limits: HTTPLimits) {
        var parser = RequestParser(limits: limits)
        var input = ByteBuffer()
        do throws(HTTPFailure) {
            for piece in pieces {
                input.writeBytes(piece)
                while let part = try parser.next(&input) { take(part) }
            }
        } catch {
            failure = "\(error.status.code) \(error.message)"
        }
    }

    private mutating func take(_ part: RequestParser.Part) {
        switch part {
        case .head(let head, let framing):
            requests.append(
                Request(
                    line: "\(head.method.rawValue) \(head.uri) \(head.version)",
                    fields: head.headers.map { "\($0.name): \($0.value)" }, framing: framing))
        case .body(var bytes):
            requests[requests.count - 1].body += bytes.readBytes(length: bytes.readableBytes) ?? []
        case .end: requests[requests.count - 1].isWhole = true
        }
    }
}

/// Makes requests and damages them.
private struct HTTPFuzzer {
    private static let pieces = [
        "\r\n", "\n", "\r", "\r\n\r\n", "\0", ":", " ", "\t", ",", ";", "0\r\n\r\n",
        "5\r\nhello\r\n",
        "Content-Length: 5\r\n", "Content-Length: 18446744073709551616\r\n",
        "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip, chunked\r\n", "chunked", "-1",
        "ffffffffffffffff", "7fffffffffffffff", "HTTP/1.0", "HTTP/1.9", "HTTP/2.0", "Host: x\r\n",
        "Expect: 100-continue\r\n", "Upgrade: h2c\r\n", "Connection: close\r\n", " folded: x\r\n",
        "X: \u{E9}\u{1F600}\r\n", "GET / HTTP/1.1\r\n", "0x10", "+5", "é", "\u{85}"
    ]
    var random: SplitMix

    private mutating func one<Element>(of elements: [Element]) -> Element {
        elements[Int.random(in: 0..<elements.count, using: &random)]
    }

    private mutating func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

    /// A request, and what has to be read of it.
    private mutating func request() -> (bytes: [UInt8], read: Reading.Request) {
        let body = random.bytes(one(of: [0, 0, 1, 7, 100, 700]))
        let line = one(of: ["GET /health", "POST /v1/completions", "PUT *", "M-SEARCH /a?b=%20"])
        let version = one(of: ["HTTP/1.1", "HTTP/1.1", "HTTP/1.7"])
        var bytes = Array("\(line) \(version)\r\n".utf8)
        var fields: [String] = []
        func add(_ name: String, _ value: String, _ space: String) {
            fields.append("\(name): \(value)")
            bytes += Array("\(name):\(space)\(value)\(space)\r\n".utf8)
        }
        add("Host", "x", one(of: ["", " ", " \t "]))
        for index in 0..<below(6) { add("X-\(index)", one(of: ["", "a b", "é:;,"]), " ") }
        var framing = BodyFraming.length(body.count)
        if below(2) == 0 {
            framing = .chunked
            add(one(of: ["Transfer-Encoding", "transfer-encoding"]), "chunked", " ")
            bytes += Array("\r\n".utf8) + chunked(body)
        } else {
            let digits = one(of: ["", "00"]) + String(body.count)
            if !body.isEmpty || below(2) == 0 { add("Content-Length", digits, " ") }
            bytes += Array("\r\n".utf8) + body
        }
        return (
            bytes,
            Reading.Request(
                line: "\(line) HTTP/1.1", fields: fields, framing: framing, body: body,
                isWhole: true)
        )
    }

    private mutating func chunked(_ body: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = body[...]
        while !rest.isEmpty {
            let chunk = rest.prefix(1 + below(200))
            rest = rest.dropFirst(chunk.count)
            let size = String(chunk.count, radix: 16, uppercase: below(2) == 0)
            bytes += Array("\(size)\(one(of: ["", " ", ";a=b", ";\"q\""]))\r\n".utf8)
            bytes += chunk + Array("\r\n".utf8)
        }
        return bytes + Array("0\(one(of: ["", ";x"]))\r\n\(one(of: ["", "T: u\r\n"]))\r\n".utf8)
    }

    /// Some requests one after the other.
    mutating func conversation() -> (bytes: [UInt8], read: [Reading.Request]) {
        var all: (bytes: [UInt8], read: [Reading.Request]) = ([], [])
        for _ in 0..<1 + below(3) {
            let (bytes, read) = request()
            all.bytes += one(of: [[], [], Array("\r\n".utf8)]) + bytes
            all.read.append(read)
        }
        return all
    }

    mutating func damaged(_ sound: [UInt8]) -> [UInt8] {
        FileMutator.edited(sound, with: Self.pieces, editsMax: 4, lengthMax: 5, &random)
    }

    mutating func cut(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        var rest = bytes[...]
        var pieces: [ArraySlice<UInt8>] = []
        let most = one(of: [1, 5, 50, 500])
        while !rest.isEmpty {
            pieces.append(rest.prefix(1 + below(most)))
            rest = rest.dropFirst(pieces[pieces.count - 1].count)
        }
        return pieces
    }
}

@Suite(.serialized) struct HTTPFuzzTests {
    private static let limits = {
        var limits = HTTPLimits()
        limits.headerFieldBytesMax = 256
        limits.headerBytesMax = 1024
        limits.headerFieldsMax = 12
        limits.receiveTimeout = .seconds(5)
        return limits
    }()

    @Test(.timeLimit(.minutes(FuzzRun.minutesMax))) func whatNobodyMeantEnds() throws {
        var server = try TestServer()
        defer { server.stop() }
        var (refused, damagedReads, asked) = (0, 0, 0)
        try FuzzRun("HTTP").each { random, place in
            var fuzzer = HTTPFuzzer(random: SplitMix(seed: random.next()))
            let sound = fuzzer.conversation()
            let read = Reading(fuzzer.cut(sound.bytes), Self.limits)
            #expect(read.requests == sound.read && read.failure == nil, "\(place)")
            let bytes = fuzzer.damaged(sound.bytes)
            let whole = Reading([bytes[...]], Self.limits)
            #expect(Reading(fuzzer.cut(bytes), Self.limits) == whole, "\(place)")
            refused += whole.failure == nil ? 0 : 1
            damagedReads += whole.requests == sound.read ? 0 : 1
            check(whole, bytes, place)
            // The server is slower by far; what the test's own notes down of requests grows.
            asked += 1
            if asked % 100_000 == 0 {
                server.stop()
                server = try TestServer()
            }
            if Int.random(in: 0..<100, using: &random) == 0 { try answer(bytes, server, place) }
            if Int.random(in: 0..<20, using: &random) == 0 {
                let index = Int.random(in: 0..<RouteFuzzTests.samples.count, using: &random)
                try RouteFuzzTests.askDamaged(index, server, &random, place)
            }
        }
        #expect(refused > 0 && damagedReads > 0)
        #expect(try server.request("GET", "/health").status == 200)
    }

    /// What is read of any bytes is of them, and nothing that two readers could read differently.
    private func check(_ reading: Reading, _ bytes: [UInt8], _ place: String) {
        #expect(reading.requests.reduce(0) { $0 + $1.body.count } <= bytes.count, "\(place)")
        for (index, request) in reading.requests.enumerated() {
            let isLast = index == reading.requests.count - 1
            #expect(request.isWhole || isLast, "\(place)")
            let names = request.fields.map { $0.prefix { $0 != ":" }.lowercased() }
            let codings = names.count { $0 == "transfer-encoding" }
            #expect(codings == 0 || !names.contains("content-length"), "\(place)")
            #expect((codings > 0) == (request.framing == .chunked), "\(place)")
            if case .length(let count) = request.framing {
                #expect(request.isWhole ? request.body.count == count : true, "\(place)")
            }
            for field in request.fields + [request.line] {
                let isLine = field.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }
                #expect(isLine, "\(place)")
            }
        }
    }

    /// The server answers, if anything, whole answers that are not our fault.
    private func answer(_ bytes: [UInt8], _ server: TestServer, _ place: String) throws {
        let socket = try server.connect()
        try? socket.send(bytes)
        socket.closeSending()
        let text = socket.readToEnd()
        let statuses = text.split(separator: "HTTP/1.1 ").compactMap { Int($0.prefix(3)) }
        #expect(text.isEmpty || text.hasPrefix("HTTP/1."), "\(place): \(text)")
        #expect(statuses.allSatisfy { $0 < 500 || $0 == 501 || $0 == 503 }, "\(place): \(text)")
    }
}
