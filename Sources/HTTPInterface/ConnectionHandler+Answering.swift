// A connection's answers: the routes' work, and the way of bytes to the client.

internal import NIOCore
internal import NIOHTTP1
internal import Scheduling

extension ConnectionHandler {
    // MARK: routes

    func answer(_ route: Route?, head: HTTPRequestHead, body: ByteBuffer) {
        do throws(HTTPFailure) {
            guard let route else {
                throw HTTPFailure.badRequest(
                    "no such route", status: .notFound, code: "route_not_found")
            }
            try route.check(method: head.method)
            switch route {
            case .health: try answerHealth()
            case .models: answer(ModelsWriter.list(try models()))
            case .model(let name): answer(try model(name))
            case .completion(let kind): try generate(kind, body: body)
            }
        } catch {
            refuse(error)
        }
    }

    private func answerHealth() throws(HTTPFailure) {
        if state.isDraining { throw HTTPFailure(GenerationError(.draining, "shutting down")) }
        switch state.service.state {
        case .ready: answer(ByteBuffer(staticString: "{\"status\":\"ok\"}"))
        case .draining: throw HTTPFailure(GenerationError(.draining, "shutting down"))
        case .loading(let model):
            throw HTTPFailure(
                .serviceUnavailable, "loading \(model)", type: "unavailable_error",
                code: "loading", retrySeconds: 1)
        }
    }

    private func models() throws(HTTPFailure) -> [ModelSummary] {
        do throws(GenerationError) {
            return try state.service.models()
        } catch {
            throw HTTPFailure(error)
        }
    }

    private func model(_ name: String) throws(HTTPFailure) -> ByteBuffer {
        guard let model = try models().first(where: { $0.name == name }) else {
            throw HTTPFailure(
                GenerationError(.modelNotFound, "no model '\(name)'", parameter: "model"))
        }
        return ModelsWriter.single(model)
    }

    private func generate(_ kind: CompletionKind, body: ByteBuffer) throws(HTTPFailure) {
        let request: CompletionRequest
        do {
            let json = try JSONParser.parse(body.readableBytesUInt8Span)
            request = try CompletionRequest(
                json, kind: kind, client: client, defaults: state.configuration.defaults)
        } catch let error as GenerationError {
            throw HTTPFailure(error)
        } catch {
            throw .badRequest("\(error)", code: "invalid_json")
        }
        guard !state.isDraining else {
            throw HTTPFailure(GenerationError(.draining, "shutting down"))
        }
        start(request)
    }

    private func start(_ request: CompletionRequest) {
        guard case .answering(var answering) = phase, let context else { return }
        answering.exchange = GenerationExchange(
            answer: request.answer, identifier: Self.randomIdentifier(),
            created: state.configuration.now())
        let generation = answering.generation
        phase = .answering(answering)
        let eventLoop = context.eventLoop
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        // Events come from the engine's thread, in order; the loop keeps that order.
        let ticket = state.service.generate(request.order) { event in
            eventLoop.execute { bound.value.receive(event, generation: generation) }
        }
        answering.ticket = ticket
        phase = .answering(answering)
    }

    private static func randomIdentifier() -> String {
        let alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyz".utf8)
        return String(
            decoding: (0..<24).map { _ in alphabet[Int.random(in: 0..<alphabet.count)] },
            as: UTF8.self)
    }

    // MARK: events

    private func receive(_ event: GenerationEvent, generation: UInt64) {
        guard case .answering(var answering) = phase, answering.generation == generation,
            var exchange = answering.exchange
        else { return }
        if case .started(_, let promptTokens) = event {
            answering.record.promptTokens = promptTokens
        }
        let actions = exchange.receive(event)
        answering.exchange = exchange
        answering.record.outcome = exchange.outcome
        answering.record.generatedTokens = exchange.statistics.generatedTokens
        phase = .answering(answering)
        for action in actions {
            guard isAnswering else { return }
            perform(action)
        }
    }

    private func perform(_ action: ExchangeAction) {
        switch action {
        case .beginStream: beginStream()
        case .send(let bytes): stream(bytes)
        case .answer(let bytes): answer(bytes)
        case .refuse(let failure): refuse(failure)
        case .endStream: endAnswer()
        }
    }

    // MARK: bytes out

