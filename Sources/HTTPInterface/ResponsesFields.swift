// The fields of OpenAI's `/v1/responses`, and what they become: the same orders as those of the
// other dialects. Nothing is kept of a response: whoever goes on sends what went before.

internal import GenerationAPI
internal import JSON

/// Reads requests of the Responses API.
enum ResponsesFields {
    /// What would change an answer and is not served.
    private static let unsupported: [(name: String, neutral: UnsupportedFields.Neutral)] = [
        ("previous_response_id", .empty), ("conversation", .empty), ("prompt", .absentOnly),
        ("background", .values([.boolean(false)])), ("top_logprobs", .values([.integer(0)]))
    ]

    /// Tools that run at OpenAI and that agents offer to whoever serves them: a model that is not
    /// told of one does without it.
    private static let leftOut = [
        "web_search", "web_search_preview", "image_generation", "tool_search"
    ]
    /// Of what would be in the answer.
    private static let includedProbabilities = "message.output_text.logprobs"

    static func read(
        _ body: JSONValue, client: ClientID, defaults: SamplingParameters, texts: RequestTexts
    ) throws(GenerationError) -> CompletionRequest {
        let fields = try RequestFields(body)
        try UnsupportedFields.refuse(unsupported, in: fields)
        if fields["include"]?.array?.contains(.string(includedProbabilities)) == true {
            throw fields.error("include", "'\(includedProbabilities)' is not supported here")
        }
        var order = GenerationOrder(
            prompt: .chat(try ResponsesInput.read(fields)), client: client)
        order.model = try fields.model()
        let effort = try effort(fields)
        order.templateArguments =
            effort == "none"
            ? TemplateFields.thinking(false) : TemplateFields.thinking(nil, effort: effort)
        if let format = try format(fields) {
            order.output = try OutputFields.readFlat(
                format, texts.nestedFormat, parameter: "text.format")
        }
        let use = try ToolFields.choice(fields) { $0 }
        order.allowsParallelCalls = try fields.boolean("parallel_tool_calls") ?? true
        let tools = FlatTools(schema: "parameters") { tool throws(GenerationError) in
            let type = try tool.string("type")
            if let type, leftOut.contains(where: { type == $0 || type.hasPrefix($0 + "_20") }) {
                return false
            }
            guard type == "function" else {
                throw tool.error("type", "only \"function\" is supported here")
            }
            return true
        }
        try tools.read(fields, text: texts.tools, use: use, into: &order)
        order.sampling = try CompletionRequest.sampling(fields, defaults: defaults)
        order.tokensMax = try CompletionRequest.tokensMax(fields, names: ["max_output_tokens"])
        var answer = AnswerOptions(kind: .chat)
        answer.dialect = .responses
        answer.modelName = order.model
        answer.streams = try fields.boolean("stream") ?? false
        answer.repeated = try repeated(fields, order, effort: effort, use: use)
        var request = CompletionRequest(order: order, answer: answer)
        try request.readExtras(fields)
        return request
    }

    private static func format(_ fields: RequestFields) throws(GenerationError) -> RequestFields? {
        try fields.object("text")?.object("format")
    }

    /// How much there is to think, as templates know it; `none` is not at all.
    private static func effort(_ fields: RequestFields) throws(GenerationError) -> String? {
        guard let reasoning = try fields.object("reasoning"),
            let effort = try reasoning.string("effort")
        else { return nil }
        switch effort {
        case "none": return effort
        case "minimal": return TemplateFields.efforts.first
        case "xhigh", "max": return TemplateFields.efforts.last
        case _ where TemplateFields.efforts.contains(effort): return effort
        default:
            throw reasoning.error("effort", "expected none, minimal, low, medium, high or xhigh")
        }
    }

    // MARK: what answers repeat

    private static let metadataMax = 16
    private static let metadataNameBytesMax = 256
    private static let metadataBytesMax = 2048

    /// The members of a response that say what was asked for.
    private static func repeated(
        _ fields: RequestFields, _ order: GenerationOrder, effort: String?, use: ToolUse?
    ) throws(GenerationError) -> String {
        let metadata = try metadata(fields)
        let members: [(name: String, value: JSONValue)] = [
            ("instructions", .null), ("max_output_tokens", integer(order.tokensMax)),
            ("metadata", .object(metadata)),
            ("parallel_tool_calls", .boolean(order.allowsParallelCalls)),
            ("previous_response_id", .null),
            (
                "reasoning",
                .object(["effort": effort.map { .string($0) } ?? .null, "summary": .null])
            ), ("store", .boolean(false)),
            ("temperature", number(order.sampling.temperature)),
            ("text", .object(["format": .object(try repeatedFormat(fields))])),
            ("tool_choice", repeated(use)), ("tools", .array([])),
            ("top_p", number(order.sampling.topP)), ("truncation", .string("disabled"))
        ]
        return members.map { member in
            "\"\(member.name)\":" + String(decoding: member.value.text(), as: UTF8.self)
        }.joined(separator: ",")
    }

    /// A format without its schema.
    private static func repeatedFormat(
        _ fields: RequestFields
    ) throws(GenerationError) -> [String: JSONValue] {
        guard let format = try format(fields) else { return ["type": .string("text")] }
        var members: [String: JSONValue] = [:]
        for name in ["type", "name"] {
            guard let text = try format.string(name) else { continue }
            guard text.utf8.count <= metadataNameBytesMax else {
                throw format.error(name, "at most \(metadataNameBytesMax) bytes")
            }
            members[name] = .string(text)
        }
        return members
    }

    private static func repeated(_ use: ToolUse?) -> JSONValue {
        switch use {
        case nil: .string("none")
        case .free: .string("auto")
        case .required: .string("required")
        case .named(let name):
            .object(["type": .string("function"), "name": .string(name)])
        }
    }

    private static func integer(_ value: Int?) -> JSONValue {
        value.map { .integer(Int64($0)) } ?? .null
    }

    /// In the fewest digits that are this number.
    private static func number(_ value: Float) -> JSONValue {
        Double("\(value)").map { $0.isFinite ? .number($0) : .null } ?? .null
    }

    private static func metadata(
        _ fields: RequestFields
    ) throws(GenerationError) -> [String: JSONValue] {
        guard let metadata = try fields.object("metadata") else { return [:] }
        guard metadata.members.count <= metadataMax else {
            throw fields.error("metadata", "at most \(metadataMax) members")
        }
        for (name, value) in metadata.members {
            guard let text = value.string, text.utf8.count <= metadataBytesMax,
                name.utf8.count <= metadataNameBytesMax
            else {
                throw fields.error(
                    "metadata",
                    "expected texts of at most \(metadataBytesMax) bytes, with names"
                        + " of at most \(metadataNameBytesMax)")
            }
        }
        return metadata.members
    }
}
