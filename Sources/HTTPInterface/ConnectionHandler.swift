// One client connection: receives a request within limits, answers it, and again. Nothing is read
// while an answer is unfinished or has not been taken, so a connection never holds more than one
// read beyond its request. Whatever ends the connection ends its generation.

internal import GenerationAPI
internal import NIOCore
internal import NIOHTTP1

/// The last handler of a connection's pipeline. Lives on the event loop. Its channel reads only
/// when asked to.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = HTTPServerResponsePart

    /// What of a request its answer depends on.
    struct Request {
        let method: HTTPMethod
        let version: HTTPVersion
    }

    /// A request whose body is arriving.
    struct Receiving {
        let head: HTTPRequestHead
        let startedAt = NIODeadline.now()
    }

    /// A request that is being answered.
    struct Answering {
        let request: Request
        var record: RequestRecord
        let startedAt: NIODeadline
        var keepsAlive: Bool
        var headIsSent = false
        var exchange: GenerationExchange?
        /// The part of the answer that is being put together, as accounted for in `state`.
        var heldBytes = 0
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
    /// Orders connections by when they came.
    let number: UInt64
    var phase = Phase.waiting
    var context: ChannelHandlerContext?
    var client: ClientID
    /// Set when there is no place for this connection: the answer to whatever it asks.
    var refusal: HTTPFailure?
    /// Whether that is final.
    private var isRefused = false
    /// Since when nothing was asked.
    private(set) var idleSince = NIODeadline.now()
    var pendingBytes = 0
    var sentSinceComment = false
    /// The next comment or, before a stream's head is sent, that head.
    var nextComment: Scheduled<Void>?
    var inputIsClosed = false
    var closing = Closing.not
    var isLingering = false
    /// Whether a request has been answered.
    private(set) var hasServed = false
    /// What arrived and is not part of a request yet.
    var input = ByteBuffer()
    /// The body as far as it has arrived.
    private var body = ByteBuffer()
    /// The body that became a generation's order, until the engine has begun with that.
    private var orderBytes = 0
    /// The bytes of all three that are accounted for in `state`.
    private var heldBytes = 0
    private var parser: RequestParser
    private var isProcessing = false
    private var hasBegun = false
    private var deadline = NIODeadline.distantFuture
    private var timer: Scheduled<Void>?

    init(state: ServerState) {
        self.state = state
        number = state.takeNumber()
        // The high bit keeps connection numbers apart from process numbers.
        client = ClientID(rawValue: 1 << 63 | number)
        parser = RequestParser(limits: state.configuration.limits)
    }

    var limits: HTTPLimits { state.configuration.limits }

    // MARK: the channel's events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin() }
    }

    func channelActive(context: ChannelHandlerContext) {
        begin()
        context.fireChannelActive()
    }

    private func begin() {
        guard !hasBegun else { return }
        hasBegun = true
        arm(refusal == nil ? limits.receiveTimeout : limits.idleTime)
        context?.read()
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
        timer?.cancel()
        timer = nil
        nextComment?.cancel()
        dropInput()
        dropOrder()
        if case .answering(let answering) = phase {
            answering.ticket?.cancel()
            state.release(answerBytes: answering.heldBytes)
            report(answering, outcome: "disconnected")
        }
        phase = .closed
        state.remove(self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = Self.unwrapInboundIn(data)
        switch phase {
        case .leaving:
            if isLingering { arm(limits.lingerTime) }
            return
        case .closed: return
        case .waiting where input.readableBytes == 0 && refusal == nil: arm(limits.receiveTimeout)
        default: break
        }
        if input.readableBytes == 0 {
            input = bytes
        } else {
            input.writeImmutableBuffer(bytes)
        }
        guard account() else { return refuseInput() }
        askForPlace()
        process()
    }

    func channelReadComplete(context: ChannelHandlerContext) { readMore() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case ChannelEvent.inputClosed? = event as? ChannelEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        // A client may close its sending half and still read: answer, then close.
        inputIsClosed = true
        if case .leaving = phase {
            end(after: .lingering)
        } else {
            process()
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { close() }

    // MARK: receiving

    /// Reads on when there is a use for more input.
    private func readMore() {
        guard !inputIsClosed else { return }
        switch phase {
        case .waiting where refusal != nil && input.readableBytes > 0: break
        case .waiting where pendingBytes == 0, .receiving, .leaving: context?.read()
        default: break
        }
    }

    /// Takes requests out of the input, as long as each is answered at once and its answer taken.
    func process() {
        guard !isProcessing else { return }
        isProcessing = true
        while takesInput {
            do throws(HTTPFailure) {
                guard let part = try parser.next(&input) else { break }
                take(part)
            } catch {
                leave(with: refusal ?? error)
            }
        }
        isProcessing = false
        if input.readableBytes == 0 { input = ByteBuffer() }
        // Shrinks, or was accounted for when it arrived.
        _ = account()
        if inputIsClosed, takesInput { return close() }
        readMore()
    }

    private var takesInput: Bool {
        switch phase {
        case .waiting: pendingBytes == 0 && (refusal == nil || isRefused)
        case .receiving: true
        case .answering, .leaving, .closed: false
        }
    }

    private func take(_ part: RequestParser.Part) {
        switch (part, phase) {
        case (.head(let head, let framing), .waiting): receive(head, framing)
        case (.body(let bytes), .receiving(let receiving)): receive(bytes, receiving)
        case (.end, .receiving(let receiving)): dispatch(receiving)
        default: preconditionFailure("a request's parts out of order")
        }
    }

    private func receive(_ head: HTTPRequestHead, _ framing: BodyFraming) {
        let request = Request(method: head.method, version: head.version)
        do throws(HTTPFailure) {
            if let refusal { throw refusal }
            try RequestHeadRules.check(head, framing, limits)
        } catch {
            return leave(with: error, to: request)
        }
        if RequestHeadRules.expectsContinue(head), framing.hasBody, input.readableBytes == 0 {
            let proceed = HTTPResponseHead(version: .http1_1, status: .continue)
            context?.writeAndFlush(Self.wrapOutboundOut(.head(proceed)), promise: nil)
        }
        phase = .receiving(Receiving(head: head))
        arm(limits.receiveTimeout)
    }

    private func receive(_ bytes: ByteBuffer, _ receiving: Receiving) {
        guard body.readableBytes + bytes.readableBytes <= limits.bodyBytesMax else {
            return leave(
                with: RequestHeadRules.bodyTooLong(limits), to: Request(receiving.head))
        }
        body.writeImmutableBuffer(bytes)
        guard account() else { return refuseInput() }
        // Silence ends it, and being slower than the slowest rate.
        let seconds = body.readableBytes / max(limits.bodyBytesPerSecondMin, 1)
        let slowest = receiving.startedAt + limits.receiveTimeout + .seconds(Int64(seconds))
        arm(until: min(slowest, .now() + limits.receiveTimeout))
    }

    /// All connections together hold too much of their requests.
    private func refuseInput() {
        let problem = HTTPFailure(GenerationError(.overloaded, "too many large requests at once"))
        switch phase {
        case .receiving(let receiving): leave(with: problem, to: Request(receiving.head))
        case .answering(var answering):
            // Requests ahead of their time, from a client that closed its sending half.
            answering.keepsAlive = false
            phase = .answering(answering)
            dropInput()
        case .waiting: leave(with: problem)
        case .leaving, .closed: dropInput()
        }
    }

    /// Accounts for what is held of requests; false when it is too much.
    private func account() -> Bool {
        let now = input.readableBytes + body.readableBytes + orderBytes
        let more = now - heldBytes
        if more > 0 {
            guard state.reserve(bodyBytes: more) else { return false }
        } else {
            state.release(bodyBytes: -more)
        }
        heldBytes = now
        return true
    }

    func dropInput() {
        input = ByteBuffer()
        body = ByteBuffer()
        _ = account()
    }

    /// The engine holds the order's text no more.
    func dropOrder() {
        orderBytes = 0
        _ = account()
    }

    /// Without a place, asks for one again: others may have become idle meanwhile.
    private func askForPlace() {
        guard refusal != nil, case .waiting = phase, state.makePlace(for: client) else { return }
        refusal = nil
        arm(limits.receiveTimeout)
        state.onChange()
    }

    /// The time to wait for a place is over. What was asked decides the form of the refusal.
    private func refuseOrServe() {
        askForPlace()
        isRefused = refusal != nil
        process()
        if case .waiting = phase, let refusal { leave(with: refusal) }
    }

    private func dispatch(_ receiving: Receiving) {
        disarm()
        let body = self.body
        self.body = ByteBuffer()
        orderBytes = body.readableBytes
        let head = receiving.head
        let route = Route(target: head.uri)
        let isLast = state.isDraining || inputIsClosed && input.readableBytes == 0
        phase = .answering(
            Answering(
                request: Request(head),
                record: RequestRecord(route: route?.name ?? "unknown", status: 0, seconds: 0),
                startedAt: receiving.startedAt,
                keepsAlive: RequestHeadRules.keepsAlive(head) && !isLast,
                generation: state.takeNumber()))
        answer(route, to: head, body: body)
    }

    // MARK: time

    /// Ends what the connection is at after `time`, unless re-armed or disarmed before.
    func arm(_ time: TimeAmount) { arm(until: .now() + time) }

    private func arm(until deadline: NIODeadline) {
        let isSooner = deadline < self.deadline
        self.deadline = deadline
        if timer == nil || isSooner { setTimer() }
    }

    func disarm() { deadline = .distantFuture }

    /// One timer serves a deadline that is mostly put off.
    private func setTimer() {
        timer?.cancel()
        timer = context.map { context in
            let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
            return context.eventLoop.scheduleTask(deadline: deadline) { bound.value.wake() }
        }
    }

    private func wake() {
        timer = nil
        guard NIODeadline.now() >= deadline else {
            if deadline < .distantFuture { setTimer() }
            return
        }
        deadline = .distantFuture
        timeOut()
    }

    private func timeOut() {
        let failure = HTTPFailure.badRequest(
            "the request took too long", status: .requestTimeout)
        switch phase {
        case .waiting where refusal != nil: refuseOrServe()
        case .waiting where pendingBytes == 0 && input.readableBytes > 0: leave(with: failure)
        case .receiving(let receiving): leave(with: failure, to: Request(receiving.head))
        default: close()
        }
    }

    /// Decides, just before an answer's last bytes are written, what the connection does next.
    /// Writing them may deliver the next request at once.
    func finishAnswer(keepsAlive: Bool) -> Bool {
        let isLast = state.isDraining || inputIsClosed && input.readableBytes == 0
        guard keepsAlive, !isLast else {
            phase = .leaving
            arm(limits.sendTimeout)
            return false
        }
        phase = .waiting
        hasServed = true
        idleSince = .now()
        arm(max(limits.receiveTimeout, limits.sendTimeout))
        return true
    }

    /// The client has taken all that was written.
    func outputIsTaken() {
        switch phase {
        case .waiting:
            arm(refusal == nil ? limits.receiveTimeout : limits.idleTime)
            process()
        case .leaving: end(after: closing)
        default: break
        }
    }
}

extension ConnectionHandler.Request {
    init(_ head: HTTPRequestHead) {
        self.init(method: head.method, version: head.version)
    }
}
