// Errors in Anthropic's dialect: `{"type":"error","error":{"type","message"}}`.

internal import JSON
internal import NIOCore
internal import NIOHTTP1

enum AnthropicFailure {
    /// What a queue is that is full.
    static let overloaded = HTTPResponseStatus(statusCode: 529, reasonPhrase: "Overloaded")

    /// The member `error`, after a comma.
    static func write(_ failure: HTTPFailure, into buffer: inout ByteBuffer) {
        buffer.writeStaticString(",\"error\":{\"type\":\"")
        buffer.writeStaticString(type(of: failure))
        buffer.writeStaticString("\",\"message\":")
        buffer.writeJSON(failure.message)
        buffer.writeStaticString("}")
    }

    /// The type of an error; its status says it.
    private static func type(of failure: HTTPFailure) -> StaticString {
        switch failure.status {
        case .unauthorized: "authentication_error"
        case .forbidden: "permission_error"
        case .tooManyRequests where failure.code == HTTPFailure.userLimitCode: "rate_limit_error"
        case .notFound: "not_found_error"
        case .payloadTooLarge: "request_too_large"
        case .tooManyRequests, .serviceUnavailable: "overloaded_error"
        case _ where failure.status.code < 500: "invalid_request_error"
        default: "api_error"
        }
    }
}
