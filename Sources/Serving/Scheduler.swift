// Who computes next. Orders wait in one bounded queue in which clients take turns; running
// sessions' decodes come before prompts, whose chunks fill the rest of a step.

package import GenerationAPI
package import Inference
internal import Knobs

/// An order that waits for a place.
package struct WaitingOrder {
    package let id: Int
    package let order: GenerationOrder
    package let submittedNanoseconds: UInt64
    package let onEvent: @Sendable (GenerationEvent) -> Void

    package init(
        id: Int, order: GenerationOrder, submittedNanoseconds: UInt64,
        onEvent: @escaping @Sendable (GenerationEvent) -> Void
    ) {
        self.id = id
        self.order = order
        self.submittedNanoseconds = submittedNanoseconds
        self.onEvent = onEvent
    }
}

/// The waiting orders, and the order in which they are served: each client's own in sequence,
/// clients in turn.
package struct FairQueue {
    private var orders: [ClientID: [WaitingOrder]] = [:]
    /// Clients with waiting orders; the first is served next.
    private var turns: [ClientID] = []
    package private(set) var count = 0

    package init() {}

    package mutating func append(_ order: WaitingOrder) {
        let client = order.order.client
        if orders[client] == nil { turns.append(client) }
        orders[client, default: []].append(order)
        count += 1
    }

    /// The next order; its client goes to the end of the line.
    package mutating func next() -> WaitingOrder? {
        guard let client = turns.first, var own = orders[client] else { return nil }
        turns.removeFirst()
        let order = own.removeFirst()
        orders[client] = own.isEmpty ? nil : own
        if !own.isEmpty { turns.append(client) }
        count -= 1
        return order
    }

    /// Takes out one order, wherever it stands.
    package mutating func remove(id: Int) -> WaitingOrder? {
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
package struct Scheduler {
    /// Tokens that one step may compute, decodes included.
    package let tokensPerStep: Int
    /// Tokens of one step whose logits may be wanted.
    private let logitsRowsMax: Int
    private var speculation: SpeculationControl
    /// Whether the last step was of a prompt whose tokens are being chosen.
    private var hasFiltered = false
    package private(set) var running: [Session] = []

    package init(
        tokensPerStep: Int, logitsRowsMax: Int = 1,
        speculation: SpeculationControl = SpeculationControl(policy: .off, draftsMax: 0)
    ) {
        self.tokensPerStep = tokensPerStep
        self.logitsRowsMax = logitsRowsMax
        self.speculation = speculation
    }

    package mutating func start(_ session: Session) { running.append(session) }

    /// Drops sessions that have ended, and returns them.
    package mutating func removeFinished() -> [Session] {
        let finished = running.filter(\.isFinished)
        running.removeAll(where: \.isFinished)
        return finished
    }

    /// The next step: every decode, then chunks of prompts up to the step's tokens. Sessions are in
    /// the chunks' order. Decodes take drafts along as far as there is room for them when every
    /// session has its token. Prompts whose tokens are being chosen have steps of their own, every
    /// other one where there is something else.
    package mutating func schedule() -> (plan: StepPlan, sessions: [Session]) {
        let filtering = running.first(where: \.isFiltering)
        if let filtering, !hasFiltered || running.allSatisfy(\.isFiltering) {
            hasFiltered = true
            return (
                StepPlan(chunks: [filtering.nextChunk(tokensMax: tokensPerStep)]), [filtering]
            )
        }
        hasFiltered = false
        var chunks: [SequenceChunk] = []
        var sessions: [Session] = []
        var left = tokensPerStep
        var draftsLeft = min(tokensPerStep, logitsRowsMax) - running.count
        let decoding = running.filter(\.isDecoding)
        let prefilling = running.filter { !$0.isDecoding && !$0.isFiltering }
        for session in decoding + prefilling where left > 0 {
            let chunk =
                session.isDecoding
                ? session.nextChunk(draftsMax: draftsLeft, &speculation)
                : session.nextChunk(tokensMax: left)
            if session.isDecoding { draftsLeft -= chunk.tokens.count - 1 }
            chunks.append(chunk)
            sessions.append(session)
            left -= chunk.tokens.count
        }
        return (StepPlan(chunks: chunks), sessions)
    }

    /// Learns from what a step took, where it says something about drafts.
    package mutating func record(_ plan: StepPlan, _ sessions: [Session], nanoseconds: UInt64) {
        guard sessions.count == 1, sessions[0].isDecoding else { return }
        speculation.record(drafts: plan.tokenCount - 1, nanoseconds: nanoseconds)
    }
}
