// Answers to texts that are partly on flash.

internal import GenerationAPI
internal import Models
internal import SequenceState

extension EngineLoop {
    /// Of the pages of a text on flash, those that a token of the answer reads in a layer; nil
    /// reads all.
    func coldPagesMax(_ order: GenerationOrder) -> Int? {
        switch order.coldTokens {
        case .all: nil
        case .most(let tokens): KVLayout.pages(tokens: tokens)
        case nil: options.model.coldTokensMax.map { KVLayout.pages(tokens: $0) }
        }
    }

    /// Why a sequence cannot begin.
    func noPages(_ model: ModelInstance, tokens: Int, summarizes: Bool) -> GenerationError {
        let needed = model.cache.bytesNeeded(tokens: tokens, summarizes: summarizes)
        guard summarizes, needed > model.division.cacheBytes else {
            return GenerationError(.overloaded, "no KV pages are free; try again later")
        }
        return GenerationError(
            .invalidRequest,
            "\(tokens) tokens need \(needed) bytes of KV memory to choose from those on flash, and "
                + "there are \(model.division.cacheBytes); \"all\" needs less",
            parameter: "kv_cold_tokens_max")
    }
}
