// The server: listening sockets in, connections set up, draining and stopping. Binds nothing and
// unlinks nothing: whoever made a socket owns its path.

package import Inference
package import NIOCore
internal import NIOHTTP1
package import NIOPosix
package import Scheduling

/// HTTP/1.1 over given listening sockets, all on one event loop.
package final class HTTPServer: Sendable {
    package let eventLoop: any EventLoop
    private let state: NIOLoopBound<ServerState>
    private let listeners: NIOLoopBoundBox<[any Channel]>

    package init(
        service: any GenerationService, configuration: HTTPServerConfiguration,
        eventLoop: any EventLoop
    ) {
        self.eventLoop = eventLoop
        // Made here, touched on the loop only.
        state = eventLoop.makeState(service, configuration)
        listeners = NIOLoopBoundBox.makeBoxSendingValue([], eventLoop: eventLoop)
    }

    /// Accepts connections from a bound, listening, non-blocking stream socket. Owns the descriptor
    /// from here on.
    package func listen(descriptor: CInt, group: MultiThreadedEventLoopGroup) throws {
        let channel = try ServerBootstrap(group: group)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture { try self.setUp(channel) }
            }
            .withBoundSocket(descriptor).wait()
        try eventLoop.submit { self.listeners.value.append(channel) }.wait()
    }

    /// Gives a new connection its handlers, or its refusal. On the event loop.
    package func setUp(_ channel: any Channel) throws {
        let state = self.state.value
        let pipeline = channel.pipeline.syncOperations
        let handler = ConnectionHandler(state: state)
        guard !state.isDraining, state.admit(handler) else {
            let reason: GenerationError.Reason = state.isDraining ? .draining : .overloaded
            let failure = HTTPFailure(GenerationError(reason, "too many connections"))
            return try pipeline.addHandler(RefusalHandler(failure))
        }
        let limits = state.configuration.limits
        var decoderLimits = NIOHTTPDecoderLimitConfiguration()
        decoderLimits.maxHeaderFieldSize = limits.headerFieldBytesMax
        decoderLimits.maxHeaderListSize = limits.headerBytesMax
        decoderLimits.maxHeaderFieldCount = limits.headerFieldsMax
        try pipeline.configureHTTPServerPipeline(
            withErrorHandling: false, withEncoderConfiguration: .init(),
            withDecoderLimitConfiguration: decoderLimits)
        try pipeline.addHandler(handler)
    }

    /// Requests from here on get these sampling defaults.
    package func update(defaults: SamplingParameters) {
        eventLoop.execute { self.state.value.configuration.defaults = defaults }
    }

    /// Stops accepting, closes idle connections and refuses new requests. What runs goes on.
    package func beginDrain() throws {
        try eventLoop.submit {
            for listener in self.listeners.value { listener.close(promise: nil) }
            self.listeners.value = []
            self.state.value.beginDrain()
        }.wait()
    }

    /// Requests being answered now. Doubles as a proof that the event loop turns.
    package func activeCount() throws -> Int {
        try eventLoop.submit { self.state.value.activeCount }.wait()
    }

    /// Open connections, idle ones too.
    package func connectionCount() throws -> Int {
        try eventLoop.submit { self.state.value.connectionCount }.wait()
    }

    /// Cancels every generation; each answer ends with an error.
    package func cancelAll() { eventLoop.execute { self.state.value.cancelAll() } }

    /// Closes every connection.
    package func closeAll() throws { try eventLoop.submit { self.state.value.closeAll() }.wait() }
}

extension EventLoop {
    fileprivate func makeState(
        _ service: any GenerationService, _ configuration: HTTPServerConfiguration
    ) -> NIOLoopBound<ServerState> {
        if inEventLoop {
            return NIOLoopBound(
                ServerState(service: service, configuration: configuration), eventLoop: self)
        }
        let made = submit {
            NIOLoopBound(
                ServerState(service: service, configuration: configuration), eventLoop: self)
        }
        do { return try made.wait() } catch { preconditionFailure("the event loop is gone") }
    }
}

/// Tells a client that there is no room for it and closes.
private final class RefusalHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let failure: HTTPFailure

    init(_ failure: HTTPFailure) { self.failure = failure }

    func channelActive(context: ChannelHandlerContext) {
        let body = failure.body
        let status = HTTPResponseStatus.serviceUnavailable
        var bytes = ByteBuffer(string: "HTTP/1.1 \(status.code) \(status.reasonPhrase)\r\n")
        bytes.writeString("Content-Type: application/json\r\nRetry-After: 1\r\n")
        bytes.writeString("Connection: close\r\nContent-Length: \(body.readableBytes)\r\n\r\n")
        bytes.writeImmutableBuffer(body)
        let channel = context.channel
        context.writeAndFlush(Self.wrapOutboundOut(bytes)).whenComplete { _ in
            channel.close(promise: nil)
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}
}
