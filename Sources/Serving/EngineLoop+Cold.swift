// Answers to texts that are partly on flash.

internal import GenerationAPI
internal import ModelFormat
internal import Models
internal import SequenceState

extension EngineLoop {
    /// Of the pages of a text on flash, those that a token of the answer reads in a layer; nil
    /// reads all.
    ///
    /// - Throws: `GenerationError` where a model that cannot choose is asked to.
    func coldPagesMax(
        _ order: GenerationOrder, _ model: ModelInstance
    ) throws(GenerationError) -> Int? {
        switch order.coldTokens {
        case .all: return nil
        case .most(let tokens):
            guard model.choosesByKeys else { throw Self.cannotChoose("kv_cold_tokens_max", "all") }
            return KVLayout.pages(tokens: tokens)
        case nil: return model.coldPagesMax
        }
    }

    /// How keys and values of an order are kept.
    ///
    /// - Throws: `GenerationError` where the model cannot keep them as it asks.
    func keyValueFormat(
        _ order: GenerationOrder, _ model: ModelInstance
    ) throws(GenerationError) -> KVFormat {
        let wished = order.keyValueFormat ?? options.model.kvFormat
        let format = model.keyValueFormat(wished: wished)
        guard format == wished || order.keyValueFormat == nil else {
            throw GenerationError(
                .invalidRequest,
                "layers of this model read keys of others, which are not packed by pages: kv_bits "
                    + "\(format)", parameter: "kv_bits")
        }
        return format
    }

    /// Why nothing is chosen of what a text keeps.
    static func cannotChoose(_ parameter: String, _ without: String) -> GenerationError {
        GenerationError(
            .invalidRequest,
            "keys of this model do not tell which tokens matter: "
                + "\(parameter) \(without)",
            parameter: parameter)
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
