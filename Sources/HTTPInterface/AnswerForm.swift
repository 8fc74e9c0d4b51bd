// How an answer is written: what a dialect has to say for each thing that a generation tells.

internal import GenerationAPI
internal import JSON
internal import NIOCore
internal import NIOHTTP1

/// How clients speak: the shapes of their requests, of answers and of errors.
package enum Dialect: Sendable, Equatable { case openAI, ollama }

/// Writes one answer, in pieces or whole. A piece of nil says nothing.
protocol AnswerForm {
    /// The piece that opens a stream.
    func opening() -> ByteBuffer?
    mutating func delta(_ text: String, probabilities: [ReportedProbability]) -> ByteBuffer?
    func reasoning(_ text: String) -> ByteBuffer?
    mutating func toolCall(_ event: ToolCallEvent) -> ByteBuffer?
    /// All that ends a stream.
    func ending(_ reason: FinishReason, _ statistics: GenerationStatistics) -> ByteBuffer
    /// The whole answer as one object.
    mutating func whole(
        _ answer: AnswerText, probabilities: [ReportedProbability], _ reason: FinishReason,
        _ statistics: GenerationStatistics
    ) -> ByteBuffer
    /// Bytes that are kept until they can be written.
    var keptBytes: Int { get }
}

extension AnswerForm {
    var keptBytes: Int { 0 }
}

/// What all answers of one generation have.
struct AnswerHead {
    let identifier: String
    /// Seconds since 1970.
    let created: Int64
    let model: String
}

extension AnswerOptions {
    /// What writes the answer.
    func form(_ head: AnswerHead) -> any AnswerForm {
        switch (kind, dialect) {
        case (.template, _), (.tokens, _), (.content, _): PromptWriter(kind: kind)
        case (_, .ollama): OllamaWriter(options: self, head: head)
        case (_, .openAI):
            AnswerWriter(
                options: self, identifier: head.identifier, created: head.created,
                model: head.model)
        }
    }
}

extension Dialect {
    /// The media type of a stream.
    var streamType: String {
        self == .openAI ? "text/event-stream; charset=utf-8" : "application/x-ndjson"
    }

    /// A comment that keeps a silent stream alive and tells what it waits for; nil where a stream
    /// has none.
    func comment(_ text: StaticString) -> ByteBuffer? {
        self == .openAI ? AnswerWriter.comment(text) : nil
    }

    /// The piece that ends a stream with an error.
    func streamed(_ failure: HTTPFailure) -> ByteBuffer {
        guard self == .ollama else { return AnswerWriter.failure(failure) }
        var line = body(of: failure)
        line.writeStaticString("\n")
        return line
    }

    /// An error's object.
    func body(of failure: HTTPFailure) -> ByteBuffer {
        guard self == .ollama else { return failure.body }
        var buffer = ByteBuffer(staticString: "{\"error\":")
        buffer.writeJSON(failure.message)
        buffer.writeStaticString("}")
        return buffer
    }

    /// An error's status.
    func status(of failure: HTTPFailure) -> HTTPResponseStatus {
        self == .ollama && failure.status == .tooManyRequests
            ? .serviceUnavailable : failure.status
    }
}
