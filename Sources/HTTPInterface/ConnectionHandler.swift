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
        let dialect: Dialect
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
        var streams = false
        /// Of further choices, which are generated one after the other.
        var orders: ArraySlice<GenerationOrder> = []
        /// The order that is being generated, without its prompt.
        var order: GenerationOrder?
        /// When the last piece of the answer came, and how many there were.
        var lastPieceAt: NIODeadline?
        var pieceCount = 0
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

    /// Whether the server has a place for the connection.
    struct Place {
        /// Set when there is none: the answer to whatever it asks.
        var refusal: HTTPFailure?
        /// Whether that is final.
        fileprivate(set) var isRefused = false
    }

    struct Idle {
        /// Since when nothing was asked.
        fileprivate(set) var since = NIODeadline.now()
        /// Whether a request has been answered.
        fileprivate(set) var hasServed = false
    }

    /// What the client has not taken yet.
    struct Output {
        var pendingBytes = 0
        var sentSinceComment = false
        /// The next comment or, before a stream's head is sent, that head.
        var nextComment: Scheduled<Void>?
    }

    /// How the connection ends.
    struct Ending {
        var inputIsClosed = false
        var closing = Closing.not
        var isLingering = false
    }

    /// What is held of requests.
    struct HeldInput {
        /// What arrived and is not part of a request yet.
        var input = ByteBuffer()
        /// The body as far as it has arrived.
        fileprivate(set) var body = ByteBuffer()
        /// The body that became a generation's order, until the engine has begun with that.
        fileprivate(set) var orderBytes = 0
        /// What a body in a coding takes when that is undone, until it is the body.
        fileprivate var decodingBytes = 0
        /// The bytes of all of them that are accounted for in the server's state.
        fileprivate(set) var accountedBytes = 0

        fileprivate var byteCount: Int {
            input.readableBytes + body.readableBytes + orderBytes + decodingBytes
        }
    }

    private struct Timer {
        var deadline = NIODeadline.distantFuture
        var task: Scheduled<Void>?
    }

    let state: ServerState
    /// Orders connections by when they came.
    let number: UInt64
    var phase = Phase.waiting
    var context: ChannelHandlerContext?
    var client: ClientID
    var peer = ConnectionPeer()
    /// Of the request at hand, when its page may read the answer.
    var allowedOrigin: String?
    var place = Place()
    private(set) var idle = Idle()
    var output = Output()
    var ending = Ending()
    var held = HeldInput()
    private var parser: RequestParser
    private var isProcessing = false
    private var hasBegun = false
    private var timer = Timer()

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
        arm(place.refusal == nil ? limits.receiveTimeout : limits.idleTime)
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
        timer.task?.cancel()
        timer.task = nil
        output.nextComment?.cancel()
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
            if ending.isLingering { arm(limits.lingerTime) }
            return
        case .closed: return
        case .waiting where held.input.readableBytes == 0 && place.refusal == nil:
            arm(limits.receiveTimeout)
        default: break
        }
        if held.input.readableBytes == 0 {
            held.input = bytes
        } else {
            held.input.writeImmutableBuffer(bytes)
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
        ending.inputIsClosed = true
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
        guard !ending.inputIsClosed else { return }
        switch phase {
        case .waiting where place.refusal != nil && held.input.readableBytes > 0: break
        case .waiting where output.pendingBytes == 0, .receiving, .leaving: context?.read()
        default: break
        }
    }

    /// Takes requests out of the input, as long as each is answered at once and its answer taken.
    func process() {
        guard !isProcessing else { return }
        isProcessing = true
        while takesInput {
            do throws(HTTPFailure) {
                guard let part = try parser.next(&held.input) else { break }
                take(part)
            } catch {
                leave(with: place.refusal ?? error)
            }
        }
        isProcessing = false
        if held.input.readableBytes == 0 { held.input = ByteBuffer() }
        // Shrinks, or was accounted for when it arrived.
        _ = account()
        if ending.inputIsClosed, takesInput { return close() }
        readMore()
    }

    private var takesInput: Bool {
        switch phase {
        case .waiting: output.pendingBytes == 0 && (place.refusal == nil || place.isRefused)
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
        let request = Request(head)
        do throws(HTTPFailure) {
            if let refusal = place.refusal { throw refusal }
            try RequestHeadRules.check(head, framing, limits)
            try admit(head)
        } catch {
            return leave(with: error, to: request)
        }
        if RequestHeadRules.expectsContinue(head), framing.hasBody, held.input.readableBytes == 0 {
            let proceed = HTTPResponseHead(version: .http1_1, status: .continue)
            context?.writeAndFlush(Self.wrapOutboundOut(.head(proceed)), promise: nil)
        }
        phase = .receiving(Receiving(head: head))
        arm(limits.receiveTimeout)
    }

    private func receive(_ bytes: ByteBuffer, _ receiving: Receiving) {
        guard held.body.readableBytes + bytes.readableBytes <= limits.bodyBytesMax else {
            return leave(
                with: RequestHeadRules.bodyTooLong(limits), to: Request(receiving.head))
        }
        held.body.writeImmutableBuffer(bytes)
        guard account() else { return refuseInput() }
        // Silence ends it, and being slower than the slowest rate.
        let seconds = held.body.readableBytes / max(limits.bodyBytesPerSecondMin, 1)
        let slowest = receiving.startedAt + limits.receiveTimeout + .seconds(Int64(seconds))
        arm(until: min(slowest, .now() + limits.receiveTimeout))
    }

    /// All connections together hold too much of their requests.
    private func refuseInput() {
        let problem = Self.tooMuchInput
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
        let now = held.byteCount
        let more = now - held.accountedBytes
        if more > 0 {
            guard state.reserve(bodyBytes: more) else { return false }
        } else {
            state.release(bodyBytes: -more)
        }
        held.accountedBytes = now
        return true
    }

    func dropInput() {
        held.input = ByteBuffer()
        held.body = ByteBuffer()
        _ = account()
    }

    /// The engine holds the order's text no more.
    func dropOrder() {
        held.orderBytes = 0
        _ = account()
    }

    /// Without a place, asks for one again: others may have become idle meanwhile.
    private func askForPlace() {
        guard place.refusal != nil, case .waiting = phase, state.makePlace(for: client) else {
            return
        }
        place.refusal = nil
        arm(limits.receiveTimeout)
        state.onChange()
    }

    /// The time to wait for a place is over. What was asked decides the form of the refusal.
    private func refuseOrServe() {
        askForPlace()
        place.isRefused = place.refusal != nil
        process()
        if case .waiting = phase, let refusal = place.refusal { leave(with: refusal) }
    }

    /// Undoes the coding of the body that has arrived, if it has one.
    private func decodeBody(_ head: HTTPRequestHead) throws(HTTPFailure) {
        guard held.body.readableBytes > 0, try BodyCoding.check(head) else { return }
        defer {
            held.decodingBytes = 0
            _ = account()
        }
        held.body = try BodyCoding.decode(held.body, limits: limits) {
            room throws(HTTPFailure) in
            held.decodingBytes = room
            guard account() else { throw Self.tooMuchInput }
        }
    }

    private static var tooMuchInput: HTTPFailure {
        HTTPFailure(GenerationError(.overloaded, "too many large requests at once"))
    }

    private func dispatch(_ receiving: Receiving) {
        disarm()
        do throws(HTTPFailure) {
            try decodeBody(receiving.head)
        } catch {
            return leave(with: error, to: Request(receiving.head))
        }
        let body = held.body
        held.body = ByteBuffer()
        held.orderBytes = body.readableBytes
        let head = receiving.head
        let route = Route(target: head.uri)
        let isLast = state.isDraining || ending.inputIsClosed && held.input.readableBytes == 0
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
        let isSooner = deadline < timer.deadline
        timer.deadline = deadline
        if timer.task == nil || isSooner { setTimer() }
    }

    func disarm() { timer.deadline = .distantFuture }

    /// One timer serves a deadline that is mostly put off.
    private func setTimer() {
        timer.task?.cancel()
        timer.task = context.map { context in
            let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
            return context.eventLoop.scheduleTask(deadline: timer.deadline) { bound.value.wake() }
        }
    }

    private func wake() {
        timer.task = nil
        guard NIODeadline.now() >= timer.deadline else {
            if timer.deadline < .distantFuture { setTimer() }
            return
        }
        timer.deadline = .distantFuture
        timeOut()
    }

    private func timeOut() {
        let failure = HTTPFailure.badRequest(
            "the request took too long", status: .requestTimeout)
        switch phase {
        case .waiting where place.refusal != nil: refuseOrServe()
        case .waiting where output.pendingBytes == 0 && held.input.readableBytes > 0:
            leave(with: failure)
        case .receiving(let receiving): leave(with: failure, to: Request(receiving.head))
        default: close()
        }
    }

    /// Decides, just before an answer's last bytes are written, what the connection does next.
    /// Writing them may deliver the next request at once.
    func finishAnswer(keepsAlive: Bool) -> Bool {
        let isLast = state.isDraining || ending.inputIsClosed && held.input.readableBytes == 0
        guard keepsAlive, !isLast else {
            phase = .leaving
            arm(limits.sendTimeout)
            return false
        }
        phase = .waiting
        idle.hasServed = true
        idle.since = .now()
        arm(max(limits.receiveTimeout, limits.sendTimeout))
        return true
    }

    /// The client has taken all that was written.
    func outputIsTaken() {
        switch phase {
        case .waiting:
            arm(place.refusal == nil ? limits.receiveTimeout : limits.idleTime)
            process()
        case .leaving: end(after: ending.closing)
        default: break
        }
    }
}

extension ConnectionHandler.Request {
    init(_ head: HTTPRequestHead) {
        self.init(
            method: head.method, version: head.version, dialect: Route.dialect(of: head.uri))
    }
}
