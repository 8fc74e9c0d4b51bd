// Turns what a client sent into tokens: a chat through the model's template, a text as it is. Needs
// nothing of a model but its tables, so that any thread may do it.

internal import ChatTemplates
package import GenerationAPI
package import LinuxSystem
package import ModelFormat
internal import Tokenization

/// Makes the tokens of prompts for one model, in memory that its context bounds.
package struct PromptBuilder: Sendable {
    private let tokenizer: Tokenizer
    private let chatTemplate: String?
    fileprivate let context: Context
    private let progress: ProgressCounter?

    /// What a prompt has to fit.
    fileprivate struct Context {
        let tokens: Int
        /// Why so many.
        let reason: String
    }

    /// - Parameter progress: told of every piece of a text.
    package init(_ model: ModelInstance, progress: ProgressCounter? = nil) {
        tokenizer = model.tokenizer
        chatTemplate = model.chatTemplate
        let reason = model.contextReason
        context = Context(
            tokens: model.promptTokensMax,
            reason: model.whenFull == .slide ? "\(reason); four times that to slide in" : reason)
        self.progress = progress
    }

    /// The tokens of a prompt, with what the model expects at the beginning of a text.
    ///
    /// - Parameter isCancelled: asked between pieces of the text.
    /// - Throws: `GenerationError` when the prompt is empty, is longer than the context, has tokens
    ///   outside the vocabulary, or is a chat for a model whose template is not known; `cancelled`
    ///   where it is.
    package func tokens(
        of prompt: GenerationOrder.Prompt, isCancelled: @escaping () -> Bool = { false }
    ) throws(GenerationError) -> [TokenID] {
        var tokens: [TokenID]
        switch prompt {
        case .text(let text):
            let segment = PromptSegment(text, isTemplate: true)
            tokens = try encode(prompt.parameter, isCancelled) { body throws(GenerationError) in
                try body(segment)
            }
        case .tokens(let given):
            tokens = given
        case .chat(let messages):
            tokens = try encode(messages, prompt.parameter, isCancelled)
        }
        if tokens.isEmpty, let beginning = tokenizer.vocabularySpecial.beginning {
            tokens = [beginning]
        }
        guard !tokens.isEmpty else {
            throw GenerationError(
                .invalidRequest, "the prompt is empty", parameter: prompt.parameter)
        }
        let count = tokenizer.tokenCount
        guard tokens.allSatisfy({ $0.index >= 0 && $0.index < count }) else {
            throw GenerationError(
                .invalidRequest, "the prompt has a token outside the vocabulary of \(count)",
                parameter: prompt.parameter)
        }
        return tokens
    }

    private func encode(
        _ messages: [ChatMessage], _ parameter: String, _ isCancelled: @escaping () -> Bool
    ) throws(GenerationError) -> [TokenID] {
        let template: ChatTemplate
        do {
            template = try ChatTemplate.match(chatTemplate)
        } catch {
            throw GenerationError(.templateUnsupported, "\(error)", parameter: parameter)
        }
        // Each turn is marked by a token or more: their list is no longer than the context.
        try context.check(tokensMin: messages.count, parameter)
        let turns = messages.map { ($0.role, $0.content) }
        return try encode(parameter, isCancelled) { body throws(GenerationError) in
            try template.write(messages: turns, addGenerationPrompt: true, body)
        }
    }

    /// The tokens of a text, refused as soon as it is certain that they are more than the context
    /// has places: memory and time are bounded by the context, whatever the text is.
    ///
    /// - Parameter visit: hands out the text's pieces; called twice.
    private func encode(
        _ parameter: String, _ isCancelled: @escaping () -> Bool,
        _ visit: ((PromptSegment) throws(GenerationError) -> Void) throws(GenerationError) -> Void
    ) throws(GenerationError) -> [TokenID] {
        var byteCount = 0
        try visit { byteCount += $0.text.utf8.count }
        var encoding = PromptEncoding(
            tokenizer, context, byteCount: byteCount, parameter: parameter)
        try encoding.check()
        try visit { segment throws(GenerationError) in
            var rest = segment.text.utf8[...]
            while !rest.isEmpty {
                let piece = rest.prefix(PromptEncoding.pieceBytes)
                rest = rest.dropFirst(piece.count)
                try encoding.append(piece, isTemplate: segment.isTemplate)
                progress?.note()
                if isCancelled() {
                    throw GenerationError(.cancelled, "the request was cancelled")
                }
            }
        }
        return try encoding.finish()
    }

    /// Memory that making a prompt's tokens takes, at most.
    static func workBytes(contextTokens: Int) -> Int {
        let tokenBytes = 2 * contextTokens * MemoryLayout<TokenID>.stride
        return tokenBytes
            + TokenStream.workBytes(
                unbrokenBytesMax: PromptEncoding.unbrokenBytesMax(contextTokens: contextTokens))
    }
}

extension PromptBuilder.Context {
    /// - Throws: `GenerationError.contextExceeded` where a prompt of so many tokens does not fit.
    fileprivate func check(tokensMin: Int, _ parameter: String) throws(GenerationError) {
        guard tokensMin <= tokens else {
            throw GenerationError(
                .contextExceeded,
                "the prompt has at least \(tokensMin) tokens, the context \(tokens) (\(reason))",
                parameter: parameter)
        }
    }
}

/// A prompt on its way to tokens.
private struct PromptEncoding {
    /// Bytes that are handed to the tokenizer at a time.
    static let pieceBytes = 2 << 10

    private let tokenizer: Tokenizer
    private let context: PromptBuilder.Context
    private let parameter: String
    private var stream: TokenStream
    private var bytesLeft: Int

    init(
        _ tokenizer: Tokenizer, _ context: PromptBuilder.Context, byteCount: Int, parameter: String
    ) {
        self.tokenizer = tokenizer
        self.context = context
        self.parameter = parameter
        bytesLeft = byteCount
        stream = TokenStream(
            tokenizer, addSpecial: true,
            unbrokenBytesMax: Self.unbrokenBytesMax(contextTokens: context.tokens))
    }

    /// The longest stretch of a prompt that nothing divides, such as a word. Eight bytes for each
    /// place are more than tokens of such text have.
    static func unbrokenBytesMax(contextTokens: Int) -> Int { max(4 << 10, 8 * contextTokens) }

    /// The tokens so far and the fewest that the rest can have must fit.
    func check() throws(GenerationError) {
        let rest = tokenizer.tokensMin(byteCount: bytesLeft)
        try context.check(tokensMin: stream.tokens.count + rest, parameter)
    }

    mutating func append(
        _ piece: Substring.UTF8View.SubSequence, isTemplate: Bool
    ) throws(GenerationError) {
        bytesLeft -= piece.count
        do throws(UnbrokenTextError) {
            try stream.append(piece, isTemplate: isTemplate)
        } catch {
            throw GenerationError(
                .contextExceeded,
                "\(error), which is what there is memory for with a context of"
                    + " \(context.tokens)",
                parameter: parameter)
        }
        try check()
    }

    mutating func finish() throws(GenerationError) -> [TokenID] {
        stream.finish()
        try check()
        return stream.tokens
    }
}
