// The fields of Ollama's `/api/chat` and `/api/generate`, and what they become: the same orders as
// those of the other dialect. Fields that are not known are ignored, as Ollama does.

internal import GenerationAPI
internal import JSON

/// Reads Ollama's requests.
enum OllamaFields {
    /// What would change an answer and is not served. A template's text could make control tokens.
    private static let unsupported: [(name: String, neutral: UnsupportedFields.Neutral)] = [
        ("suffix", .empty), ("images", .empty), ("template", .empty),
        ("context", .empty), ("logprobs", .values([.boolean(false)])),
        ("top_logprobs", .values([.integer(0)]))
    ]

    /// Samplers that there are not. What else there is among options is about machines.
    private static let unsupportedOptions: [(name: String, neutral: UnsupportedFields.Neutral)] = [
        ("mirostat", .values([.integer(0)])), ("typical_p", .values([.integer(1)])),
        ("tfs_z", .values([.integer(1)]))
    ]

    /// - Parameter kind: `chat` or `text`.
    static func read(
        _ body: JSONValue, kind: CompletionKind, client: ClientID, defaults: SamplingParameters,
        texts: RequestTexts
    ) throws(GenerationError) -> CompletionRequest {
        let fields = try RequestFields(body)
        try UnsupportedFields.refuse(unsupported, in: fields)
        var answer = AnswerOptions(kind: kind)
        answer.dialect = .ollama
        answer.modelName = try fields.model()
        answer.streams = try fields.boolean("stream") ?? true
        let keepAlive = try KeepAliveField.read(fields)
        var order: GenerationOrder
        if let prompt = try prompt(fields, kind, texts) {
            order = GenerationOrder(prompt: prompt, client: client)
        } else {
            // Nothing but loading, for which nobody's prompt becomes no tokens, or unloading.
            order = GenerationOrder(prompt: .text(""), client: client)
            answer.unloads = keepAlive == .seconds(0)
            order.wanted = answer.unloads ? .unloading : .tokens(TokenizingRules())
            answer.streams = false
        }
        order.model = answer.modelName
        order.keepAlive = keepAlive
        if kind == .chat { try ToolFields.read(fields, text: texts.tools, into: &order) }
        if case .chat = order.prompt { order.templateArguments = try thinking(fields) }
        order.output = try OutputFields.readOllama(fields, texts)
        order.sampling = defaults
        if let options = try fields.object("options") {
            try read(options: options, defaults: defaults, into: &order)
        }
        var request = CompletionRequest(order: order, answer: answer)
        try request.readExtras(fields)
        return request
    }

    /// The name in the body of `/api/show`.
    static func modelName(_ body: JSONValue) throws(GenerationError) -> String {
        let fields = try RequestFields(body)
        // `name` is what it was called before.
        let (name, older) = (try fields.model(), try fields.string("name"))
        guard let name = name ?? older, !name.isEmpty else {
            throw fields.error("model", "missing")
        }
        return name
    }

    /// What to answer; nil where that is nothing.
    private static func prompt(
        _ fields: RequestFields, _ kind: CompletionKind, _ texts: RequestTexts
    ) throws(GenerationError) -> GenerationOrder.Prompt? {
        if kind == .chat {
            let messages = try OllamaMessages.read(fields, texts)
            return messages.isEmpty ? nil : .chat(messages)
        }
        let text = try fields.string("prompt") ?? ""
        let system = try fields.string("system") ?? ""
        let isRaw = try fields.boolean("raw") ?? false
        guard !isRaw || system.isEmpty else {
            throw fields.error("system", "raw takes the prompt as it is, without it")
        }
        guard !text.isEmpty else { return nil }
        if isRaw { return .text(text) }
        let message = ChatMessage(role: "user", content: text)
        if system.isEmpty { return .chat([message]) }
        return .chat([ChatMessage(role: "system", content: system), message])
    }

    private static func read(
        options: RequestFields, defaults: SamplingParameters, into order: inout GenerationOrder
    ) throws(GenerationError) {
        try UnsupportedFields.refuse(unsupportedOptions, in: options)
        order.sampling = try CompletionRequest.sampling(options, defaults: defaults)
        order.tokensMax = try CompletionRequest.tokensMax(options, names: ["num_predict"])
        order.stopStrings = try CompletionRequest.stopStrings(options)
        // The context is as long as memory and model allow, whoever asks for more or less.
        _ = try options.clampedInteger("num_ctx", in: 1...Int.max)
    }

    /// The field `think`.
    private static func thinking(_ fields: RequestFields) throws(GenerationError) -> String? {
        switch fields["think"] {
        case nil: return nil
        case .boolean(let thinks): return TemplateFields.thinking(thinks)
        case .string(let effort) where TemplateFields.efforts.contains(effort):
            return TemplateFields.thinking(true, effort: effort)
        case .some:
            throw fields.error(
                "think", "expected true, false, \"low\", \"medium\" or \"high\"")
        }
    }
}

/// The field `keep_alive`: how long a model stays that nobody uses.
enum KeepAliveField {
    static let name = "keep_alive"
    /// In seconds, as Go's durations have them.
    private static let units = [
        "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600
    ]

    /// A number of seconds, or a duration as Go writes it; less than none is for ever. Nil where
    /// the request does not say.
    static func read(_ fields: RequestFields) throws(GenerationError) -> KeepAlive? {
        guard let value = fields[name] else { return nil }
        guard let seconds = value.double ?? value.string.flatMap(seconds) else {
            throw fields.error(name, "expected seconds, or a duration such as \"5m\" or \"1h30m\"")
        }
        return seconds < 0 ? .always : .seconds(seconds)
    }

    /// Nil where it is no duration.
    private static func seconds(_ text: String) -> Double? {
        var rest = text[...]
        let isNegative = rest.first == "-"
        if isNegative || rest.first == "+" { rest = rest.dropFirst() }
        if rest == "0" { return 0 }
        guard !rest.isEmpty, rest.utf8.count <= 64 else { return nil }
        var sum = 0.0
        while !rest.isEmpty {
            let number = rest.prefix { $0 == "." || ("0"..."9").contains($0) }
            rest = rest.dropFirst(number.count)
            let unit = rest.prefix { $0 != "." && !("0"..."9").contains($0) }
            rest = rest.dropFirst(unit.count)
            guard let value = Double(number), let scale = units[String(unit)] else { return nil }
            sum += value * scale
        }
        return isNegative ? -sum : sum
    }
}
