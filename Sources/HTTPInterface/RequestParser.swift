// HTTP/1.1 requests out of bytes (RFC 9112), one part at a time and only when asked: what follows a
// request stays as the bytes it is until that request has been answered. `Upgrade` means nothing
// here, as RFC 9110, section 7.8, allows. Refuses what two readers could read differently.

package import NIOCore
package import NIOHTTP1

/// How a request's body ends (RFC 9112, section 6.3).
package enum BodyFraming: Equatable {
    /// After so many bytes; zero is no body.
    case length(Int)
    case chunked
}

/// Reads one connection's requests.
package struct RequestParser {
    package enum Part {
        case head(HTTPRequestHead, BodyFraming)
        /// Some of the body; never empty.
        case body(ByteBuffer)
        case end
    }

    private enum State {
        case head
        case body(remaining: Int)
        case chunkSize
        case chunk(remaining: Int)
        case chunkEnd
        case trailers(byteCount: Int)
    }

    /// Longest line with a chunk's size and extensions.
    private static let chunkLineBytesMax = 1024

    private let limits: HTTPLimits
    private var state = State.head
    /// How much of the head was looked at, and how much of that is its last line.
    private var scannedBytes = 0
    private var lineBytes = 0

    package init(limits: HTTPLimits) { self.limits = limits }

    /// The next part, whose bytes are taken from `input`; nil when there are not enough of them.
    /// After an error the connection is of no further use.
    package mutating func next(_ input: inout ByteBuffer) throws(HTTPFailure) -> Part? {
        while true {
            switch state {
            case .head: return try head(&input)
            case .body(remaining: 0):
                state = .head
                return .end
            case .body(let remaining):
                guard let bytes = Self.take(remaining, &input) else { return nil }
                state = .body(remaining: remaining - bytes.readableBytes)
                return .body(bytes)
            case .chunk(let remaining):
                guard let bytes = Self.take(remaining, &input) else { return nil }
                let rest = remaining - bytes.readableBytes
                state = rest == 0 ? .chunkEnd : .chunk(remaining: rest)
                return .body(bytes)
            case .chunkSize, .chunkEnd, .trailers:
                guard let line = try line(&input) else { return nil }
                if try advance(over: line) { return .end }
            }
        }
    }

    /// At most `count` bytes; nil when there are none.
    private static func take(_ count: Int, _ input: inout ByteBuffer) -> ByteBuffer? {
        input.readableBytes == 0 ? nil : input.readSlice(length: min(count, input.readableBytes))
    }

    // MARK: chunks

    /// The next line of chunked coding without its end; nil when it is not whole.
    private func line(_ input: inout ByteBuffer) throws(HTTPFailure) -> ByteBuffer? {
        guard var line = input.takeLine() else {
            guard input.readableBytes <= longestLine else { throw Self.malformed("a long line") }
            return nil
        }
        guard line.readableBytes <= longestLine else { throw Self.malformed("a long line") }
        line.dropCarriageReturn()
        return line
    }

    private var longestLine: Int {
        if case .trailers = state { limits.headerFieldBytesMax } else { Self.chunkLineBytesMax }
    }

    /// Takes a line between chunks in; true when it was the body's last.
    private mutating func advance(over line: ByteBuffer) throws(HTTPFailure) -> Bool {
        switch state {
        case .chunkEnd:
            guard line.readableBytes == 0 else { throw Self.malformed("a chunk's length") }
            state = .chunkSize
        case .trailers(let byteCount):
            guard line.readableBytes > 0 else {
                state = .head
                return true
            }
            let total = byteCount + line.readableBytes
            guard total <= limits.headerBytesMax else { throw Self.tooLarge }
            state = .trailers(byteCount: total)
        default:
            let size = try Self.chunkSize(line)
            state = size == 0 ? .trailers(byteCount: 0) : .chunk(remaining: size)
        }
        return false
    }

    /// A chunk's size; extensions are ignored (RFC 9112, section 7.1.1).
    private static func chunkSize(_ line: ByteBuffer) throws(HTTPFailure) -> Int {
        let digits = line.readableBytesView.prefix { $0 != UInt8(ascii: ";") }.trimmingSpace()
        guard (1...15).contains(digits.count), digits.allSatisfy(\.isHexadecimalDigit),
            let size = Int(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw malformed("a chunk's size") }
        return size
    }

    // MARK: the head

    private mutating func head(_ input: inout ByteBuffer) throws(HTTPFailure) -> Part? {
        guard let length = headLength(&input) else {
            guard scannedBytes <= limits.headerBytesMax else { throw Self.tooLarge }
            return nil
        }
        guard length <= limits.headerBytesMax, var bytes = input.readSlice(length: length) else {
            throw Self.tooLarge
        }
        let head = try Self.requestHead(&bytes, limits)
        let framing = try BodyFraming(head)
        state = framing == .chunked ? .chunkSize : .body(remaining: framing.length ?? 0)
        return .head(head, framing)
    }

    /// Bytes up to the end of the empty line that ends the head. Empty lines before the request
    /// line are dropped (RFC 9112, section 2.2).
    private mutating func headLength(_ input: inout ByteBuffer) -> Int? {
        while scannedBytes < input.readableBytes {
            let byte = input.readableBytesUInt8Span[scannedBytes]
            scannedBytes += 1
            if byte == UInt8(ascii: "\n") {
                let isEmpty = lineBytes == 0
                lineBytes = 0
                guard isEmpty else { continue }
                let length = scannedBytes
                scannedBytes = 0
                if length > 2 { return length }
                input.moveReaderIndex(forwardBy: length)
            } else if byte != UInt8(ascii: "\r") {
                lineBytes += 1
            }
        }
        return nil
    }

    private static func requestHead(
        _ bytes: inout ByteBuffer, _ limits: HTTPLimits
    ) throws(HTTPFailure) -> HTTPRequestHead {
        guard var line = bytes.takeLine() else { throw malformed("no request line") }
        line.dropCarriageReturn()
        var head = try requestLine(line, limits)
        var count = 0
        while var line = bytes.takeLine() {
            line.dropCarriageReturn()
            if line.readableBytes == 0 { return head }
            count += 1
            guard count <= limits.headerFieldsMax,
                line.readableBytes <= limits.headerFieldBytesMax
            else { throw tooLarge }
            let (name, value) = try field(line.readableBytesView)
            head.headers.add(name: name, value: value)
        }
        return head
    }

    private static func requestLine(
        _ line: ByteBuffer, _ limits: HTTPLimits
    ) throws(HTTPFailure) -> HTTPRequestHead {
        let words = line.readableBytesView.split(separator: 0x20, omittingEmptySubsequences: false)
        guard words.count == 3, !words[0].isEmpty, words[0].allSatisfy(\.isTokenByte),
            !words[1].isEmpty, words[1].allSatisfy({ $0 > 0x20 && $0 != 0x7F })
        else { throw malformed("the request line") }
        guard words[1].count <= limits.headerFieldBytesMax else {
            throw .badRequest("the request's target is too long", status: .uriTooLong)
        }
        // A later minor version is read as 1.1 (RFC 9110, section 2.5).
        let version = String(decoding: words[2], as: UTF8.self)
        guard version.utf8.count == 8, version.hasPrefix("HTTP/1."), let minor = words[2].last,
            minor.isHexadecimalDigit, minor <= UInt8(ascii: "9")
        else { throw malformed("the version") }
        return HTTPRequestHead(
            version: minor == UInt8(ascii: "0") ? .http1_0 : .http1_1,
            method: HTTPMethod(rawValue: String(decoding: words[0], as: UTF8.self)),
            uri: String(decoding: words[1], as: UTF8.self))
    }

    /// A field's name and value (RFC 9110, section 5). Folded lines are refused.
    private static func field(_ line: ByteBufferView) throws(HTTPFailure) -> (String, String) {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
            line[..<colon].allSatisfy(\.isTokenByte)
        else { throw malformed("a header field's name") }
        let value = line[(colon + 1)...].trimmingSpace()
        guard value.allSatisfy({ $0 == 0x09 || $0 >= 0x20 && $0 != 0x7F }) else {
            throw malformed("a header field's value")
        }
        return (
            String(decoding: line[..<colon], as: UTF8.self), String(decoding: value, as: UTF8.self)
        )
    }

    static func malformed(_ what: String) -> HTTPFailure {
        .badRequest("not HTTP/1.1: \(what)")
    }

    private static let tooLarge = HTTPFailure.badRequest(
        "the request's header is too large", status: .requestHeaderFieldsTooLarge)
}

