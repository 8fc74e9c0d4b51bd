// Texts to tokens and back, where nothing but that is wanted, in the memory that prompts have.

package import GenerationAPI
internal import LinuxSystem
internal import ModelFormat
internal import Tokenization

extension PreparedPrompt {
    /// What is told where a prompt is not to be answered; nil where it is.
    package var told: GenerationEvent? {
        if let tokenized { return .tokens(tokenized) }
        return text.map { .text($0, probabilities: []) }
    }
}

extension PromptBuilder {
    /// The tokens of a text that fits the context. It makes control tokens where the rules say so.
    func tokenize(
        _ text: String, _ rules: TokenizingRules, _ isCancelled: () -> Bool
    ) throws(GenerationError) -> TokenizedText {
        var encoding = try encoding(
            byteCount: text.utf8.count, addSpecial: rules.addsSpecial, "content")
        try append(text.utf8, isTemplate: rules.parsesSpecial, to: &encoding, isCancelled)
        let tokens = try encoding.finish()
        guard rules.includesPieces else { return TokenizedText(tokens) }
        return TokenizedText(tokens) { tokenizer.append($0, showsControl: true, to: &$1) }
    }

    /// The tokens that a text begins with, as many as the context has; the vocabulary's own around
    /// a text are among them. Of a longer text no more is read.
    func firstTokens(
        of text: String, _ parameter: String, _ isCancelled: () -> Bool
    ) throws(GenerationError) -> [TokenID] {
        var stream = TokenStream(
            tokenizer, addSpecial: true,
            unbrokenBytesMax: PromptEncoding.unbrokenBytesMax(contextTokens: context.tokens))
        var rest = text.utf8[...]
        while !rest.isEmpty, stream.tokens.count <= context.positions {
            let piece = rest.prefix(PromptEncoding.pieceBytes)
            rest = rest.dropFirst(piece.count)
            do throws(UnbrokenTextError) {
                try stream.append(piece, isTemplate: true)
            } catch {
                throw GenerationError(.contextExceeded, "\(error)", parameter: parameter)
            }
            progress?.note()
            if isCancelled() {
                throw GenerationError(.cancelled, "the request was cancelled")
            }
        }
        stream.finish()
        guard stream.tokens.count > context.positions else { return stream.tokens }
        let end = tokenizer.addedEnd.map { [$0] } ?? []
        return stream.tokens.prefix(context.positions - end.count) + end
    }

    /// The text of tokens, control tokens and a space at the beginning included: each token's own
    /// one after the other. What is no UTF-8 becomes U+FFFD.
    func text(
        of tokens: [TokenID], _ isCancelled: () -> Bool
    ) throws(GenerationError) -> String {
        try context.check(tokensMin: tokens.count, "tokens")
        try checkVocabulary(tokens, "tokens")
        let bytesMax = Self.workBytes(contextTokens: context.tokens) / 4
        var bytes: [UInt8] = []
        for (index, token) in tokens.enumerated() {
            tokenizer.append(token, showsControl: true, to: &bytes)
            guard bytes.count <= bytesMax else {
                throw GenerationError(
                    .contextExceeded, "tokens: their text has more than \(bytesMax) bytes",
                    parameter: "tokens")
            }
            guard index % 1024 == 0 else { continue }
            progress?.note()
            if isCancelled() {
                throw GenerationError(.cancelled, "the request was cancelled")
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
