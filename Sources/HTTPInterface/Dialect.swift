// How clients speak: what the routes' shapes of streams and errors differ in.

internal import GenerationAPI
internal import JSON
internal import NIOCore
internal import NIOHTTP1

/// How clients speak: the shapes of their requests, of answers and of errors.
package enum Dialect: Sendable, Equatable {
    case openAI
    /// OpenAI's newer one.
    case responses
    case ollama, anthropic
}

extension Dialect {
    /// The media type of a stream.
    var streamType: String {
        switch self {
        case .openAI, .responses, .anthropic: "text/event-stream; charset=utf-8"
        case .ollama: "application/x-ndjson"
        }
    }

    /// What keeps a silent stream alive and tells what it waits for; nil where a stream has no
    /// place for it: each line of Ollama's is part of the answer.
    func comment(_ text: StaticString) -> ByteBuffer? {
        switch self {
        case .ollama: return nil
        case .openAI, .responses: return AnswerWriter.comment(text)
        case .anthropic:
            var buffer = ByteBuffer(staticString: ": ")
            buffer.writeStaticString(text)
            buffer.writeStaticString("\n")
            buffer.writeEvent("ping") { _ in }
            return buffer
        }
    }

    /// An engine's error as clients see it, with the field's name in this dialect.
    func failure(_ error: GenerationError) -> HTTPFailure {
        var failure = HTTPFailure(error)
        if self == .responses, failure.parameter == "messages" { failure.parameter = "input" }
        return failure
    }

    /// The piece that ends a stream with an error.
    func streamed(_ failure: HTTPFailure) -> ByteBuffer {
        switch self {
        case .openAI: return AnswerWriter.failure(failure)
        case .responses:
            var buffer = ByteBuffer()
            buffer.writeEvent("error") { buffer in
                buffer.writeStaticString(",\"sequence_number\":0,")
                failure.writeMembers(into: &buffer)
                // Clients look for it as other routes have it.
                buffer.writeStaticString(",\"error\":{")
                failure.writeMembers(into: &buffer)
                buffer.writeStaticString("}")
            }
            return buffer
        case .ollama:
            var line = body(of: failure)
            line.writeStaticString("\n")
            return line
        case .anthropic:
            var buffer = ByteBuffer()
            buffer.writeEvent("error") { AnthropicFailure.write(failure, into: &$0) }
            return buffer
        }
    }

    /// An error's object.
    func body(of failure: HTTPFailure) -> ByteBuffer {
        switch self {
        case .openAI, .responses: return failure.body
        case .ollama:
            var buffer = ByteBuffer(staticString: "{\"error\":")
            buffer.writeJSON(failure.message)
            buffer.writeStaticString("}")
            return buffer
        case .anthropic:
            var buffer = ByteBuffer(staticString: "{\"type\":\"error\"")
            AnthropicFailure.write(failure, into: &buffer)
            buffer.writeStaticString("}")
            return buffer
        }
    }

    /// An error's status.
    func status(of failure: HTTPFailure) -> HTTPResponseStatus {
        guard failure.status == .tooManyRequests else { return failure.status }
        switch self {
        case .openAI, .responses: return .tooManyRequests
        case .ollama: return .serviceUnavailable
        case .anthropic:
            return failure.code == HTTPFailure.userLimitCode
                ? .tooManyRequests : AnthropicFailure.overloaded
        }
    }
}

extension ByteBuffer {
    /// Appends a server-sent event whose data is an object that has the event's name as its `type`.
    ///
    /// - Parameter members: further ones, each after a comma.
    mutating func writeEvent(_ name: StaticString, members: (inout ByteBuffer) -> Void) {
        writeStaticString("event: ")
        writeStaticString(name)
        writeStaticString("\ndata: {\"type\":\"")
        writeStaticString(name)
        writeStaticString("\"")
        members(&self)
        writeStaticString("}\n\n")
    }
}
