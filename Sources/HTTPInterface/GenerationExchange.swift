// One request's generations seen from its connection: engine events in, pieces of an HTTP answer
// out. Several choices are generated one after the other: what their prompts have in common is
// computed once, and others get their turns between. Knows the order of things and no socket.

internal import GenerationAPI
internal import NIOCore

/// What the connection is to do next.
enum ExchangeAction {
    /// Send the status line and headers of a stream.
    case beginStream
    case send(ByteBuffer)
    /// Send the whole answer.
    case answer(ByteBuffer)
    /// Nothing was sent yet: answer with this error.
    case refuse(HTTPFailure)
    /// The stream is complete.
    case endStream
    /// Have the next choice generated.
    case generateNext
}

/// The state of an answer.
struct GenerationExchange {
    private enum State {
        case waiting
        case started
        case ended
    }

    private let answer: AnswerOptions
    private let identifier: String
    private let created: Int64
    private let choiceCount: Int
    private var state = State.waiting
    /// Known when the first generation has started.
    private var writer: (any AnswerForm)?
    /// Of the choice that is being generated.
    private var choice = AnswerChoice()
    /// The choices before it, of an answer that is sent as a whole.
    private var choices: [AnswerChoice] = []
    private var endedCount = 0
    /// Texts that the answer repeats.
    private let repeatedBytes: Int
    /// What the choices take in memory.
    private var choiceBytes = 0
    /// Of all choices that have ended.
    private(set) var statistics = GenerationStatistics()
    /// Whether there was any text yet.
    private(set) var hasSpoken = false
    /// A finish reason or an error's code, once ended.
    private(set) var outcome: String?

    init(answer: AnswerOptions, identifier: String, created: Int64, choiceCount: Int = 1) {
        self.answer = answer
        self.identifier = identifier
        self.created = created
        self.choiceCount = choiceCount
        repeatedBytes = answer.echoes.reduce(0) { $0 + $1.utf8.count }
    }

    /// What is kept until it can be written, or once more, takes in memory until then.
    var heldBytes: Int { repeatedBytes + choiceBytes + (writer?.keptBytes ?? 0) }

    /// What to do where there is no room for all that is kept.
    var remedy: String {
        switch answer.kind {
        case .embeddings, .embedding: "send fewer texts at a time, or ask for base64"
        default: "ask for a stream"
        }
    }

    /// Whether the engine has begun with it.
    var hasStarted: Bool { writer != nil && state != .ended }

    /// What follows from an event. Events after the last one, or out of order, are dropped.
    mutating func receive(_ event: GenerationEvent) -> [ExchangeAction] {
        switch (state, event) {
        case (.waiting, .started(let model, let promptTokens, let expected)):
            return start(model, promptTokens: promptTokens, expected)
        case (.waiting, .failed(let error)), (.started, .failed(let error)): return fail(error)
        case (.waiting, _):
            return fail(GenerationError(.internalError, "the engine spoke out of order"))
        case (.started, .progress(let progress)):
            return answer.streams ? sent(writer?.progress(progress)) : []
        case (.started, .text(let piece, let reported)): return text(piece, reported)
        case (.started, .reasoning(let piece)): return reasoning(piece)
        case (.started, .toolCall(let event)): return toolCall(event)
        case (.started, .tokens(let text)):
            choice.answer.tokens = text
            choiceBytes += PromptWriter.bytesMax(text)
            return []
        case (.started, .embedding(let vector)):
            choice.answer.embedding = vector
            // All are as long as the first: whether there is room is known after one text.
            if endedCount == 0 {
                choiceBytes +=
                    choiceCount
                    * EmbeddingWriter.bytesMax(vector, isBase64: answer.encodesBase64)
            }
            return []
        case (.started, .finished(let reason, let statistics)):
            return finish(reason, statistics)
        case (.started, .started), (.ended, _): return []
        }
    }

    private mutating func start(
        _ model: String, promptTokens: Int, _ expected: ExpectedSpeed?
    ) -> [ExchangeAction] {
        state = .started
        let isFirst = writer == nil
        if isFirst {
            writer = answer.form(
                AnswerHead(
                    identifier: identifier, created: created, model: model,
                    promptTokens: promptTokens, expected: expected))
        }
        writer?.begin(choice: endedCount)
        guard answer.streams else { return [] }
        let opening = writer?.opening().map { [ExchangeAction.send($0)] } ?? []
        return (isFirst ? [.beginStream] : []) + opening
    }

    private mutating func text(
        _ piece: String, _ reported: [ReportedProbability]
    ) -> [ExchangeAction] {
        hasSpoken = true
        guard !answer.streams else {
            return sent(writer?.delta(piece, probabilities: reported))
        }
        choice.answer.text += piece
        choiceBytes += piece.utf8.count
        if answer.includesProbabilities {
            choice.probabilities += reported
            choiceBytes += reported.reduce(0) { $0 + Self.heldBytes($1) }
        }
        return []
    }

    private mutating func reasoning(_ piece: String) -> [ExchangeAction] {
        hasSpoken = true
        guard !answer.streams else { return sent(writer?.reasoning(piece)) }
        choice.answer.reasoning += piece
        choiceBytes += piece.utf8.count
        return []
    }

    private mutating func toolCall(_ event: ToolCallEvent) -> [ExchangeAction] {
        hasSpoken = true
        guard !answer.streams else { return sent(writer?.toolCall(event)) }
        choiceBytes += choice.answer.add(event)
        return []
    }

    private func sent(_ piece: ByteBuffer??) -> [ExchangeAction] {
        piece.flatMap { $0 }.map { [.send($0)] } ?? []
    }

    /// What a token's probabilities take: each a structure and the array with the token's bytes.
    private static func heldBytes(_ reported: ReportedProbability) -> Int {
        (reported.alternatives.count + 1) * 96
    }

    private mutating func finish(
        _ reason: FinishReason, _ statistics: GenerationStatistics
    ) -> [ExchangeAction] {
        if endedCount == 0 {
            self.statistics = statistics
        } else {
            self.statistics.add(statistics, includesPrompt: true)
        }
        // A client wrote it, and records hold nothing of that.
        self.statistics.stopString = nil
        endedCount += 1
        let isLast = endedCount == choiceCount
        state = isLast ? .ended : .waiting
        if isLast { outcome = reason.rawValue }
        guard !answer.streams else {
            if isLast { return sent(writer?.ending(reason, statistics)) + [.endStream] }
            return sent(writer?.closing(reason, statistics)) + [.generateNext]
        }
        choice.reason = reason
        choice.statistics = statistics
        choices.append(choice)
        choice = AnswerChoice()
        guard isLast else { return [.generateNext] }
        return writer.map { writer in
            var writer = writer
            return [.answer(writer.whole(choices))]
        } ?? []
    }

    private mutating func fail(_ error: GenerationError) -> [ExchangeAction] {
        let failure = answer.dialect.failure(error)
        let last = answer.streams && writer != nil ? streamed(failure) : nil
        outcome = error.reason.code
        state = .ended
        return last.map { [.send($0), .endStream] } ?? [.refuse(failure)]
    }

    /// The piece that ends a stream with an error.
    func streamed(_ failure: HTTPFailure) -> ByteBuffer {
        guard var writer, state != .ended, let last = writer.failing(failure) else {
            return answer.dialect.streamed(failure)
        }
        return last
    }
}
