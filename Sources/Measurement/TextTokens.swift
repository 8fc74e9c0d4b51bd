// Tokens for measurements that need real text: a file's, or what the model itself says.

package import FlashStorage
internal import GenerationAPI
internal import Inference
package import ModelFormat
package import Models
internal import SequenceState
internal import Tokenization

/// A text's tokens for a model.
package enum TextTokens {
    /// The first `count` tokens of a text; all where there are fewer.
    package static func of(
        _ bytes: [UInt8], path: String, keys: ModelKeySource, count: Int
    ) throws(LoadError) -> [TokenID] {
        let tokenizer = try ModelInstance.parse(path, keys: keys).tokenizer
        var stream = TokenStream(tokenizer, addSpecial: true)
        do throws(UnbrokenTextError) {
            var rest = bytes[...]
            while !rest.isEmpty, stream.tokens.count < count {
                let piece = rest.prefix(TokenStream.windowBytes)
                rest = rest.dropFirst(piece.count)
                try stream.append(piece, isTemplate: true)
            }
        } catch {
            preconditionFailure("no stretch is too long where there is no limit")
        }
        if stream.tokens.count < count { stream.finish() }
        return Array(stream.tokens.prefix(count))
    }

    /// Tokens that the model says, one after the other, as likely as it finds them: always the same
    /// ones.
    ///
    /// - Precondition: `count` tokens fit the context.
    /// - Throws: `ReadFailure` when weights cannot be read.
    package static func said(
        by model: ModelInstance, count: Int
    ) throws(ReadFailure) -> [TokenID] {
        guard let sequence = model.cache.open(tokensMax: count),
            var sampler = try? Sampler(
                .plain, vocabularySize: model.tokenizer.tokenCount, contextTokens: count)
        else { preconditionFailure("callers check the context") }
        defer { model.cache.close(sequence) }
        let beginning = model.tokenizer.encode(
            utf8: Array("\n".utf8), addSpecial: true, parseSpecial: true)
        var tokens = [beginning.first ?? TokenID(0)]
        while tokens.count < count {
            let last = tokens[tokens.count - 1]
            try model.transformer.forward(
                StepPlan(chunks: [
                    SequenceChunk(
                        sequence: sequence, tokens: [last], firstPosition: tokens.count - 1,
                        logits: .last)
                ]))
            tokens.append(model.transformer.withLogits(row: 0) { sampler.sample($0) })
        }
        return tokens
    }
}

extension SamplingParameters {
    /// Each token as often as the model says, with a fixed seed.
    fileprivate static var plain: SamplingParameters {
        var parameters = SamplingParameters()
        parameters.temperature = 1
        parameters.topK = 0
        parameters.topP = 1
        parameters.minP = 0
        parameters.seed = 1
        return parameters
    }
}
