// A connection's answers: the routes' work, and the way of bytes to the client.

internal import GenerationAPI
internal import JSON
internal import NIOCore
internal import NIOHTTP1

extension ConnectionHandler {
    // MARK: routes

    func answer(_ route: Route?, to head: HTTPRequestHead, body: ByteBuffer) {
        if state.configuration.access.isPreflight(head) { return answerPreflight(head) }
        do throws(HTTPFailure) {
            guard let route else {
                throw HTTPFailure.badRequest(
                    "no such route; \(Route.nearest(to: head.uri))", status: .notFound,
                    code: "route_not_found")
            }
            try route.check(method: head.method)
            switch route {
            case .health: try answerHealth()
            case .properties: answer(try properties())
            case .slots: try answerSlots(head)
            case .metrics: try answerMetrics()
            case .models: answer(ModelsWriter.list(try models()))
            case .model(let name): answer(ModelsWriter.single(try model(name)))
            case .completion(let kind, let dialect): try generate(kind, dialect, body: body)
            case .ollama(let route): answer(try models(route, body: body))
            case .root: answerRoot(head)
            }
        } catch {
            refuse(error)
        }
    }

    private func answerRoot(_ head: HTTPRequestHead) {
        if WebPage.isWanted(by: head) {
            answer(WebPage.text, WebPage.headers)
        } else {
            let headers = HTTPHeaders([("Content-Type", "text/plain"), ("Vary", "Accept")])
            answer(ByteBuffer(staticString: "Ollama is running"), headers)
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

    private func answerSlots(_ head: HTTPRequestHead) throws(HTTPFailure) {
        let running = state.running
        let loaded = try models().compactMap(\.loaded)
        let slotCount = max(1, loaded.reduce(0) { $0 + $1.sequencesMax })
        if Route.has("fail_on_no_slot", in: head.uri), running.count >= slotCount {
            throw HTTPFailure(
                .serviceUnavailable, "no slot available", type: "unavailable_error",
                retrySeconds: 1)
        }
        answer(
            SlotsWriter.slots(
                running, slotCount: slotCount, contextTokens: loaded.first?.contextTokens ?? 0))
    }

    private func answerMetrics() throws(HTTPFailure) {
        guard let metrics = state.configuration.metrics else {
            throw HTTPFailure.badRequest("nothing is counted here", status: .notFound)
        }
        answer(ByteBuffer(string: metrics(state.load)), as: "text/plain; version=0.0.4")
    }

    private func models() throws(HTTPFailure) -> [ModelSummary] {
        do throws(GenerationError) {
            return try state.service.models()
        } catch {
            throw HTTPFailure(error)
        }
    }

    private func model(_ name: String) throws(HTTPFailure) -> ModelSummary {
        let models = try models()
        let meant = ModelSummary.names(for: name)
        guard let model = models.first(where: { meant.contains($0.name) }) else {
            throw HTTPFailure(.unknownModel(name, among: models.map(\.name)))
        }
        return model
    }

    private func properties() throws(HTTPFailure) -> ByteBuffer {
        PropertiesWriter.properties(
            loaded: try models().filter(\.isLoaded), defaults: state.configuration.defaults,
            hasMetrics: state.configuration.metrics != nil)
    }

    private func models(
        _ route: OllamaRoute, body: ByteBuffer
    ) throws(HTTPFailure) -> ByteBuffer {
        switch route {
        case .version: return OllamaModels.version
        case .tags: return OllamaModels.tags(try models())
        case .running: return OllamaModels.running(try models())
        case .show:
            let json = try parse(body)
            let name: String
            do throws(GenerationError) {
                name = try OllamaFields.modelName(json)
            } catch {
                throw HTTPFailure(error)
            }
            return OllamaModels.show(try model(name))
        }
    }

    private func parse(_ body: ByteBuffer) throws(HTTPFailure) -> JSONValue {
        do {
            return try JSONParser.parse(
                body.readableBytesUInt8Span, valuesMax: limits.bodyValuesMax)
        } catch {
            throw .badRequest("\(error)", code: "invalid_json")
        }
    }

    private func generate(
        _ kind: CompletionKind, _ dialect: Dialect, body: ByteBuffer
    ) throws(HTTPFailure) {
        let json = try parse(body)
        let request: CompletionRequest
        do throws(GenerationError) {
            request = try CompletionRequest(
                json, kind: kind, dialect: dialect, client: client,
                defaults: state.configuration.defaults,
                texts: RequestTexts(
                    json, in: body.readableBytesUInt8Span, dialect: dialect))
        } catch {
            throw HTTPFailure(error)
        }
        guard !state.isDraining else {
            throw HTTPFailure(GenerationError(.draining, "shutting down"))
        }
        guard !state.refusesForMemory else {
            throw HTTPFailure(
                .serviceUnavailable, "the system is short of memory; try later",
                type: "unavailable_error", code: "memory_pressure", retrySeconds: 10)
        }
        try state.requireTurn(for: client)
        guard state.admitGeneration(for: client) else {
            throw HTTPFailure(
                GenerationError(.overloaded, "too many requests wait for the model; try later"))
        }
        start(request)
    }

    private func start(_ request: CompletionRequest) {
        guard case .answering(var answering) = phase else { return }
        answering.exchange = GenerationExchange(
            answer: request.answer, identifier: Self.randomIdentifier(),
            created: state.configuration.now(), choiceCount: request.more.count + 1)
        answering.orders = [request.order] + request.more[...]
        answering.streams = request.answer.streams
        phase = .answering(answering)
        generateNext()
        if request.answer.streams { scheduleComment(in: limits.streamHeadTime) }
    }

    /// Gives the engine the next order of the request.
    private func generateNext() {
        guard case .answering(var answering) = phase, let context,
            let order = answering.orders.popFirst()
        else { return }
        let generation = answering.generation
        answering.order = order.withoutPrompt
        phase = .answering(answering)
        let eventLoop = context.eventLoop
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        // Events come from the engine's thread, in order; the loop keeps that order.
        let ticket = state.service.generate(order) { event in
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
        if case .started(_, let promptTokens, _) = event {
            answering.record.promptTokens += promptTokens
            if answering.orders.isEmpty { dropOrder() }
            answering.pieceCount = 0
        }
        if event.isPiece { note(pieceOf: &answering) }
        let actions = exchange.receive(state.isDraining ? Self.whileDraining(event) : event)
        let more = exchange.heldBytes - answering.heldBytes
        let fits = state.reserve(answerBytes: more)
        answering.heldBytes += more
        answering.exchange = exchange
        answering.record.outcome = exchange.outcome
        answering.record.statistics = exchange.statistics
        answering.record.generatedTokens = exchange.statistics.generatedTokens
        phase = .answering(answering)
        guard fits || more <= 0 else {
            answering.ticket?.cancel()
            return refuse(
                HTTPFailure(
                    GenerationError(
                        .budgetExceeded,
                        "the answers at hand exceed the memory budget; \(exchange.remedy)")))
        }
        for action in actions {
            guard isAnswering else { return }
            perform(action)
        }
    }

    private func note(pieceOf answering: inout Answering) {
        let now = NIODeadline.now()
        let last = answering.lastPieceAt
        let passed = now - (last ?? answering.startedAt)
        state.configuration.onPiece(Double(passed.nanoseconds) / 1e9, last == nil)
        answering.lastPieceAt = now
        answering.pieceCount += 1
    }

    /// Who still waits when the service goes down has not cancelled anything.
    private static func whileDraining(_ event: GenerationEvent) -> GenerationEvent {
        guard case .failed(let error) = event, error.reason == .cancelled else { return event }
        return .failed(
            GenerationError(.draining, "the service is going down: this answer is not complete"))
    }

    private func perform(_ action: ExchangeAction) {
        switch action {
        case .beginStream: beginStream()
        case .send(let bytes): stream(bytes)
        case .answer(let bytes): answer(bytes)
        case .refuse(let failure): refuse(failure)
        case .endStream: endAnswer()
        case .generateNext: generateNext()
        }
    }

    // MARK: bytes out

    private func beginStream() {
        guard case .answering(var answering) = phase, !answering.headIsSent else { return }
        // Without chunks (HTTP/1.0) only the connection's end can end the stream.
        answering.keepsAlive = answering.keepsAlive && answering.request.version == .http1_1
        answering.headIsSent = true
        answering.record.status = Int(HTTPResponseStatus.ok.code)
        phase = .answering(answering)
        var head = HTTPResponseHead(version: Self.version(answering.request), status: .ok)
        head.headers.add(name: "Content-Type", value: answering.request.dialect.streamType)
        head.headers.add(name: "Cache-Control", value: "no-cache")
        addOrigin(to: &head)
        addConnection(answering.keepsAlive, to: &head)
        write(.head(head), bytes: 0)
        context?.flush()
        output.sentSinceComment = true
        scheduleComment(in: limits.commentInterval)
    }

    private func stream(_ bytes: ByteBuffer) {
        output.sentSinceComment = true
        let fits = write(.body(.byteBuffer(bytes)), bytes: bytes.readableBytes)
        context?.flush()
        if output.pendingBytes > pendingBytesMax || !fits && output.pendingBytes > 0 { close() }
    }

    /// What a client may leave untaken. Some streams repeat what was kept of them, several times in
    /// one piece: who is not slow may still have all of that before it.
    private var pendingBytesMax: Int {
        guard case .answering(let answering) = phase else { return limits.pendingBytesMax }
        return limits.pendingBytesMax + 8 * answering.heldBytes
    }

    private func scheduleComment(in time: TimeAmount) {
        guard let context else { return }
        output.nextComment?.cancel()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        output.nextComment = context.eventLoop.scheduleTask(in: time) { bound.value.comment() }
    }

    /// Says what a silent stream waits for; begins a stream that has not begun.
    private func comment() {
        guard case .answering(let answering) = phase, let exchange = answering.exchange else {
            return
        }
        beginStream()
        if !output.sentSinceComment || !answering.headIsSent,
            let comment = answering.request.dialect.comment(waiting(exchange))
        {
            stream(comment)
        }
        output.sentSinceComment = false
        scheduleComment(in: limits.commentInterval)
    }

    private func waiting(_ exchange: GenerationExchange) -> StaticString {
        if exchange.hasSpoken { return "ping" }
        if exchange.hasStarted { return "prefill" }
        if case .loading = state.service.state { return "loading" }
        return "queued"
    }

    /// Answers with a whole JSON object.
    private func answer(_ body: ByteBuffer, as type: String = "application/json") {
        answer(body, HTTPHeaders([("Content-Type", type)]))
    }

    private func answer(_ body: ByteBuffer, _ headers: HTTPHeaders) {
        guard case .answering(var answering) = phase else { return }
        guard state.fits(answerBytes: body.readableBytes, inPlaceOf: answering.heldBytes) else {
            return refuse(
                HTTPFailure(GenerationError(.overloaded, "too many answers wait to be taken")))
        }
        answering.record.status = Int(HTTPResponseStatus.ok.code)
        phase = .answering(answering)
        sendWhole(.ok, headers, body, to: answering.request, keepsAlive: answering.keepsAlive)
    }

    /// Answers with an error; within a stream that has begun, ends it with an error event.
    func refuse(_ failure: HTTPFailure) {
        guard case .answering(var answering) = phase else { return }
        if answering.record.outcome == nil { answering.record.outcome = failure.code }
        let dialect = answering.request.dialect
        if !answering.headIsSent {
            answering.record.status = Int(dialect.status(of: failure).code)
        }
        phase = .answering(answering)
        if answering.headIsSent {
            stream(answering.exchange?.streamed(failure) ?? dialect.streamed(failure))
            endAnswer()
        } else {
            send(failure, to: answering.request, keepsAlive: answering.keepsAlive)
        }
    }

    func send(_ failure: HTTPFailure, to request: Request?, keepsAlive: Bool) {
        let dialect = request?.dialect ?? .openAI
        sendWhole(
            dialect.status(of: failure), failure.headers, dialect.body(of: failure), to: request,
            keepsAlive: keepsAlive)
    }

    func sendWhole(
        _ status: HTTPResponseStatus, _ headers: HTTPHeaders, _ body: ByteBuffer,
        to request: Request?, keepsAlive: Bool
    ) {
        var head = HTTPResponseHead(
            version: Self.version(request), status: status, headers: headers)
        head.headers.add(name: "Content-Length", value: String(body.readableBytes))
        addOrigin(to: &head)
        addConnection(keepsAlive, to: &head)
        write(.head(head), bytes: 0)
        if request?.method != .HEAD {
            write(.body(.byteBuffer(body)), bytes: body.readableBytes)
        }
        endAnswer()
    }

    /// The version to answer in.
    private static func version(_ request: Request?) -> HTTPVersion {
        request?.version == .http1_0 ? .http1_0 : .http1_1
    }

    /// Says whether the connection goes on and for how long it may be idle, a little less than it
    /// is, so that no request meets the connection's end.
    private func addConnection(_ keepsAlive: Bool, to head: inout HTTPResponseHead) {
        guard keepsAlive else {
            return head.headers.add(name: "Connection", value: "close")
        }
        head.headers.add(name: "Connection", value: "keep-alive")
        let seconds = limits.receiveTimeout.nanoseconds / 1_000_000_000 * 5 / 6
        if seconds > 0 { head.headers.add(name: "Keep-Alive", value: "timeout=\(seconds)") }
    }

    private func endAnswer() {
        guard case .answering(let answering) = phase else {
            // An early refusal: what the connection does next is decided already.
            write(.end(nil), bytes: 1)
            context?.flush()
            return
        }
        output.nextComment?.cancel()
        dropOrder()
        state.release(answerBytes: answering.heldBytes)
        report(answering, outcome: answering.record.outcome)
        let continues = finishAnswer(keepsAlive: answering.keepsAlive)
        write(.end(nil), bytes: 1)
        if !continues {
            ending.closing = held.input.readableBytes == 0 ? .atOnce : .lingering
            dropInput()
        }
        context?.flush()
    }

    func report(_ answering: Answering, outcome: String?) {
        var record = answering.record
        record.outcome = outcome
        record.seconds = Double((NIODeadline.now() - answering.startedAt).nanoseconds) / 1e9
        state.configuration.onRequest(record)
    }

    /// Writes, counting what the client has not taken yet; false when all answers together are
    /// beyond their limit.
    @discardableResult private func write(_ part: HTTPServerResponsePart, bytes: Int) -> Bool {
        guard let context else { return false }
        output.pendingBytes += bytes
        let fits = state.reserve(answerBytes: bytes)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.write(Self.wrapOutboundOut(part)).whenComplete { result in
            if case .success = result {
                bound.value.written(bytes)
            } else {
                bound.value.dropped(bytes)
            }
        }
        return fits
    }

    private func written(_ bytes: Int) {
        dropped(bytes)
        if output.pendingBytes == 0, bytes > 0 { outputIsTaken() }
    }

    private func dropped(_ bytes: Int) {
        output.pendingBytes -= bytes
        state.release(answerBytes: bytes)
    }
}

extension GenerationEvent {
    /// Whether it tells more of an answer.
    fileprivate var isPiece: Bool {
        switch self {
        case .text, .reasoning, .toolCall: true
        case .started, .progress, .tokens, .embedding, .finished, .failed: false
        }
    }
}
