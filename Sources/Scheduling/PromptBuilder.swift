// Turns what a client sent into tokens: a chat through the model's template, a text as it is.

internal import ModelFormat
internal import Tokenization

struct PromptBuilder {
    let model: ModelInstance

    /// The tokens of a prompt, with what the model expects at the beginning of a text.
    ///
    /// - Throws: `GenerationError` when the prompt is empty, has tokens outside the vocabulary, or
    /// is a
    ///   chat for a model whose template is not known.
    func tokens(of prompt: GenerationOrder.Prompt) throws(GenerationError) -> [TokenID] {
        var tokens: [TokenID]
        switch prompt {
        case .text(let text):
            tokens = model.tokenizer.encode(text, addSpecial: true, parseSpecial: true)
        case .tokens(let given):
            tokens = given
        case .chat(let messages):
            tokens = model.tokenizer.encode(
                try template().segments(
                    messages: messages.map { ($0.role, $0.content) }, addGenerationPrompt: true),
                addSpecial: true)
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
                parameter: "prompt")
        }
        return tokens
    }

    private func template() throws(GenerationError) -> ChatTemplate {
        do {
            return try ChatTemplate.match(model.chatTemplate)
        } catch {
            throw GenerationError(.templateUnsupported, "\(error)", parameter: "messages")
        }
    }
}
