// The fields of Ollama's `/api/chat` and `/api/generate`, and what they become: the same orders as
// those of the other dialect. Fields that are not known are ignored, as Ollama does.

internal import GenerationAPI
internal import JSON

/// Reads Ollama's requests.
enum OllamaFields {
    /// What would change an answer and is not served. A template's text could make control tokens.
    private static let unsupported: [(name: String, neutral: UnsupportedFields.Neutral)] = [
        ("format", .empty), ("suffix", .empty), ("images", .empty), ("template", .empty),
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
        let unloads = try KeepAlive.isNothing(fields)
        var order: GenerationOrder
        if let prompt = try prompt(fields, kind) {
            order = GenerationOrder(prompt: prompt, client: client)
        } else {
            guard !unloads else {
                throw fields.error(
                    KeepAlive.name, "0 without a prompt: models are not unloaded on demand yet")
            }
            // Nothing but loading: nobody's prompt has no tokens.
            order = GenerationOrder(prompt: .text(""), client: client)
            order.wanted = .tokens(TokenizingRules())
            answer.streams = false
        }
        order.model = answer.modelName
        if kind == .chat { try ToolFields.read(fields, text: texts.tools, into: &order) }
        if case .chat = order.prompt { order.templateArguments = try thinking(fields) }
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
        _ fields: RequestFields, _ kind: CompletionKind
    ) throws(GenerationError) -> GenerationOrder.Prompt? {
        if kind == .chat {
            let messages = try OllamaMessages.read(fields)
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

    /// The field `think`, in the variables' names that templates have for it.
    private static func thinking(_ fields: RequestFields) throws(GenerationError) -> String? {
        switch fields["think"] {
        case nil: return nil
        case .boolean(let thinks):
            return "{\"enable_thinking\":\(thinks),\"thinking\":\(thinks)}"
        case .string(let effort) where ["low", "medium", "high"].contains(effort):
            return "{\"enable_thinking\":true,\"thinking\":true,"
                + "\"reasoning_effort\":\"\(effort)\"}"
        case .some:
            throw fields.error(
                "think", "expected true, false, \"low\", \"medium\" or \"high\"")
        }
    }
}

/// The field `keep_alive`: how long a model stays. It is checked, and means nothing yet: a model
/// stays until another one is asked for.
enum KeepAlive {
    static let name = "keep_alive"
    private static let units = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"]

    /// Whether it is no time at all: a number of seconds, or a duration as Go writes it.
    static func isNothing(_ fields: RequestFields) throws(GenerationError) -> Bool {
        guard let value = fields[name] else { return false }
        if let seconds = value.double { return seconds == 0 }
        guard let text = value.string, let isNone = isNoTime(text) else {
            throw fields.error(name, "expected seconds, or a duration such as \"5m\" or \"1h30m\"")
        }
        return isNone
    }

    /// Nil where it is no duration.
    private static func isNoTime(_ text: String) -> Bool? {
        var rest = text[...]
        if let sign = rest.first, sign == "-" || sign == "+" { rest = rest.dropFirst() }
        if rest == "0" { return true }
        guard !rest.isEmpty, rest.utf8.count <= 64 else { return nil }
        var isNothing = true
        while !rest.isEmpty {
            let number = rest.prefix { $0 == "." || ("0"..."9").contains($0) }
            rest = rest.dropFirst(number.count)
            let unit = rest.prefix { $0 != "." && !("0"..."9").contains($0) }
            rest = rest.dropFirst(unit.count)
            guard let value = Double(number), units.contains(String(unit)) else { return nil }
            isNothing = isNothing && value == 0
        }
        return isNothing
    }
}
