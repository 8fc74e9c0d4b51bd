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
    /// - Parameters:
    ///   - templateArguments: further variables of the chat template, a JSON object.
    ///   - isCancelled: asked between pieces of the text.
    /// - Throws: `GenerationError` when the prompt is empty, is longer than the context, has tokens
    ///   outside the vocabulary, or is a chat that the model's template does not take; `cancelled`
    ///   where it is.
    package func tokens(
        of prompt: GenerationOrder.Prompt, templateArguments: String? = nil,
        isCancelled: @escaping () -> Bool = { false }
    ) throws(GenerationError) -> [TokenID] {
        var tokens: [TokenID]
        switch prompt {
        case .text(let text):
            var encoding = try encoding(byteCount: text.utf8.count, prompt.parameter)
            try append(text.utf8, isTemplate: true, to: &encoding, isCancelled)
            tokens = try encoding.finish()
        case .tokens(let given):
            tokens = given
        case .chat(let messages):
            // Each turn is marked by a token or more: their list is no longer than the context.
            try context.check(tokensMin: messages.count, prompt.parameter)
            let text = try render(messages, templateArguments, prompt.parameter, isCancelled)
            var encoding = try encoding(byteCount: text.bytes.count, prompt.parameter)
            for run in text.runs() {
                try append(
                    text.bytes[run.range], isTemplate: !run.isOutside, to: &encoding, isCancelled)
            }
            tokens = try encoding.finish()
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

    /// The conversation as the model's template writes it, without the token that is put before
    /// every text.
    private func render(
        _ messages: [ChatMessage], _ arguments: String?, _ parameter: String,
        _ isCancelled: @escaping () -> Bool
    ) throws(GenerationError) -> MarkedText {
        let template: ChatTemplate
        do {
            template = try ChatTemplate(chatTemplate)
        } catch {
            throw GenerationError(.templateUnsupported, "\(error)", parameter: parameter)
        }
        let byteCount = messages.reduce(0) { $0 + $1.role.utf8.count + $1.content.utf8.count }
        try context.check(tokensMin: tokenizer.tokensMin(byteCount: byteCount), parameter)
        var conversation = ChatConversation(
            messages: messages.map {
                ChatConversation.message(role: $0.role, content: $0.content)
            })
        conversation.beginningToken = tokenizer.text(tokenizer.vocabularySpecial.beginning)
        conversation.endToken = tokenizer.text(tokenizer.vocabularySpecial.end)
        conversation.arguments = try Self.variables(arguments)
        do {
            let text = try template.render(
                conversation,
                limits: JinjaLimits(
                    inputBytes: byteCount + (arguments?.utf8.count ?? 0),
                    outputBytesMax: outputBytesMax),
                clock: JinjaClock(secondsSince1970: WallClock.secondsSince1970)
            ) {
                progress?.note()
                return isCancelled()
            }
            guard tokenizer.addedBeginning != nil else { return text }
            return text.dropping(prefix: conversation.beginningToken)
        } catch {
            throw GenerationError(error, parameter, context)
        }
    }

    /// More bytes than a text that fits the context can have.
    private var outputBytesMax: Int {
        let sample = 1 << 40
        let tokens = tokenizer.tokensMin(byteCount: sample)
        return tokens == 0 ? 1 << 30 : (context.tokens + 2) * (sample / tokens + 1)
    }

    private static func variables(
        _ arguments: String?
    ) throws(GenerationError) -> [(name: String, value: JinjaValue)] {
        guard let arguments else { return [] }
        let parameter = "chat_template_kwargs"
        let value: JinjaValue
        do {
            value = try JinjaValue(json: Array(arguments.utf8))
        } catch {
            throw GenerationError(.invalidRequest, "\(parameter): \(error)", parameter: parameter)
        }
        guard case .dictionary(let members) = value else {
            throw GenerationError(
                .invalidRequest, "\(parameter): expected an object", parameter: parameter)
        }
        return members.members.compactMap { key, value in
            if case .string(let name) = key { (name.string, value) } else { nil }
        }
    }

    /// A prompt on its way to tokens, refused as soon as it is certain that they are more than the
    /// context has places: memory and time are bounded by the context, whatever the text is.
    private func encoding(
        byteCount: Int, _ parameter: String
    ) throws(GenerationError) -> PromptEncoding {
        let encoding = PromptEncoding(
            tokenizer, context, byteCount: byteCount, parameter: parameter)
        try encoding.check()
        return encoding
    }

    private func append(
        _ bytes: some Collection<UInt8>, isTemplate: Bool, to encoding: inout PromptEncoding,
        _ isCancelled: () -> Bool
    ) throws(GenerationError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(PromptEncoding.pieceBytes)
            rest = rest.dropFirst(piece.count)
            try encoding.append(piece, isTemplate: isTemplate)
            progress?.note()
            if isCancelled() {
                throw GenerationError(.cancelled, "the request was cancelled")
            }
        }
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

extension GenerationError {
    /// Why a chat template did not write a prompt.
    fileprivate init(_ error: JinjaError, _ parameter: String, _ context: PromptBuilder.Context) {
        switch error.kind {
        case .raised:
            self.init(
                .invalidRequest, "the model's chat template refuses this: \(error.problem)",
                parameter: parameter)
        case .cancelled: self.init(.cancelled, "the request was cancelled")
        case .output:
            self.init(
                .contextExceeded,
                "the prompt is longer than \(context.tokens) tokens can be (\(context.reason))",
                parameter: parameter)
        case .syntax, .failed, .limit:
            self.init(.templateUnsupported, "\(error)", parameter: parameter)
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
        _ piece: some Collection<UInt8>, isTemplate: Bool
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
