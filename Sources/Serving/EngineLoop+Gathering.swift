// Prompts that keep some of their tokens alone.

internal import GenerationAPI
internal import Inference
internal import ModelFormat
internal import Models
internal import SequenceState

extension SequenceRoom {
    /// What an order gets of whose prompt some tokens alone are kept; nil where all of them are.
    ///
    /// - Throws: `GenerationError` where it asks for that by itself and its prompt is longer than
    ///   what can be in memory. Where the service does, such a prompt is kept whole.
    static func gathering(
        _ prompt: [TokenID], _ order: GenerationOrder, _ model: ModelInstance
    ) throws(GenerationError) -> SequenceRoom? {
        guard let asked = order.snapTokens ?? model.snapTokens, asked > 0 else { return nil }
        let kept = KVLayout.gatheredTokens(
            kept: asked + PromptSelection.queryTokens, of: prompt.count)
        guard kept < prompt.count else { return nil }
        let most = model.gatheredTokensMax
        guard prompt.count <= most else {
            if order.snapTokens == nil { return nil }
            throw GenerationError(
                .contextExceeded,
                "the prompt has \(prompt.count) tokens, of which \(most) can be in memory at once; "
                    + "one that is partly on flash is kept whole: kv_snap_tokens 0",
                parameter: "kv_snap_tokens")
        }
        return SequenceRoom(tokensMax: most - kept, keptTokens: kept)
    }
}

extension EngineLoop {
    /// Remembers what was computed of prompts that are about to keep some of it alone.
    func rememberWhole(_ plan: StepPlan, of sessions: [Session], in cache: KVCache) {
        for (chunk, session) in zip(plan.chunks, sessions) where chunk.keptTokens != nil {
            if let owner = session.owner {
                cache.remember(
                    session.sequence, tokens: session.computedTokens, owner: owner, isEnded: false)
            }
            session.forgetOwner()
        }
    }

    /// A prompt whose end is computed has kept some of its tokens alone.
    func gatherUp(_ chunk: SequenceChunk, of session: Session, in cache: KVCache) {
        guard let kept = chunk.keptTokens else { return }
        let gone = chunk.firstPosition + chunk.tokens.count - kept
        cache.noteGathering(chunk.sequence, pages: gone / KVLayout.pageTokens)
        session.moveUp(by: gone)
    }
}
