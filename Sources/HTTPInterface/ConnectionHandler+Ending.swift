// How a connection gives up its place and ends: at once, when its answer has been taken, or so that
// a client that still talks gets to see its answer.

internal import GenerationAPI
internal import NIOCore
internal import NIOHTTP1

extension ConnectionHandler {
    /// What follows once everything written has gone out.
    enum Closing {
        case not
        case atOnce
        /// Closing with input unread would reset the connection, and the client might never see
        /// its answer. So our half is closed, and input dropped until the client has closed its own
        /// or been silent for a while.
        case lingering
    }

    // MARK: places

    /// Has no place any more, or never had one.
    var isLeaving: Bool {
        switch phase {
        case .leaving, .closed: true
        case .waiting, .receiving, .answering: place.refusal != nil
        }
    }

    var isIdle: Bool {
        guard case .waiting = phase else { return false }
        return held.input.readableBytes == 0 && output.pendingBytes == 0
    }

    var isAnswering: Bool {
        if case .answering = phase { true } else { false }
    }

    var isGenerating: Bool {
        if case .answering(let answering) = phase { answering.exchange != nil } else { false }
    }

    /// What the engine generates for it.
    var running: RunningGeneration? {
        guard case .answering(let answering) = phase, let order = answering.order,
            answering.exchange?.hasStarted == true
        else { return nil }
        return RunningGeneration(
            number: answering.generation, sampling: order.sampling, tokensMax: order.tokensMax,
            streams: answering.streams, promptTokens: answering.record.promptTokens,
            pieceCount: answering.pieceCount)
    }

    /// Whether its place may go to another client: nobody sees half an answer for that.
    var canYield: Bool {
        switch phase {
        case .waiting, .receiving: true
        case .answering(let answering):
            !answering.headIsSent && answering.exchange?.hasStarted != true
        case .leaving, .closed: false
        }
    }

    /// Gives its place up, with a word if the client waits for one.
    func yield() {
        let failure = HTTPFailure(
            GenerationError(.overloaded, "too many requests at once; others had to be served"))
        switch phase {
        case .waiting where idle.hasServed: close()
        case .waiting: leave(with: failure)
        case .receiving(let receiving): leave(with: failure, to: Request(receiving.head))
        case .answering(var answering):
            answering.ticket?.cancel()
            answering.keepsAlive = false
            phase = .answering(answering)
            refuse(failure)
        case .leaving, .closed: break
        }
    }

    // MARK: ending

    /// Answers before the request has ended, or instead of one. The rest of it is read and dropped,
    /// so that the client gets to see the answer; one that has said nothing is not waited for.
    func leave(with failure: HTTPFailure, to request: Request? = nil) {
        let hasSpoken = request != nil || held.input.readableBytes > 0
        dropInput()
        phase = .leaving
        ending.closing = hasSpoken ? .lingering : .atOnce
        arm(limits.sendTimeout)
        send(failure, to: request, keepsAlive: false)
        let status = (request?.dialect ?? .openAI).status(of: failure)
        state.configuration.onRequest(
            RequestRecord(
                route: RequestRecord.unread, status: Int(status.code), seconds: 0,
                outcome: failure.code))
        state.onChange()
    }

    /// Ends the connection once everything written has gone out; the deadline bounds the wait.
    func end(after closing: Closing) {
        ending.closing = closing
        guard output.pendingBytes == 0 else { return }
        switch closing {
        case .not: break
        case .lingering where !ending.inputIsClosed: linger()
        case .atOnce, .lingering: close()
        }
    }

    private func linger() {
        guard let context, !ending.isLingering else { return }
        ending.isLingering = true
        context.close(mode: .output, promise: nil)
        arm(limits.lingerTime)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: limits.lingerTime * 4) { bound.value.close() }
        context.read()
    }

    func close() { context?.close(promise: nil) }

    /// Asks the engine to stop; the answer then ends with its last event.
    func cancelGeneration() {
        if case .answering(let answering) = phase { answering.ticket?.cancel() }
    }
}
