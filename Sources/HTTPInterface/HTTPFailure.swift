// Errors as clients see them: a status, and {"error":{"message","type","param","code"}}.

package import GenerationAPI
internal import JSON
package import NIOCore
package import NIOHTTP1

/// A refusal or failure of one request.
package struct HTTPFailure: Error, Sendable, Equatable {
    package var status: HTTPResponseStatus
    package var message: String
    package var type: String
    package var parameter: String?
    package var code: String?
    /// Sent as `Retry-After`: when trying again makes sense.
    package var retrySeconds: Int?
    /// The methods of the route, sent as `Allow` with 405.
    package var allowedMethods: String?
    /// The content codings that are understood, sent as `Accept-Encoding` with 415.
    package var acceptedCodings: String?
    /// What a client may show who it is by, sent as `WWW-Authenticate` with 401.
    package var challenge: String?

    package init(
        _ status: HTTPResponseStatus, _ message: String, type: String, code: String? = nil,
        parameter: String? = nil, retrySeconds: Int? = nil
    ) {
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.parameter = parameter
        self.retrySeconds = retrySeconds
    }

    /// A request that HTTP or JSON alone shows to be wrong.
    package static func badRequest(
        _ message: String, status: HTTPResponseStatus = .badRequest, code: String? = nil
    ) -> HTTPFailure {
        HTTPFailure(status, message, type: "invalid_request_error", code: code)
    }

    /// The one place where an engine's reason becomes a status.
    package init(_ error: GenerationError) {
        let (status, type, retrySeconds): (HTTPResponseStatus, String, Int?) =
            switch error.reason {
            case .invalidRequest: (.badRequest, "invalid_request_error", nil)
            case .contextExceeded: (.badRequest, "exceed_context_size_error", nil)
            case .templateUnsupported: (.badRequest, "not_supported_error", nil)
            case .modelNotFound: (.notFound, "invalid_request_error", nil)
            case .overloaded: (.tooManyRequests, "rate_limit_error", 1)
            case .draining: (.serviceUnavailable, "unavailable_error", 5)
            case .budgetExceeded: (.insufficientStorage, "memory_budget_error", nil)
            case .modelInvalid, .readFailed, .readerRefused, .internalError:
                (.internalServerError, "server_error", nil)
            case .cancelled: (.serviceUnavailable, "cancelled_error", 5)
            }
        self.init(
            status, error.message, type: type, code: error.reason.code,
            parameter: error.parameter, retrySeconds: retrySeconds)
    }
}

extension HTTPFailure {
    /// `{"error":{...}}`.
    package var body: ByteBuffer {
        var buffer = ByteBuffer(staticString: "{\"error\":{\"message\":")
        buffer.writeJSON(message)
        buffer.writeStaticString(",\"type\":")
        buffer.writeJSON(type)
        writeDetails(into: &buffer)
        buffer.writeStaticString("}}")
        return buffer
    }

    /// Message, parameter and code, as members of an event.
    func writeMembers(into buffer: inout ByteBuffer) {
        buffer.writeStaticString("\"message\":")
        buffer.writeJSON(message)
        writeDetails(into: &buffer)
    }

    private func writeDetails(into buffer: inout ByteBuffer) {
        buffer.writeStaticString(",\"param\":")
        buffer.writeJSON(parameter)
        buffer.writeStaticString(",\"code\":")
        buffer.writeJSON(code)
    }

    /// The headers that go with the body.
    package var headers: HTTPHeaders {
        var headers = HTTPHeaders([("Content-Type", "application/json")])
        if let retrySeconds {
            headers.add(name: "Retry-After", value: String(retrySeconds))
        } else if status.code >= 500 {
            // OpenAI's clients would try every 5xx again.
            headers.add(name: "X-Should-Retry", value: "false")
        }
        if let allowedMethods { headers.add(name: "Allow", value: allowedMethods) }
        if let challenge { headers.add(name: "WWW-Authenticate", value: challenge) }
        if let acceptedCodings { headers.add(name: "Accept-Encoding", value: acceptedCodings) }
        return headers
    }
}
