// Turns what a client sent into tokens: a chat through the model's template, a text as it is.

internal import ChatTemplates
package import GenerationAPI
package import ModelFormat
internal import Tokenization

package struct PromptBuilder {
    private let model: ModelInstance

    package init(_ model: ModelInstance) { self.model = model }

    /// Bytes that are handed to the tokenizer at a time.
    private static let pieceBytes = 2 << 10

    /// The tokens of a prompt, with what the model expects at the beginning of a text.
    ///
    /// - Throws: `GenerationError` when the prompt is empty, is longer than the context, has tokens
    ///   outside the vocabulary, or is a chat for a model whose template is not known.
    package func tokens(of prompt: GenerationOrder.Prompt) throws(GenerationError) -> [TokenID] {
        var tokens: [TokenID]
        switch prompt {
        case .text(let text):
            tokens = try encode([PromptSegment(text, isTemplate: true)], "prompt")
        case .tokens(let given):
            tokens = given
        case .chat(let messages):
            let segments = try template().segments(
                messages: messages.map { ($0.role, $0.content) }, addGenerationPrompt: true)
            tokens = try encode(segments, "messages")
        }
        if tokens.isEmpty, let beginning = model.tokenizer.vocabularySpecial.beginning {
            tokens = [beginning]
        }
        guard !tokens.isEmpty else {
            throw GenerationError(
                .invalidRequest, "the prompt is empty", parameter: prompt.parameter)
        }
        let count = model.tokenizer.tokenCount
        guard tokens.allSatisfy({ $0.index >= 0 && $0.index < count }) else {
            throw GenerationError(
                .invalidRequest, "the prompt has a token outside the vocabulary of \(count)",
                parameter: prompt.parameter)
        }
        return tokens
    }

    /// The tokens of a text, refused as soon as it is certain that they are more than the context
    /// has places: memory and time are bounded by the context, whatever the text is.
    private func encode(
        _ segments: [PromptSegment], _ parameter: String
    ) throws(GenerationError) -> [TokenID] {
        let tokenizer = model.tokenizer
        var bytesLeft = segments.reduce(0) { $0 + $1.text.utf8.count }
        var stream = TokenStream(
            tokenizer, addSpecial: true,
            unbrokenBytesMax: Self.unbrokenBytesMax(contextTokens: model.contextTokens))
        func check() throws(GenerationError) {
            let least = stream.tokens.count + tokenizer.tokensMin(byteCount: bytesLeft)
            guard least <= model.contextTokens else {
                throw GenerationError(
                    .contextExceeded,
                    "the prompt has at least \(least) tokens, the context \(model.contextTokens) "
                        + "(\(model.contextReason))",
                    parameter: parameter)
            }
        }
        try check()
        for segment in segments {
            var rest = segment.text.utf8[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Self.pieceBytes)
                rest = rest.dropFirst(piece.count)
                bytesLeft -= piece.count
                do throws(UnbrokenTextError) {
                    try stream.append(piece, isTemplate: segment.isTemplate)
                } catch {
                    throw GenerationError(
                        .contextExceeded,
                        "\(error), which is what there is memory for with a context of"
                            + " \(model.contextTokens)",
                        parameter: parameter)
                }
                try check()
            }
        }
        stream.finish()
        try check()
        return stream.tokens
    }

    /// The longest stretch of a prompt that nothing divides, such as a word. Eight bytes for each
    /// place are more than tokens of such text have.
    private static func unbrokenBytesMax(contextTokens: Int) -> Int {
        max(4 << 10, 8 * contextTokens)
    }

    /// Memory that making a prompt's tokens takes, at most.
    static func workBytes(contextTokens: Int) -> Int {
        let tokenBytes = 2 * contextTokens * MemoryLayout<TokenID>.stride
        return tokenBytes
            + TokenStream.workBytes(
                unbrokenBytesMax: unbrokenBytesMax(contextTokens: contextTokens))
    }

    private func template() throws(GenerationError) -> ChatTemplate {
        do {
            return try ChatTemplate.match(model.chatTemplate)
        } catch {
            throw GenerationError(.templateUnsupported, "\(error)", parameter: "messages")
        }
    }
}
