// One step of a model: what is computed, and what each session gets of it.

internal import FlashStorage
internal import GenerationAPI
internal import Inference
internal import LinuxSystem
internal import Models
internal import SequenceState
internal import Synchronization
internal import Weights

extension EngineLoop {
    func step(_ open: OpenModel) {
        let model = open.model
        let before = model.store.statistics
        let readBefore = model.cache.coldStatistics.bytesRead
        var (plan, sessions) = open.scheduler.schedule()
        makeRoom(in: &plan, for: sessions, model)
        rememberWhole(plan, of: sessions, in: model.cache)
        keepStates(in: &plan, of: sessions)
        open.sharedMost = max(open.sharedMost, sessions.count)
        let start = MonotonicClock.nanoseconds
        do throws(ReadFailure) {
            try compute(plan, of: sessions, model)
        } catch {
            // The sessions end when the cancellation is handled.
            if error.cause == .cancelled { return }
            return failed(error, sessions, open)
        }
        open.scheduler.record(plan, sessions, nanoseconds: MonotonicClock.nanoseconds - start)
        let spent = model.store.statistics - before
        let coldBytes = model.cache.coldStatistics.bytesRead - readBefore
        let cost = StepCost(
            flashBytes: spent.flashBytes + coldBytes, bundleHits: spent.bundleHits,
            bundleMisses: spent.bundleMisses)
        let shares = cost.shares(of: plan.chunks.map(\.tokens.count))
        var (row, token) = (0, 0)
        for (index, session) in sessions.enumerated() {
            let chunk = plan.chunks[index]
            session.charge(
                shares[index], keyValueBytes: model.cache.byteCount(session.sequence))
            handOut(chunk, firstRow: row, firstToken: token, to: session, model)
            row += chunk.logitsRowCount
            token += chunk.tokens.count
        }
    }

    private func compute(
        _ plan: StepPlan, of sessions: [Session], _ model: ModelInstance
    ) throws(ReadFailure) {
        let isCancelled = { [status] in
            status.isStopping.load(ordering: .acquiring)
                || sessions.allSatisfy { status.isCancelled($0.id) }
        }
        let isStopping = model.store.isCancelled
        model.transformer.observer.isCancelled = isCancelled
        model.store.isCancelled = isCancelled
        defer {
            model.transformer.observer.isCancelled = nil
            model.store.isCancelled = isStopping
        }
        try model.transformer.forward(plan)
        // A name may come to mean another file; the bytes of the one being read may not change.
        if model.store.hasChanged {
            throw ReadFailure(file: model.path, fileOffset: 0, cause: .changed)
        }
    }

    /// Ends the sessions of a step that could not be computed; of bytes that are not to be trusted,
    /// all of them.
    private func failed(_ error: ReadFailure, _ sessions: [Session], _ open: OpenModel) {
        options.onEvent(.readFailed(model: open.name, problem: "\(error)"))
        let told = GenerationError(.readFailed, "\(error)")
            .naming(open.name, insteadOf: open.model.path)
        for session in sessions { session.fail(told) }
        guard !error.isDelay else { return }
        open.problem = told
        open.fail(told)
    }

    /// What a session gets of a step: its tokens are computed, and those after its rows of logits
    /// are chosen.
    private func handOut(
        _ chunk: SequenceChunk, firstRow: Int, firstToken: Int, to session: Session,
        _ model: ModelInstance
    ) {
        let wasDecoding = session.isDecoding
        session.advance(chunk)
        if session.wantsEmbedding {
            return pool(chunk, firstToken: firstToken, of: session, model)
        }
        gatherUp(chunk, of: session, in: model.cache)
        beginAnew(chunk, of: session, model)
        for row in firstRow..<firstRow + chunk.logitsRowCount {
            guard model.transformer.withLogits(row: row, session.sample) else { break }
        }
        // What drafts that were wrong took, or the first layers of what is computed anew.
        if chunk.firstPosition + chunk.tokens.count > session.computedCount {
            model.cache.truncate(session.sequence, to: session.computedCount)
        }
        // While windows still have what the prompt's last blocks see.
        if !wasDecoding, session.isDecoding, let owner = session.owner {
            model.cache.remember(
                session.sequence, tokens: session.computedTokens, owner: owner, isEnded: false)
        }
    }
}
