// Orders that want a vector of a text: a prompt that is computed beside others', and no answer.
// Nothing of it is looked for among prefixes, nor remembered: a mean is of all its tokens.

internal import GenerationAPI
internal import Inference
internal import ModelFormat
internal import Models
internal import SequenceState

extension EngineLoop {
    /// Begins with a text where there is room for it.
    ///
    /// - Returns: nil where it has to wait for others to end.
    /// - Throws: `GenerationError` where it never could.
    func beginEmbedding(
        _ ready: ReadyOrder, _ rules: EmbeddingRules, in open: OpenModel
    ) throws(GenerationError) -> Session? {
        let (model, order, prompt) = (open.model, ready.waiting.order, ready.prompt.tokens)
        guard try keepsKeysAndValues(as: order, open) else { return nil }
        let width = model.manifest.shape.width
        guard rules.dimensions ?? width <= width else {
            throw GenerationError(
                .invalidRequest, "dimensions: this model's vectors have \(width) numbers",
                parameter: "dimensions")
        }
        let context = model.contextTokensNow
        guard prompt.count <= context else {
            throw GenerationError(
                .contextExceeded,
                "\(rules.parameter): a text of \(prompt.count) tokens, the context has \(context) "
                    + "(\(model.contextReason))", parameter: rules.parameter)
        }
        let sampler = try sampler(for: order, model)
        let grows = !model.cache.layout.hasColdSpans
        if grows, !hasPages(for: prompt.count, upTo: prompt.count, in: open) { return nil }
        let begun = model.cache.begin(
            prompt: prompt, tokensMax: prompt.count,
            promised: grows ? firstPromise(prompt.count, upTo: prompt.count) : nil, owner: nil)
        guard let (sequence, _) = begun else {
            guard open.scheduler.running.isEmpty else { return nil }
            throw noPages(model, tokens: prompt.count, summarizes: false)
        }
        let admission = Admission(
            order: order, prompt: prompt, sequence: sequence, placesMax: prompt.count, grows: grows,
            sampler: sampler, tokensMax: 1, contextTokens: context,
            embedding: EmbeddingSum(model.pooling, width: width, dimensions: rules.dimensions),
            submittedNanoseconds: ready.waiting.submittedNanoseconds, draftWindowTokens: nil)
        return Session(
            id: ready.waiting.id, admission, tokenizer: model.tokenizer,
            onEvent: ready.waiting.onEvent)
    }

    /// Adds what was computed of a text to its vector, and tells it when that is all.
    ///
    /// - Parameter firstToken: the chunk's first one among the step's.
    func pool(
        _ chunk: SequenceChunk, firstToken: Int, of session: Session, _ model: ModelInstance
    ) {
        let rows = session.pooledRows(of: chunk)
        model.transformer.forEachHidden(
            firstToken + rows.lowerBound..<firstToken + rows.upperBound, session.pool)
        session.finishEmbedding()
    }
}
