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
        guard
            let most = try roomInMemory(
                for: prompt, model, parameter: "kv_snap_tokens", isAsked: order.snapTokens != nil)
        else { return nil }
        return SequenceRoom(tokensMax: most - kept, keptTokens: kept)
    }

    /// What an order gets of whose prompt some tokens alone are computed; nil where all of them
    /// are.
    ///
    /// - Throws: `GenerationError` where it asks for that by itself and cannot have it: see
    ///   ``gathering(_:_:_:)``.
    static func filtering(
        _ prompt: [TokenID], _ order: GenerationOrder, _ model: ModelInstance
    ) throws(GenerationError) -> SequenceRoom? {
        guard let asked = order.gemTokens ?? model.gemTokens, asked > 0, asked < prompt.count
        else { return nil }
        guard let layer = model.gemLayer else {
            if order.gemTokens == nil { return nil }
            throw GenerationError(
                .invalidRequest, "no layer of this model sees a whole prompt: kv_gem_tokens 0",
                parameter: "kv_gem_tokens")
        }
        guard
            let most = try roomInMemory(
                for: prompt, model, parameter: "kv_gem_tokens", isAsked: order.gemTokens != nil)
        else { return nil }
        return SequenceRoom(
            tokensMax: most - asked, keptTokens: asked, filter: PromptFilter(layer: layer))
    }

    /// Tokens that can be in memory at once; nil where the prompt is longer and need not be cut.
    ///
    /// - Throws: `GenerationError` where it is longer and that is asked for.
    private static func roomInMemory(
        for prompt: [TokenID], _ model: ModelInstance, parameter: String, isAsked: Bool
    ) throws(GenerationError) -> Int? {
        if !model.choosesByKeys {
            guard isAsked else { return nil }
            throw EngineLoop.cannotChoose(parameter, "0")
        }
        if model.cache.layout.hasStates {
            guard isAsked else { return nil }
            throw GenerationError(
                .invalidRequest,
                "layers of this model have a state, which sees all of a prompt: \(parameter) 0",
                parameter: parameter)
        }
        let most = model.gatheredTokensMax
        if prompt.count <= most { return most }
        guard isAsked else { return nil }
        throw GenerationError(
            .contextExceeded,
            "the prompt has \(prompt.count) tokens, of which \(most) can be in memory at once; "
                + "one that is partly on flash is kept whole: \(parameter) 0",
            parameter: parameter)
    }
}

extension EngineLoop {
    /// Keeps states of prompts that end, for those that will begin like them.
    func keepStates(in plan: inout StepPlan, of sessions: [Session]) {
        for (index, session) in sessions.enumerated()
        where !session.isDecoding && session.owner != nil && plan.chunks[index].logits == .last {
            plan.chunks[index].keepsState = true
        }
    }

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

    /// A prompt of which tokens were chosen begins anew with these.
    func beginAnew(_ chunk: SequenceChunk, of session: Session, _ model: ModelInstance) {
        guard chunk.filter?.chosenCount != nil else { return }
        session.beginAnew(with: model.transformer.chosenPlaces)
    }

    /// A prompt whose end is computed has kept some of its tokens alone.
    func gatherUp(_ chunk: SequenceChunk, of session: Session, in cache: KVCache) {
        guard let kept = chunk.keptTokens else { return }
        let gone = chunk.firstPosition + chunk.tokens.count - kept
        cache.noteGathering(chunk.sequence, pages: gone / KVLayout.pageTokens)
        session.moveUp(by: gone)
    }
}
