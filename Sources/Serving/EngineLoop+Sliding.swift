// Answers that go on when their context is full.

internal import GenerationAPI
internal import Inference
internal import ModelFormat
internal import Models
internal import SequenceState

/// Room that a text has in the KV cache.
struct SequenceRoom {
    /// Tokens that are generated at most.
    var tokensMax: Int
    /// Tokens that the sequence keeps where it slides; nil where all of them fit.
    var slidingTokens: Int?
    /// Tokens of the prompt that are kept, at least; nil keeps all.
    var keptTokens: Int?
    /// What chooses those, before any other is computed; nil keeps them when all are computed.
    var filter: PromptFilter?

    /// Whether it takes pages one after the other up to its end.
    var growsByPages: Bool { slidingTokens == nil && keptTokens == nil }

    /// What of a prompt may be looked for among what is remembered, and a token more.
    func remembered(of prompt: [TokenID]) -> [TokenID] {
        // First layers alone are no prefix.
        if filter != nil { return [] }
        guard keptTokens != nil else { return prompt }
        // The last ones say what is kept: they are computed.
        return Array(prompt.prefix(max(1, prompt.count - PromptSelection.queryTokens + 1)))
    }

    /// Places in its page tables that the sequence has at most.
    func placesMax(promptTokens: Int, tokensMax: Int) -> Int {
        slidingTokens ?? max(promptTokens, (keptTokens ?? promptTokens) + tokensMax)
    }
}

extension SequenceRoom {
    /// What an order gets that may go on beyond its context; nil where all of it fits, and it need
    /// not.
    ///
    /// - Throws: `GenerationError` where there are too few pages to slide in.
    static func sliding(
        promptTokens: Int, _ order: GenerationOrder, _ model: ModelInstance
    ) throws(GenerationError) -> SequenceRoom? {
        let context = model.contextTokensNow
        // Who does not say gets what is left, and a whole context where nothing is.
        guard
            promptTokens + (order.tokensMax ?? 0) > context
                || promptTokens == context && order.tokensMax == nil
        else { return nil }
        guard let tokens = model.cache.slidingTokens(tokensMax: context) else {
            throw GenerationError(
                .contextExceeded,
                "a context of \(context) tokens is too short to slide: it takes "
                    + "\(KVCache.slidingTokensMin), and a page more for each layer",
                parameter: order.prompt.parameter)
        }
        return SequenceRoom(tokensMax: order.tokensMax ?? context, slidingTokens: tokens)
    }
}

extension EngineLoop {
    /// Whether an order may go on when its context is full.
    ///
    /// - Throws: `GenerationError` where it asks and the model cannot.
    func slides(
        _ order: GenerationOrder, _ model: ModelInstance
    ) throws(GenerationError) -> Bool {
        guard (order.whenFull ?? options.model.whenFull) == .slide else { return false }
        if model.maySlide { return true }
        guard order.whenFull != nil else { return false }
        throw GenerationError(
            .invalidRequest,
            "positions of this model were learned, and are no more: kv_when_full stop",
            parameter: "kv_when_full")
    }

    /// Makes room for chunks whose sequences are full.
    func makeRoom(in plan: inout StepPlan, for sessions: [Session], _ model: ModelInstance) {
        for (index, session) in sessions.enumerated() where session.slides {
            session.moveUp(by: model.transformer.makeRoom(for: &plan.chunks[index]))
        }
    }
}
