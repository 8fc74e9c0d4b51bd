// A listening socket's valve: connections are accepted while there is room for them, even if only
// to be refused; the rest waits in the kernel's queue. When accept(2) fails, for instance for want
// of descriptors, it rests a moment instead of trying without end.

internal import NIOCore

/// The first handler of a listening channel's pipeline. Lives on the event loop.
final class AcceptGate: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private static let restTime = TimeAmount.milliseconds(200)

    private let state: ServerState
    private var context: ChannelHandlerContext?
    private var isOpen = true
    private var isResting = false

    init(state: ServerState) { self.state = state }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    /// Opens or closes, as there is room or not.
    func update() {
        let isOpen = state.hasRoom && !isResting
        guard isOpen != self.isOpen, let context, context.channel.isActive else { return }
        self.isOpen = isOpen
        // Fails for a channel that is closing, which accepts nothing any more.
        try? context.channel.syncOptions?.setOption(.autoRead, value: isOpen)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        state.configuration.onAcceptFailure(error)
        isResting = true
        update()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: Self.restTime) {
            bound.value.isResting = false
            bound.value.update()
        }
    }
}
