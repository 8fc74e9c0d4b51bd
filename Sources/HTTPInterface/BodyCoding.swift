// Bodies in a content coding (RFC 9110, section 8.4): Zstandard is undone where the system has its
// library, which one coding agent's clients send; gzip and others are refused.

internal import LinuxSystem
internal import NIOCore
internal import NIOHTTP1

enum BodyCoding {
    /// What is tried first as the length of a body, and how much more than its coded form.
    private static let bytesMin = 64 << 10
    private static let growth = 8

    private static let zstandard = try? ZstandardDecoder()

    /// The codings of a request's body.
    private static func codings(_ head: HTTPRequestHead) -> [String] {
        head.headers.tokens("content-encoding").filter { !$0.isEmpty && $0 != "identity" }
    }

    /// Whether a body is coded at all; throws where nobody can undo that.
    static func check(_ head: HTTPRequestHead) throws(HTTPFailure) -> Bool {
        let codings = codings(head)
        if codings.isEmpty { return false }
        if codings == ["zstd"], zstandard != nil { return true }
        var failure = HTTPFailure.badRequest(
            "the body's coding '\(codings.joined(separator: ", "))' is not supported",
            status: .unsupportedMediaType)
        failure.acceptedCodings = zstandard == nil ? "identity" : "zstd, identity"
        throw failure
    }

    /// The body that `coded` stands for.
    ///
    /// - Parameter reserve: asked for memory before it is taken; throws where there is none.
    static func decode(
        _ coded: ByteBuffer, limits: HTTPLimits, reserve: (Int) throws(HTTPFailure) -> Void
    ) throws(HTTPFailure) -> ByteBuffer {
        guard let zstandard else { throw malformed }
        // How long a body is need not be said in it, so that it is tried with more and more room.
        var room = min(
            limits.bodyBytesMax, max(bytesMin, coded.readableBytes.multipliedSafely(by: growth)))
        while true {
            try reserve(room)
            var body = ByteBuffer()
            body.writeRepeatingByte(0, count: room)
            do {
                var output = body.mutableReadableBytesSpan
                let count = try zstandard.decode(coded.readableBytesSpan, into: &output)
                body.moveWriterIndex(to: body.readerIndex + count)
                return body
            } catch {
                switch error {
                case .tooLong:
                    guard room < limits.bodyBytesMax else {
                        throw RequestHeadRules.bodyTooLong(limits)
                    }
                    room = min(limits.bodyBytesMax, room * 2)
                case .malformed: throw malformed
                case .noMemory:
                    throw HTTPFailure(
                        .insufficientStorage, "no memory to decode the body",
                        type: "memory_budget_error")
                }
            }
        }
    }

    private static var malformed: HTTPFailure { .badRequest("the body is not in its coding, zstd") }
}

extension Int {
    fileprivate func multipliedSafely(by factor: Int) -> Int {
        let (product, overflows) = multipliedReportingOverflow(by: factor)
        return overflows ? .max : product
    }
}
