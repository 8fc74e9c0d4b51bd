// One generation seen from its connection: engine events in, pieces of an HTTP answer out. Knows
// the order of things and no socket.

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
}

/// The state of one generation's answer.
struct GenerationExchange {
    private enum State {
        case waiting
        case started(any AnswerForm)
        case ended
    }

    private let answer: AnswerOptions
    private let identifier: String
    private let created: Int64
    private var state = State.waiting
    private var whole = AnswerText()
    private var probabilities: [ReportedProbability] = []
    private(set) var statistics = GenerationStatistics()
    /// What an answer that is sent as a whole takes in memory until then.
    private(set) var heldBytes = 0
    /// Whether there was any text yet.
    private(set) var hasSpoken = false
    /// A finish reason or an error's code, once ended.
    private(set) var outcome: String?

    init(answer: AnswerOptions, identifier: String, created: Int64) {
        self.answer = answer
        self.identifier = identifier
        self.created = created
    }

    /// Whether the engine has begun with it.
    var hasStarted: Bool { if case .started = state { true } else { false } }

    /// What follows from an event. Events after the last one, or out of order, are dropped.
    mutating func receive(_ event: GenerationEvent) -> [ExchangeAction] {
        switch (state, event) {
        case (.waiting, .started(let model, let promptTokens)):
            return start(model, promptTokens: promptTokens)
        case (.waiting, .failed(let error)):
            end(error.reason.code)
            return [.refuse(HTTPFailure(error))]
        case (.waiting, _):
            end("internal_error")
            let problem = GenerationError(.internalError, "the engine spoke out of order")
            return [.refuse(HTTPFailure(problem))]
        case (.started(let writer), .text(let piece, let reported)):
            return text(piece, reported, writer)
        case (.started(let writer), .reasoning(let piece)): return reasoning(piece, writer)
        case (.started(let writer), .toolCall(let event)): return toolCall(event, writer)
        case (.started, .tokens(let text)):
            whole.tokens = text
            heldBytes += PromptWriter.bytesMax(text)
            return []
        case (.started(let writer), .finished(let reason, let statistics)):
            self.statistics = statistics
            end(reason.rawValue)
            return finish(reason, writer)
        case (.started, .failed(let error)):
            let failure = HTTPFailure(error)
            let last = answer.streams ? streamed(failure) : nil
            end(error.reason.code)
            return last.map { [.send($0), .endStream] } ?? [.refuse(failure)]
        case (.started, .started), (.ended, _): return []
        }
    }

    /// The piece that ends a stream with an error.
    func streamed(_ failure: HTTPFailure) -> ByteBuffer {
        guard case .started(var writer) = state, let last = writer.failing(failure) else {
            return answer.dialect.streamed(failure)
        }
        return last
    }

    private mutating func end(_ outcome: String) {
        self.outcome = outcome
        state = .ended
    }

    private mutating func start(_ model: String, promptTokens: Int) -> [ExchangeAction] {
        var writer = answer.form(
            AnswerHead(
                identifier: identifier, created: created, model: model,
                promptTokens: promptTokens))
        let opening = answer.streams ? writer.opening() : nil
        state = .started(writer)
        guard answer.streams else { return [] }
        return [.beginStream] + (opening.map { [.send($0)] } ?? [])
    }

    private mutating func text(
        _ piece: String, _ reported: [ReportedProbability], _ writer: any AnswerForm
    ) -> [ExchangeAction] {
        hasSpoken = true
        guard answer.streams else {
            whole.text += piece
            heldBytes += piece.utf8.count
            if answer.includesProbabilities {
                probabilities += reported
                heldBytes += reported.reduce(0) { $0 + Self.heldBytes($1) }
            }
            return []
        }
        var writer = writer
        let chunk = writer.delta(piece, probabilities: reported)
        heldBytes = writer.keptBytes
        state = .started(writer)
        return chunk.map { [.send($0)] } ?? []
    }

    private mutating func reasoning(
        _ piece: String, _ writer: any AnswerForm
    ) -> [ExchangeAction] {
        hasSpoken = true
        guard answer.streams else {
            whole.reasoning += piece
            heldBytes += piece.utf8.count
            return []
        }
        var writer = writer
        let chunk = writer.reasoning(piece)
        heldBytes = writer.keptBytes
        state = .started(writer)
        return chunk.map { [.send($0)] } ?? []
    }

    private mutating func toolCall(
        _ event: ToolCallEvent, _ writer: any AnswerForm
    ) -> [ExchangeAction] {
        hasSpoken = true
        guard answer.streams else {
            heldBytes += whole.add(event)
            return []
        }
        var writer = writer
        let chunk = writer.toolCall(event)
        heldBytes = writer.keptBytes
        state = .started(writer)
        return chunk.map { [.send($0)] } ?? []
    }

    /// What a token's probabilities take: each a structure and the array with the token's bytes.
    private static func heldBytes(_ reported: ReportedProbability) -> Int {
        (reported.alternatives.count + 1) * 96
    }

    private func finish(_ reason: FinishReason, _ writer: any AnswerForm) -> [ExchangeAction] {
        var writer = writer
        guard answer.streams else {
            return [
                .answer(writer.whole(whole, probabilities: probabilities, reason, statistics))
            ]
        }
        return [.send(writer.ending(reason, statistics)), .endStream]
    }
}
