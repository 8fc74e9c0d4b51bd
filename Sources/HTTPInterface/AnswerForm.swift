// How an answer is written: what a dialect has to say for each thing that a generation tells.

internal import GenerationAPI
internal import JSON
internal import NIOCore

/// Writes one answer, in pieces or whole. A piece of nil says nothing.
protocol AnswerForm {
    /// What follows is of this choice, of those that there are several of in some dialects.
    mutating func begin(choice: Int)
    /// The piece that opens a stream, or a choice in it.
    mutating func opening() -> ByteBuffer?
    /// How far a prompt is, in dialects that have a place for it.
    func progress(_ progress: PromptProgress) -> ByteBuffer?
    mutating func delta(_ text: String, probabilities: [ReportedProbability]) -> ByteBuffer?
    mutating func reasoning(_ text: String) -> ByteBuffer?
    mutating func toolCall(_ event: ToolCallEvent) -> ByteBuffer?
    /// The piece that ends a choice which others follow.
    mutating func closing(
        _ reason: FinishReason, _ statistics: GenerationStatistics
    ) -> ByteBuffer?
    /// All that ends a stream, with its last choice.
    mutating func ending(_ reason: FinishReason, _ statistics: GenerationStatistics) -> ByteBuffer
    /// What ends a stream with an error; nil where the dialect says it for every answer.
    mutating func failing(_ failure: HTTPFailure) -> ByteBuffer?
    /// The whole answer as one object.
    mutating func whole(
        _ answer: AnswerText, probabilities: [ReportedProbability], _ reason: FinishReason,
        _ statistics: GenerationStatistics
    ) -> ByteBuffer
    /// The same of several choices; there is at least one.
    mutating func whole(_ choices: [AnswerChoice]) -> ByteBuffer
    /// Bytes that are kept until they can be written.
    var keptBytes: Int { get }
}

extension AnswerForm {
    var keptBytes: Int { 0 }

    func begin(choice: Int) {}

    func progress(_ progress: PromptProgress) -> ByteBuffer? { nil }

    func closing(_ reason: FinishReason, _ statistics: GenerationStatistics) -> ByteBuffer? { nil }

    mutating func whole(_ choices: [AnswerChoice]) -> ByteBuffer {
        let choice = choices.first ?? AnswerChoice()
        return whole(
            choice.answer, probabilities: choice.probabilities, choice.reason, choice.statistics)
    }

    func failing(_ failure: HTTPFailure) -> ByteBuffer? { nil }
}

/// An answer that is never a stream.
protocol WholeAnswerForm: AnswerForm {}

extension WholeAnswerForm {
    func opening() -> ByteBuffer? { nil }

    func delta(_ text: String, probabilities: [ReportedProbability]) -> ByteBuffer? { nil }

    func reasoning(_ text: String) -> ByteBuffer? { nil }

    func toolCall(_ event: ToolCallEvent) -> ByteBuffer? { nil }

    func ending(_ reason: FinishReason, _ statistics: GenerationStatistics) -> ByteBuffer {
        ByteBuffer()
    }
}

/// One of an answer's choices, which is sent as a whole.
struct AnswerChoice {
    var answer = AnswerText()
    var probabilities: [ReportedProbability] = []
    var reason = FinishReason.stop
    var statistics = GenerationStatistics()
}

/// What all answers of one generation have.
struct AnswerHead {
    let identifier: String
    /// Seconds since 1970.
    let created: Int64
    let model: String
    let promptTokens: Int
    /// How fast it should come.
    let expected: ExpectedSpeed?
}

extension AnswerOptions {
    /// What writes the answer.
    func form(_ head: AnswerHead) -> any AnswerForm {
        switch (kind, dialect) {
        case (.template, _), (.tokens, _), (.content, _), (.count, _): PromptWriter(kind: kind)
        case (.embeddings, _), (.embedding, _): EmbeddingWriter(options: self, head: head)
        case (_, .ollama): OllamaWriter(options: self, head: head)
        case (_, .anthropic): AnthropicWriter(options: self, head: head)
        case (_, .responses): ResponsesWriter(options: self, head: head)
        case (_, .openAI):
            AnswerWriter(
                options: self, identifier: head.identifier, created: head.created,
                model: head.model, expected: head.expected)
        }
    }
}

extension ToolCall {
    /// The arguments as a JSON object on one line, as the model wrote it; nil where they are none,
    /// as of a call that was cut off.
    var argumentsObject: [UInt8]? {
        let text = Array(arguments.utf8)
        guard case .object? = try? JSONParser.parse(text) else { return nil }
        // Within strings there are no line ends.
        return text.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 }
    }
}
