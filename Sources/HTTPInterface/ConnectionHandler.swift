// One client connection: receives a request within limits, answers it, and again. A connection has
// one request in flight; NIO's pipeline handler keeps later ones back. Whatever ends the connection
// ends its generation.

internal import NIOCore
internal import NIOHTTP1
internal import Scheduling

/// The last handler of a connection's pipeline. Lives on the event loop.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// A request whose body is arriving.
    struct Receiving {
        var head: HTTPRequestHead
        let startedAt = NIODeadline.now()
    }

    /// A request that is being answered.
    struct Answering {
        var head: HTTPRequestHead
        var record: RequestRecord
        let startedAt: NIODeadline
        var keepsAlive: Bool
        var headIsSent = false
        var exchange: GenerationExchange?
        var ticket: (any GenerationTicket)?
        /// Tells this generation's events from late ones of an earlier one.
        var generation: UInt64 = 0
    }

    enum Phase {
        case waiting
        case receiving(Receiving)
        case answering(Answering)
        /// The answer went out and the connection is to end: whatever still arrives is dropped.
        case leaving
        case closed
    }

    let state: ServerState
    /// Orders connections by how long they have been idle.
    var number: UInt64
    var phase = Phase.waiting
    var context: ChannelHandlerContext?
    var client: ClientID
    var pendingBytes = 0
    var sentSincePing = false
    /// The body as far as it has arrived; its bytes are accounted for in `state`.
    private var body = ByteBuffer()
    private var deadline: Scheduled<Void>?
    private var inputIsClosed = false
    private var hasBegun = false
    private(set) var closesAfterFlush = false

    init(state: ServerState) {
        self.state = state
        number = state.takeNumber()
        // The high bit keeps connection numbers apart from process numbers.
        client = ClientID(rawValue: 1 << 63 | number)
    }

    var limits: HTTPLimits { state.configuration.limits }

    var isIdle: Bool {
        if case .waiting = phase { true } else { false }
    }

    var isAnswering: Bool {
        if case .answering = phase { true } else { false }
    }

    // MARK: the channel's events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        guard !hasBegun else { return }
        hasBegun = true
        arm(limits.receiveTimeout)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        state.configuration.identify(context.channel).whenSuccess { client in
            if let client { bound.value.client = client }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        leave()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        leave()
        self.context = nil
    }

    /// The connection is over, whoever ended it.
    private func leave() {
        deadline?.cancel()
        deadline = nil
        releaseBody()
        if case .answering(let answering) = phase {
            answering.ticket?.cancel()
            report(answering, outcome: "disconnected")
        }
        phase = .closed
        state.remove(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (Self.unwrapInboundIn(data), phase) {
        case (.head(let head), .waiting): receive(head)
        case (.body(let bytes), .receiving(let receiving)): receive(bytes, receiving)
        case (.end, .receiving(let receiving)): dispatch(receiving)
        case (.end, .leaving): close(afterFlush: true)
        default: break
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent {
            // A client may close its sending half and still read: answer, then close.
            inputIsClosed = true
            if case .answering = phase { return }
            if case .leaving = phase { return close(afterFlush: true) }
            close()
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError else { return close() }
        switch phase {
        case .waiting, .receiving:
            releaseBody()
            let isTooLarge = error as? HTTPParserError == .headerOverflow
            let failure = HTTPFailure.badRequest(
                isTooLarge ? "the request's header is too large" : "not HTTP/1.1: \(error)",
                status: isTooLarge ? .requestHeaderFieldsTooLarge : .badRequest)
            leave(with: failure, head: nil)
            close(afterFlush: true)
        case .answering, .leaving, .closed: close()
        }
    }

    // MARK: receiving

    private func receive(_ head: HTTPRequestHead) {
        let declared = head.headers.first(name: "content-length").flatMap { Int($0) } ?? 0
        guard declared <= limits.bodyBytesMax else { return refuseBody(head) }
        if head.headers[canonicalForm: "expect"].contains("100-continue") {
            let proceed = HTTPResponseHead(version: .http1_1, status: .continue)
            context?.writeAndFlush(Self.wrapOutboundOut(.head(proceed)), promise: nil)
        }
        phase = .receiving(Receiving(head: head))
    }

    private func receive(_ bytes: ByteBuffer, _ receiving: Receiving) {
        guard body.readableBytes + bytes.readableBytes <= limits.bodyBytesMax else {
            return refuseBody(receiving.head)
        }
        guard state.reserve(bodyBytes: bytes.readableBytes) else {
            let problem = GenerationError(.overloaded, "too many large requests at once")
            return leave(with: HTTPFailure(problem), head: receiving.head)
        }
        body.writeImmutableBuffer(bytes)
    }

    private func refuseBody(_ head: HTTPRequestHead) {
        let message = "the body is longer than \(limits.bodyBytesMax) bytes"
        leave(with: .badRequest(message, status: .payloadTooLarge), head: head)
    }

    /// Answers before the request has ended. The rest of it is read and dropped, so that the client
    /// gets to see the answer; the deadline still holds.
    private func leave(with failure: HTTPFailure, head: HTTPRequestHead?) {
        releaseBody()
        phase = .leaving
        send(failure, to: head, keepsAlive: false)
        let status = Int(failure.status.code)
        state.configuration.onRequest(
            RequestRecord(route: "unread", status: status, seconds: 0, outcome: failure.code))
    }

    private func releaseBody() {
        state.release(bodyBytes: body.readableBytes)
        body = ByteBuffer()
    }

    private func dispatch(_ receiving: Receiving) {
        deadline?.cancel()
        deadline = nil
        let body = self.body
        releaseBody()
        let head = receiving.head
        let route = Route(target: head.uri)
        phase = .answering(
            Answering(
                head: head,
                record: RequestRecord(route: route?.name ?? "unknown", status: 0, seconds: 0),
                startedAt: receiving.startedAt,
                keepsAlive: head.isKeepAlive && !inputIsClosed && !state.isDraining,
                generation: state.takeNumber()))
        answer(route, head: head, body: body)
    }

    // MARK: time

    /// Ends the connection after `time`, unless re-armed or disarmed before.
    func arm(_ time: TimeAmount) {
        deadline?.cancel()
        deadline = context.map { context in
            let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
            return context.eventLoop.scheduleTask(in: time) { bound.value.timeOut() }
        }
    }

    private func timeOut() {
        guard case .receiving(let receiving) = phase else { return close() }
        let failure = HTTPFailure.badRequest(
            "the request took too long", status: .requestTimeout)
        leave(with: failure, head: receiving.head)
        close(afterFlush: true)
    }

    /// Decides, just before an answer's last bytes are written, what the connection does next.
    /// Writing them may deliver the next request at once.
    func finishAnswer(keepsAlive: Bool) -> Bool {
        guard keepsAlive, !inputIsClosed, !state.isDraining else {
            phase = .leaving
            arm(limits.sendTimeout)
            return false
        }
        state.remove(self)
        number = state.takeNumber()  // Idleness counts from now.
        phase = .waiting
        _ = state.admit(self)
        arm(limits.receiveTimeout)
        return true
    }

    // MARK: ending

    func close() { context?.close(promise: nil) }

    /// Closes once everything written has gone out; the deadline bounds the wait.
    func close(afterFlush: Bool) {
        guard afterFlush, pendingBytes > 0 else { return close() }
        closesAfterFlush = true
        arm(limits.sendTimeout)
    }

    /// Asks the engine to stop; the answer then ends with its last event.
    func cancelGeneration() {
        if case .answering(let answering) = phase { answering.ticket?.cancel() }
    }
}
