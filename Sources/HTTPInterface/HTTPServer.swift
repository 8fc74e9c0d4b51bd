// The server: listening sockets in, connections set up, draining and stopping. Binds nothing and
// unlinks nothing: whoever made a socket owns its path.

package import GenerationAPI
package import NIOCore
internal import NIOHTTP1
package import NIOPosix

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
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            .serverChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture { try self.setUp(listener: channel) }
            }
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture { try self.setUp(channel) }
            }
            .withBoundSocket(descriptor).wait()
        try eventLoop.submit { self.listeners.value.append(channel) }.wait()
    }

    private func setUp(listener channel: any Channel) throws {
        let state = self.state.value
        let gate = AcceptGate(state: state)
        let others = state.onChange
        state.onChange = {
            others()
            gate.update()
        }
        try channel.pipeline.syncOperations.addHandler(gate)
    }

    /// Gives a new connection its handlers. On the event loop.
    private func setUp(_ channel: any Channel) throws {
        let state = self.state.value
        let handler = ConnectionHandler(state: state)
        let bound = NIOLoopBound(handler, eventLoop: eventLoop)
        try channel.syncOptions?.setOption(
            .recvAllocator,
            value: FixedSizeRecvByteBufferAllocator(capacity: state.configuration.limits.readBytes))
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(HTTPResponseEncoder())
        try pipeline.addHandler(handler)
        // Known at once with a socket of this machine.
        state.configuration.identify(channel).whenSuccess { client in
            guard let client else { return }
            // A process without a number is told from others by its connection.
            let number = client.rawValue > 0 ? client.rawValue : bound.value.client.rawValue
            bound.value.client = ClientID(rawValue: number, user: client.user)
            bound.value.peer.user = client.user
        }
        // Whatever the policy is now: a reload may ask for groups.
        state.configuration.identifyGroups(channel).whenSuccess { bound.value.peer.groups = $0 }
        if !state.admit(handler) {
            handler.place.refusal = HTTPFailure(
                GenerationError(.overloaded, "too many connections at once"))
        }
        state.onChange()
    }

    /// Requests from here on get these sampling defaults.
    package func update(defaults: SamplingParameters) {
        eventLoop.execute { self.state.value.configuration.defaults = defaults }
    }

    /// So many generations from here on, waiting ones too. Those that there are go on.
    package func update(generationsMax: Int) {
        eventLoop.execute { self.state.value.configuration.limits.generationsMax = generationsMax }
    }

    /// Requests from here on are let in by this.
    package func update(access: AccessPolicy) {
        eventLoop.execute { self.state.value.configuration.access = access }
    }

    /// Whether generations are refused from here on because the system is short of memory.
    package func update(refusesForMemory: Bool) {
        eventLoop.execute { self.state.value.refusesForMemory = refusesForMemory }
    }

    /// Closes idle connections and refuses new requests. What runs goes on.
    ///
    /// - Parameter keepsListening: whether who comes from here on is told so, with 503. Else he
    ///   waits at the socket, which somebody else has open too, for the next to listen there.
    package func beginDrain(keepsListening: Bool) throws {
        try eventLoop.submit {
            if !keepsListening { self.closeListeners() }
            self.state.value.beginDrain()
        }.wait()
    }

    private func closeListeners() {
        for listener in listeners.value { listener.close(promise: nil) }
        listeners.value = []
    }

    /// Requests being answered now. Doubles as a proof that the event loop turns.
    package func activeCount() throws -> Int {
        try eventLoop.submit { self.state.value.activeCount }.wait()
    }

    /// Open connections, idle ones too.
    package func connectionCount() throws -> Int {
        try eventLoop.submit { self.state.value.connectionCount }.wait()
    }

    /// Accepts nobody any more and cancels every generation; each answer ends with an error.
    package func cancelAll() {
        eventLoop.execute {
            self.closeListeners()
            self.state.value.cancelAll()
        }
    }

    /// Closes every connection.
    package func closeAll() throws { try eventLoop.submit { self.state.value.closeAll() }.wait() }
}

extension EventLoop {
    fileprivate func makeState(
        _ service: any GenerationService, _ configuration: HTTPServerConfiguration
    ) -> NIOLoopBound<ServerState> {
        if inEventLoop {
            return NIOLoopBound(
                ServerState(service: service, configuration: configuration, eventLoop: self),
                eventLoop: self)
        }
        let made = submit {
            NIOLoopBound(
                ServerState(service: service, configuration: configuration, eventLoop: self),
                eventLoop: self)
        }
        do { return try made.wait() } catch { preconditionFailure("the event loop is gone") }
    }
}
