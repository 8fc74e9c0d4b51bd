// What a request's head alone decides (RFC 9110): whether it is refused before its body is read,
// whether its client waits to be told to go on, and whether the connection goes on afterwards.

internal import NIOCore
internal import NIOHTTP1

enum RequestHeadRules {
    /// Refuses what needs no body to be refused.
    static func check(
        _ head: HTTPRequestHead, _ framing: BodyFraming, _ limits: HTTPLimits
    ) throws(HTTPFailure) {
        guard head.method != .CONNECT else {
            throw .badRequest("CONNECT is not supported", status: .notImplemented)
        }
        guard framing.length ?? 0 <= limits.bodyBytesMax else { throw bodyTooLong(limits) }
        if framing.hasBody { _ = try BodyCoding.check(head) }
        // HTTP/1.0 has no expectations (RFC 9110, section 10.1.1).
        let expectations = head.headers.tokens("expect")
        guard head.version == .http1_0 || expectations.allSatisfy({ $0 == "100-continue" }) else {
            throw .badRequest(
                "the expectation '\(expectations.joined(separator: ", "))' is not supported",
                status: .expectationFailed)
        }
    }

    static func bodyTooLong(_ limits: HTTPLimits) -> HTTPFailure {
        .badRequest(
            "the body is longer than \(limits.bodyBytesMax) bytes", status: .payloadTooLarge)
    }

    /// Whether the client sends its body only after 100 (Continue).
    static func expectsContinue(_ head: HTTPRequestHead) -> Bool {
        head.version == .http1_1 && head.headers.contains(name: "expect")
    }

    /// Whether the connection persists (RFC 9112, section 9.3).
    static func keepsAlive(_ head: HTTPRequestHead) -> Bool {
        let options = head.headers.tokens("connection")
        if options.contains("close") { return false }
        return head.version == .http1_1 || options.contains("keep-alive")
    }
}
