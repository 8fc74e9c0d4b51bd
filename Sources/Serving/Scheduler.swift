// Who computes next: running sessions' decodes come before prompts, whose chunks share what a step
// has left for them.

package import Inference
internal import Knobs

/// Makes steps out of running sessions (Sarathi-Serve, arXiv 2403.02310, algorithm 3).
package struct Scheduler {
    /// Tokens that one step may compute, decodes included.
    package let tokensPerStep: Int
    /// Tokens of one step whose logits may be wanted.
    private let logitsRowsMax: Int
    private var speculation: SpeculationControl
    private var allowance: PromptAllowance
    /// Whether the last step was of a prompt whose tokens are being chosen.
    private var hasFiltered = false
    package private(set) var running: [Session] = []

    /// - Parameters:
    ///   - tokensPerStep: that one step may compute, decodes included.
    ///   - logitsRowsMax: tokens of one step whose logits may be wanted: as many sessions as run.
    ///   - allowance: for prompts beside answers.
    package init(
        tokensPerStep: Int, logitsRowsMax: Int = 1,
        speculation: SpeculationControl = SpeculationControl(policy: .off, draftsMax: 0),
        allowance: PromptAllowance = PromptAllowance()
    ) {
        self.tokensPerStep = tokensPerStep
        self.logitsRowsMax = logitsRowsMax
        self.speculation = speculation
        self.allowance = allowance
    }

    package mutating func start(_ session: Session) { running.append(session) }

    /// Drops sessions that have ended, and returns them.
    package mutating func removeFinished() -> [Session] {
        let finished = running.filter(\.isFinished)
        running.removeAll(where: \.isFinished)
        return finished
    }

    /// Drops a session that is to go on later.
    package mutating func remove(_ session: Session) { running.removeAll { $0 === session } }

    /// The next step: every decode, then chunks of prompts up to the step's tokens, or as many as
    /// may ride along. Sessions are in the chunks' order. Decodes take drafts along as far as there
    /// is room for them when every session has its token. Prompts whose tokens are being chosen
    /// have steps of their own, every other one where there is something else.
    package mutating func schedule() -> (plan: StepPlan, sessions: [Session]) {
        let filtering = running.first(where: \.isFiltering)
        if let filtering, !hasFiltered || running.allSatisfy(\.isFiltering) {
            hasFiltered = true
            let most = running.contains(where: \.isDecoding) ? promptTokensMax(0) : tokensPerStep
            return (StepPlan(chunks: [filtering.nextChunk(tokensMax: most)]), [filtering])
        }
        hasFiltered = false
        var chunks: [SequenceChunk] = []
        var sessions: [Session] = []
        let decoding = running.filter(\.isDecoding)
        var draftsLeft = min(tokensPerStep, logitsRowsMax) - running.count
        for session in decoding {
            let chunk = session.nextChunk(draftsMax: draftsLeft, &speculation)
            draftsLeft -= chunk.tokens.count - 1
            chunks.append(chunk)
            sessions.append(session)
        }
        let used = chunks.reduce(0) { $0 + $1.tokens.count }
        let left = decoding.isEmpty ? tokensPerStep : promptTokensMax(used)
        let prefilling = running.filter { !$0.isDecoding && !$0.isFiltering }
        for (session, tokens) in Self.shares(of: left, among: prefilling) {
            chunks.append(session.nextChunk(tokensMax: tokens))
            sessions.append(session)
        }
        return (StepPlan(chunks: chunks), sessions)
    }

    /// Tokens of prompts beside answers that take `used` tokens of a step.
    private func promptTokensMax(_ used: Int) -> Int {
        allowance.tokens(atMost: tokensPerStep - used)
    }

    /// Divides a step's tokens among prompts: what a short one does not need is the others'. In the
    /// order in which they came; where there are fewer tokens than prompts, the first get one.
    private static func shares(
        of tokens: Int, among prompts: [Session]
    ) -> [(session: Session, tokens: Int)] {
        var left = tokens
        var shares = [Int](repeating: 0, count: prompts.count)
        let order = prompts.indices.sorted {
            (prompts[$0].pendingCount, $0) < (prompts[$1].pendingCount, $1)
        }
        for (place, index) in order.enumerated() {
            let fair = (left + order.count - place - 1) / (order.count - place)
            shares[index] = min(prompts[index].pendingCount, fair, left)
            left -= shares[index]
        }
        return zip(prompts, shares).filter { $0.1 > 0 }.map { ($0, $1) }
    }

    /// Learns from what a step took.
    package mutating func record(_ plan: StepPlan, _ sessions: [Session], nanoseconds: UInt64) {
        guard plan.chunks.allSatisfy({ $0.filter == nil }) else { return }
        let answers = zip(plan.chunks, sessions).filter { $1.isDecoding }
        let answered = answers.reduce(0) { $0 + $1.0.tokens.count }
        allowance.record(
            answers: answers.count, promptTokens: plan.tokenCount - answered,
            nanoseconds: nanoseconds)
        guard sessions.count == 1, answers.count == 1 else { return }
        speculation.record(drafts: plan.tokenCount - 1, nanoseconds: nanoseconds)
    }
}
