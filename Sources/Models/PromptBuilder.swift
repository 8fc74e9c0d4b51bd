// Turns what a client sent into tokens: a chat through the model's template, a text as it is. Needs
// nothing of a model but its tables, so that any thread may do it.

package import AnswerParsing
internal import ChatTemplates
package import Constraints
package import GenerationAPI
package import LinuxSystem
package import ModelFormat
package import Tokenization

/// What became of an order's prompt.
package struct PreparedPrompt: Sendable, Equatable {
    package var tokens: [TokenID] = []
    /// How the answer is taken apart; nil is not at all.
    package var plan: AnswerPlan?
    /// What it is held to; nil is nothing.
    package var constraint: AnswerConstraint?
    /// The text, where nothing but that is wanted.
    package var text: String?
    /// The tokens, where nothing but these are wanted.
    package var tokenized: TokenizedText?

    package init(tokens: [TokenID]) { self.tokens = tokens }
}

/// Makes the tokens of prompts for one model, in memory that its context bounds.
package struct PromptBuilder: Sendable {
    let tokenizer: Tokenizer
    let templates: ChatTemplateSources
    let context: Context
    let progress: ProgressCounter?
    /// What answers can be held to; nil where there is no memory for that.
    let constraints: ConstraintLibrary?

    /// What a prompt has to fit.
    struct Context {
        let tokens: Int
        /// Those of a text that does not slide.
        var positions: Int
        /// Why so many.
        let reason: String
    }

    /// - Parameter progress: told of every piece of a text.
    package init(_ model: ModelInstance, progress: ProgressCounter? = nil) {
        tokenizer = model.tokenizer
        templates = model.templates
        constraints = model.constraints
        let reason = model.contextReason
        context = Context(
            tokens: model.promptTokensMax, positions: model.contextTokens,
            reason: model.whenFull == .slide ? "\(reason); four times that to slide in" : reason)
        self.progress = progress
    }

    /// For a model that is not there; its context has `contextTokens`.
    package init(
        _ tokenizer: Tokenizer, templates: ChatTemplateSources, contextTokens: Int,
        constraints: ConstraintLibrary? = nil
    ) {
        self.constraints = constraints
        self.tokenizer = tokenizer
        self.templates = templates
        context = Context(tokens: contextTokens, positions: contextTokens, reason: "asked for")
        progress = nil
    }

    /// The tokens of an order's prompt, with what the model expects at the beginning of a text.
    ///
    /// - Parameter isCancelled: asked between pieces of the text.
    /// - Throws: `GenerationError` when the prompt is empty, is longer than the context, has tokens
    ///   outside the vocabulary, or is a chat that the model's template does not take; `cancelled`
    ///   where it is.
    package func prepare(
        _ order: GenerationOrder, isCancelled: @escaping () -> Bool = { false }
    ) throws(GenerationError) -> PreparedPrompt {
        let parameter = order.parameter
        var prepared = PreparedPrompt(tokens: [])
        switch order.prompt {
        case .text(let text):
            prepared.constraint = try constraint(order, plan: nil, template: "")
            if case .tokens(let rules) = order.wanted {
                prepared.tokenized = try tokenize(text, rules, isCancelled)
                return prepared
            }
            if case .embedding(let rules) = order.wanted, rules.truncates {
                prepared.tokens = try firstTokens(of: text, parameter, isCancelled)
                break
            }
            var encoding = try encoding(byteCount: text.utf8.count, parameter)
            try append(text.utf8, isTemplate: true, to: &encoding, isCancelled)
            prepared.tokens = try encoding.finish()
        case .tokens(let given):
            if order.wanted == .text {
                prepared.text = try text(of: given, isCancelled)
                return prepared
            }
            prepared.constraint = try constraint(order, plan: nil, template: "")
            prepared.tokens = given
            if case .embedding(let rules) = order.wanted, rules.truncates {
                prepared.tokens = Array(given.prefix(context.positions))
            }
        case .chat(let messages):
            // Each turn is marked by a token or more: their list is no longer than the context.
            try context.check(tokensMin: messages.count, parameter)
            let chat = try render(messages, order, isCancelled)
            let text = chat.text
            prepared.plan = chat.plan
            prepared.constraint = try constraint(order, plan: chat.plan, template: chat.template)
            if order.wanted == .prompt {
                prepared.text = text.string
                return prepared
            }
            var encoding = try encoding(byteCount: text.bytes.count, parameter)
            for run in text.runs() {
                try append(
                    text.bytes[run.range], isTemplate: !run.isOutside, to: &encoding, isCancelled)
            }
            let tokens = try encoding.finish()
            if case .tokens = order.wanted {
                prepared.tokenized = TokenizedText(tokens)
                return prepared
            }
            prepared.tokens = tokens
        }
        try check(&prepared.tokens, parameter)
        return prepared
    }

    /// Puts a token where there is none, and refuses those that are none.
    private func check(
        _ tokens: inout [TokenID], _ parameter: String
    ) throws(GenerationError) {
        if tokens.isEmpty, let beginning = tokenizer.vocabularySpecial.beginning {
            tokens = [beginning]
        }
        guard !tokens.isEmpty else {
            throw GenerationError(.invalidRequest, "the prompt is empty", parameter: parameter)
        }
        try checkVocabulary(tokens, parameter)
    }

    /// Refuses tokens that are none.
    func checkVocabulary(_ tokens: [TokenID], _ parameter: String) throws(GenerationError) {
        let count = tokenizer.tokenCount
        guard tokens.allSatisfy({ $0.index >= 0 && $0.index < count }) else {
            throw GenerationError(
                .invalidRequest, "\(parameter): a token outside the vocabulary of \(count)",
                parameter: parameter)
        }
    }

    /// A prompt on its way to tokens, refused as soon as it is certain that they are more than the
    /// context has places: memory and time are bounded by the context, whatever the text is.
    func encoding(
        byteCount: Int, addSpecial: Bool = true, _ parameter: String
    ) throws(GenerationError) -> PromptEncoding {
        let encoding = PromptEncoding(
            tokenizer, context, byteCount: byteCount, addSpecial: addSpecial, parameter: parameter)
        try encoding.check()
        return encoding
    }

    func append(
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
    func check(tokensMin: Int, _ parameter: String) throws(GenerationError) {
        guard tokensMin <= tokens else {
            throw GenerationError(
                .contextExceeded,
                "the prompt has at least \(tokensMin) tokens, the context \(tokens) (\(reason))",
                parameter: parameter)
        }
    }
}

/// A prompt on its way to tokens.
struct PromptEncoding {
    /// Bytes that are handed to the tokenizer at a time.
    static let pieceBytes = 2 << 10

    private let tokenizer: Tokenizer
    private let context: PromptBuilder.Context
    private let parameter: String
    private var stream: TokenStream
    private var bytesLeft: Int

    init(
        _ tokenizer: Tokenizer, _ context: PromptBuilder.Context, byteCount: Int,
        addSpecial: Bool, parameter: String
    ) {
        self.tokenizer = tokenizer
        self.context = context
        self.parameter = parameter
        bytesLeft = byteCount
        stream = TokenStream(
            tokenizer, addSpecial: addSpecial,
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
