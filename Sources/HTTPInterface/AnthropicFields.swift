// The fields of Anthropic's `/v1/messages` and `/v1/messages/count_tokens`, and what they become:
// the same orders as those of the other dialects. Fields that are not known are ignored: clients
// send many that are about caches, accounts and experiments.

internal import GenerationAPI
internal import JSON

/// Reads Anthropic's requests.
enum AnthropicFields {
    /// What would change an answer and is not served.
    private static let unsupported: [(name: String, neutral: UnsupportedFields.Neutral)] = [
        ("mcp_servers", .empty), ("container", .empty), ("prefill", .empty)
    ]

    /// Bytes of a tool's name.
    private static let nameBytesMax = 128

    /// - Parameter kind: `chat` or `count`.
    static func read(
        _ body: JSONValue, kind: CompletionKind, client: ClientID, defaults: SamplingParameters,
        texts: RequestTexts
    ) throws(GenerationError) -> CompletionRequest {
        let fields = try RequestFields(body)
        try UnsupportedFields.refuse(unsupported, in: fields)
        var answer = AnswerOptions(kind: kind)
        answer.dialect = .anthropic
        answer.modelName = try fields.model()
        let messages = try AnthropicMessages.read(fields, texts, isAnswered: kind == .chat)
        var order = GenerationOrder(prompt: .chat(messages), client: client)
        order.model = answer.modelName
        order.templateArguments = try thinking(fields)
        order.output = try output(fields, texts)
        try readTools(fields, texts, into: &order)
        if kind == .count {
            order.wanted = .tokens(TokenizingRules())
            return CompletionRequest(order: order, answer: answer)
        }
        answer.streams = try fields.boolean("stream") ?? false
        order.sampling = try CompletionRequest.sampling(fields, defaults: defaults)
        order.tokensMax = try CompletionRequest.tokensMax(fields, names: ["max_tokens"])
        order.stopStrings = try CompletionRequest.stopStrings(fields, name: "stop_sequences")
        var request = CompletionRequest(order: order, answer: answer)
        try request.readExtras(fields)
        return request
    }

    /// What the answer has to be, by its name of today or by that of older clients.
    private static func output(
        _ fields: RequestFields, _ texts: RequestTexts
    ) throws(GenerationError) -> OutputFormat? {
        let older = try fields.object("output_format")
        if let output = try fields.object("output_config"), let format = try output.object("format")
        {
            guard older == nil else {
                throw fields.error("output_format", "not together with output_config.format")
            }
            return try OutputFields.readFlat(
                format, texts.nestedFormat, parameter: "output_config.format")
        }
        return try older.flatMap { older throws(GenerationError) in
            try OutputFields.readFlat(older, texts.nestedFormat, parameter: "output_format")
        }
    }

    private static func readTools(
        _ fields: RequestFields, _ texts: RequestTexts, into order: inout GenerationOrder
    ) throws(GenerationError) {
        let use = try choice(fields, &order)
        let tools = FlatTools(schema: "input_schema", nameBytesMax: nameBytesMax) {
            tool throws(GenerationError) in
            let type = try tool.string("type") ?? "custom"
            guard type == "custom" else {
                throw tool.error("type", "'\(type)' is not supported here: tools of one's own are")
            }
            return true
        }
        try tools.read(fields, text: texts.tools, use: use, into: &order)
    }

    /// Which tools are to be called; nil where none may be.
    private static func choice(
        _ fields: RequestFields, _ order: inout GenerationOrder
    ) throws(GenerationError) -> ToolUse? {
        guard let choice = try fields.object("tool_choice") else { return .free }
        order.allowsParallelCalls = try choice.boolean("disable_parallel_tool_use") != true
        switch try choice.string("type") {
        case "auto": return .free
        case "none": return nil
        case "any": return .required
        case "tool": return .named(try ToolFields.name(choice, bytesMax: nameBytesMax))
        default: throw choice.error("type", "expected \"auto\", \"any\", \"tool\" or \"none\"")
        }
    }

    /// The fields `thinking` and `output_config`, in variables of templates.
    private static func thinking(_ fields: RequestFields) throws(GenerationError) -> String? {
        var effort: String?
        if let output = try fields.object("output_config") {
            effort = try output.string("effort")
            switch effort {
            case nil: break
            case "xhigh", "max": effort = TemplateFields.efforts.last
            case .some(let known) where TemplateFields.efforts.contains(known): break
            case .some:
                throw output.error("effort", "expected low, medium, high, xhigh or max")
            }
        }
        guard let thinking = try fields.object("thinking") else {
            return TemplateFields.thinking(nil, effort: effort)
        }
        switch try thinking.string("type") {
        case "disabled": return TemplateFields.thinking(false, effort: effort)
        case "enabled", "adaptive", "between_tools":
            return TemplateFields.thinking(true, effort: effort)
        default: throw thinking.error("type", "expected enabled, adaptive or disabled")
        }
    }
}
