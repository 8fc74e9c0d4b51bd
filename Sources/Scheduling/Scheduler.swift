// Who computes next. Orders wait in one bounded queue in which clients take turns; running
// sessions' decodes come before prompts, whose chunks fill the rest of a step.

internal import Inference

/// An order that waits for a place.
struct WaitingOrder {
    let id: Int
    let order: GenerationOrder
    let submittedNanoseconds: UInt64
    let onEvent: @Sendable (GenerationEvent) -> Void
}

/// The waiting orders, and the order in which they are served: each client's own in sequence,
/// clients in turn.
struct FairQueue {
    private var orders: [ClientID: [WaitingOrder]] = [:]
    /// Clients with waiting orders; the first is served next.
    private var turns: [ClientID] = []
    private(set) var count = 0

    mutating func append(_ order: WaitingOrder) {
        let client = order.order.client
        if orders[client] == nil { turns.append(client) }
        orders[client, default: []].append(order)
        count += 1
    }

    /// The next order; its client goes to the end of the line.
    mutating func next() -> WaitingOrder? {
        guard let client = turns.first, var own = orders[client] else { return nil }
        turns.removeFirst()
        let order = own.removeFirst()
        orders[client] = own.isEmpty ? nil : own
        if !own.isEmpty { turns.append(client) }
        count -= 1
        return order
    }

    /// Takes out one order, wherever it stands.
    mutating func remove(id: Int) -> WaitingOrder? {
        for (client, own) in orders {
            guard let index = own.firstIndex(where: { $0.id == id }) else { continue }
            let order = own[index]
            var rest = own
            rest.remove(at: index)
            orders[client] = rest.isEmpty ? nil : rest
            if rest.isEmpty { turns.removeAll { $0 == client } }
            count -= 1
            return order
        }
        return nil
    }
}

/// Makes steps out of running sessions (Sarathi-Serve, arXiv 2403.02310, algorithm 3).
struct Scheduler {
    /// Tokens that one step may compute, decodes included.
    let tokensPerStep: Int
    private(set) var running: [Session] = []

    init(tokensPerStep: Int) { self.tokensPerStep = tokensPerStep }

    mutating func start(_ session: Session) { running.append(session) }

    /// Drops sessions that have ended, and returns them.
    mutating func removeFinished() -> [Session] {
        let finished = running.filter(\.isFinished)
        running.removeAll(where: \.isFinished)
        return finished
    }

    /// The next step: every decode, then chunks of prompts up to the step's tokens. Sessions are in
    /// the chunks' order.
    func schedule() -> (plan: StepPlan, sessions: [Session]) {
        var chunks: [SequenceChunk] = []
        var sessions: [Session] = []
        var left = tokensPerStep
        let decoding = running.filter(\.isDecoding)
        let prefilling = running.filter { !$0.isDecoding }
        for session in decoding + prefilling where left > 0 {
            let chunk = session.nextChunk(tokensMax: session.isDecoding ? 1 : left)
            chunks.append(chunk)
            sessions.append(session)
            left -= chunk.tokens.count
        }
        return (StepPlan(chunks: chunks), sessions)
    }
}