extension BodyFraming {
    /// The length, when it is known beforehand.
    var length: Int? { if case .length(let count) = self { count } else { nil } }

    var hasBody: Bool { self != .length(0) }

    /// What a head says of its body.
    init(_ head: HTTPRequestHead) throws(HTTPFailure) {
        let codings = head.headers.tokens("transfer-encoding")
        let lengths = head.headers.tokens("content-length")
        guard head.headers.contains(name: "transfer-encoding") else {
            self = .length(
                head.headers.contains(name: "content-length") ? try Self.length(lengths) : 0)
            return
        }
        guard head.version == .http1_1, !head.headers.contains(name: "content-length"),
            codings.last == "chunked"
        else { throw RequestParser.malformed("the body's length is ambiguous") }
        guard codings.count == 1 else {
            throw .badRequest(
                "the transfer coding '\(codings[0])' is not supported", status: .notImplemented)
        }
        self = .chunked
    }

    /// Content-Length; the same several times is once (RFC 9112, section 6.3).
    private static func length(_ values: [String]) throws(HTTPFailure) -> Int {
        guard let first = values.first, !first.isEmpty, first.utf8.allSatisfy(\.isDecimalDigit),
            values.allSatisfy({ $0 == first })
        else { throw RequestParser.malformed("the Content-Length") }
        return Int(first) ?? .max
    }
}

extension HTTPHeaders {
    /// The members of a list field in small letters (RFC 9110, section 5.6.1).
    func tokens(_ name: String) -> [String] {
        self[canonicalForm: name].map { $0.lowercased() }
    }
}

extension ByteBuffer {
    /// The bytes before the next newline, which goes too; nil when there is none.
    fileprivate mutating func takeLine() -> ByteBuffer? {
        let view = readableBytesView
        guard let end = view.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        let line = readSlice(length: end - view.startIndex)
        moveReaderIndex(forwardBy: 1)
        return line
    }

    fileprivate mutating func dropCarriageReturn() {
        if readableBytesView.last == UInt8(ascii: "\r") { moveWriterIndex(to: writerIndex - 1) }
    }
}

extension Collection<UInt8> where Self: BidirectionalCollection, SubSequence == Self {
    /// Without spaces and tabs at both ends.
    fileprivate func trimmingSpace() -> Self {
        var rest = self
        while let byte = rest.first, byte == 0x20 || byte == 0x09 { rest.removeFirst() }
        while let byte = rest.last, byte == 0x20 || byte == 0x09 { rest.removeLast() }
        return rest
    }
}

extension UInt8 {
    fileprivate var isDecimalDigit: Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= self }

    fileprivate var isHexadecimalDigit: Bool {
        isDecimalDigit || UInt8(ascii: "a")...UInt8(ascii: "f") ~= self | 0x20
    }

    /// Of a token (RFC 9110, section 5.6.2).
    fileprivate var isTokenByte: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(self)
        }
    }
}