    private func beginStream() {
        guard case .answering(var answering) = phase else { return }
        // Without chunks (HTTP/1.0) only the connection's end can end the stream.
        answering.keepsAlive = answering.keepsAlive && answering.head.version == .http1_1
        answering.headIsSent = true
        answering.record.status = Int(HTTPResponseStatus.ok.code)
        phase = .answering(answering)
        var head = HTTPResponseHead(version: Self.version(answering.head), status: .ok)
        head.headers.add(name: "Content-Type", value: "text/event-stream; charset=utf-8")
        head.headers.add(name: "Cache-Control", value: "no-cache")
        Self.addConnection(answering.keepsAlive, to: &head)
        write(.head(head), bytes: 0)
        context?.flush()
        sentSincePing = true
        schedulePing(generation: answering.generation)
    }

    private func stream(_ bytes: ByteBuffer) {
        sentSincePing = true
        write(.body(.byteBuffer(bytes)), bytes: bytes.readableBytes)
        context?.flush()
        if pendingBytes > limits.pendingBytesMax { close() }
    }

    private func schedulePing(generation: UInt64) {
        guard let context else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: limits.pingInterval) {
            bound.value.ping(generation: generation)
        }
    }

    private func ping(generation: UInt64) {
        guard case .answering(let answering) = phase, answering.generation == generation else {
            return
        }
        if !sentSincePing { stream(AnswerWriter.ping) }
        sentSincePing = false
        schedulePing(generation: generation)
    }

    /// Answers with a whole JSON object.
    private func answer(_ body: ByteBuffer) {
        guard case .answering(var answering) = phase else { return }
        answering.record.status = Int(HTTPResponseStatus.ok.code)
        phase = .answering(answering)
        let headers = HTTPHeaders([("Content-Type", "application/json")])
        sendWhole(.ok, headers, body, to: answering.head, keepsAlive: answering.keepsAlive)
    }

    /// Answers with an error; within a stream that has begun, ends it with an error event.
    private func refuse(_ failure: HTTPFailure) {
        guard case .answering(var answering) = phase else { return }
        answering.record.status = Int(failure.status.code)
        if answering.record.outcome == nil { answering.record.outcome = failure.code }
        phase = .answering(answering)
        send(failure, to: answering.head, keepsAlive: answering.keepsAlive)
    }

    func send(_ failure: HTTPFailure, to head: HTTPRequestHead?, keepsAlive: Bool) {
        sendWhole(failure.status, failure.headers, failure.body, to: head, keepsAlive: keepsAlive)
    }

    private func sendWhole(
        _ status: HTTPResponseStatus, _ headers: HTTPHeaders, _ body: ByteBuffer,
        to request: HTTPRequestHead?, keepsAlive: Bool
    ) {
        var head = HTTPResponseHead(
            version: Self.version(request), status: status, headers: headers)
        head.headers.add(name: "Content-Length", value: String(body.readableBytes))
        Self.addConnection(keepsAlive, to: &head)
        write(.head(head), bytes: 0)
        if request?.method != .HEAD {
            write(.body(.byteBuffer(body)), bytes: body.readableBytes)
        }
        endAnswer()
    }

    /// The version to answer in.
    private static func version(_ request: HTTPRequestHead?) -> HTTPVersion {
        request?.version == .http1_0 ? .http1_0 : .http1_1
    }

    private static func addConnection(_ keepsAlive: Bool, to head: inout HTTPResponseHead) {
        if !keepsAlive {
            head.headers.add(name: "Connection", value: "close")
        } else if head.version == .http1_0 {
            head.headers.add(name: "Connection", value: "keep-alive")
        }
    }

    private func endAnswer() {
        guard case .answering(let answering) = phase else {
            // An early refusal: what the connection does next is decided already.
            write(.end(nil), bytes: 1)
            context?.flush()
            return
        }
        report(answering, outcome: answering.record.outcome)
        let continues = finishAnswer(keepsAlive: answering.keepsAlive)
        write(.end(nil), bytes: 1)
        context?.flush()
        if !continues { close(afterFlush: true) }
    }

    func report(_ answering: Answering, outcome: String?) {
        var record = answering.record
        record.outcome = outcome
        record.seconds = Double((NIODeadline.now() - answering.startedAt).nanoseconds) / 1e9
        state.configuration.onRequest(record)
    }

    /// Writes, counting what the client has not taken yet.
    private func write(_ part: HTTPServerResponsePart, bytes: Int) {
        guard let context else { return }
        pendingBytes += bytes
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.write(Self.wrapOutboundOut(part)).whenComplete { _ in
            bound.value.written(bytes)
        }
    }

    private func written(_ bytes: Int) {
        pendingBytes -= bytes
        if pendingBytes == 0, closesAfterFlush { close() }
    }
}
