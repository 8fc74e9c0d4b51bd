// The fields of requests for vectors: OpenAI's `/v1/embeddings`, Ollama's `/api/embed` and its
// older `/api/embeddings`. Each text is an order of its own, one after the other.

internal import GenerationAPI
internal import JSON

/// Reads them.
enum EmbeddingFields {
    /// Most texts of one request.
    static let textsMax = 2048

    /// - Parameter kind: `embeddings` or `embedding`.
    static func read(
        _ body: JSONValue, kind: CompletionKind, dialect: Dialect, client: ClientID
    ) throws(GenerationError) -> CompletionRequest {
        let fields = try RequestFields(body)
        let name = kind == .embedding ? "prompt" : "input"
        var answer = AnswerOptions(kind: kind)
        answer.dialect = dialect
        answer.modelName = try fields.model()
        answer.encodesBase64 = try isBase64(fields, dialect)
        var rules = EmbeddingRules(parameter: name)
        rules.dimensions = try fields.integer("dimensions", in: 1...EmbeddingRules.dimensionsMax)
        // Ollama leaves out what does not fit, unless it is told not to.
        if dialect == .ollama { rules.truncates = try fields.boolean("truncate") ?? true }
        let keepAlive = dialect == .ollama ? try KeepAliveField.read(fields) : nil
        let prompts = try texts(fields, name, dialect, countMax: kind == .embedding ? 1 : textsMax)
        func order(_ prompt: GenerationOrder.Prompt, isLast: Bool = true) -> GenerationOrder {
            var order = GenerationOrder(prompt: prompt, client: client)
            order.model = answer.modelName
            // One after the other, between which the model is not to go.
            order.keepAlive = isLast ? keepAlive : .untilNeeded
            order.wanted = .embedding(rules)
            order.sampling.temperature = 0
            return order
        }
        guard let first = prompts.first else {
            // Nothing but loading, for which nobody's text becomes no tokens, or unloading.
            var order = order(.text(""))
            answer.unloads = keepAlive == .seconds(0)
            order.wanted = answer.unloads ? .unloading : .tokens(TokenizingRules())
            return CompletionRequest(order: order, answer: answer)
        }
        var request = CompletionRequest(
            order: order(first, isLast: prompts.count == 1), answer: answer)
        request.more = prompts.indices.dropFirst().map {
            order(prompts[$0], isLast: $0 == prompts.count - 1)
        }
        return request
    }

    /// The texts. In Ollama's dialect there may be none.
    private static func texts(
        _ fields: RequestFields, _ name: String, _ dialect: Dialect, countMax: Int
    ) throws(GenerationError) -> [GenerationOrder.Prompt] {
        if dialect == .ollama {
            switch fields[name] {
            case nil, .string(""), .array([]): return []
            default: break
            }
        }
        return try TextPrompt.read(fields, name: name, countMax: countMax)
    }

    private static func isBase64(
        _ fields: RequestFields, _ dialect: Dialect
    ) throws(GenerationError) -> Bool {
        guard dialect != .ollama else { return false }
        switch try fields.string("encoding_format") {
        case nil, "float": return false
        case "base64": return true
        case .some:
            throw fields.error("encoding_format", "expected \"float\" or \"base64\"")
        }
    }
}
