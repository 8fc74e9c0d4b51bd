// The fields that chat and plain completion share, and what they become: an order for the engine
// and a description of the answer wanted. Shapes: OpenAI's API reference; extras: llama-server's.

package import GenerationAPI
package import JSON
internal import ModelFormat

/// The two completion routes, which differ in their wire shapes only, and those that tell of
/// prompts.
package enum CompletionKind: Sendable, Equatable {
    case chat
    case text
    /// A chat's prompt, which is all that is wanted.
    case template
    /// A text's tokens.
    case tokens
    /// The text of tokens.
    case content
    /// How many tokens a chat's prompt has.
    case count
    /// A vector for each of some texts.
    case embeddings
    /// That of one text, in Ollama's older shape.
    case embedding
}

/// How the answer is to be sent.
package struct AnswerOptions: Sendable, Equatable {
    package var kind: CompletionKind
    package var dialect = Dialect.openAI
    /// Server-sent events instead of one object.
    package var streams = false
    /// With `streams`: one more chunk that carries `usage`.
    package var includesUsage = false
    /// The `sluice` object with flash bytes, hit rate and KV bytes.
    package var includesStatistics = false
    package var includesProbabilities = false
    /// The model's name as the request has it, where the answer repeats it.
    package var modelName: String?
    /// The model is to go, and nothing else.
    package var unloads = false
    /// Choices of each prompt, which follow one another.
    package var samples = 1
    /// The prompts' texts, where choices begin with them.
    package var echoes: [String] = []
    /// Vectors are texts in base 64 in place of lists of numbers.
    package var encodesBase64 = false
    /// Members of the answer's object that repeat what was asked for.
    package var repeated = ""

    package init(kind: CompletionKind) { self.kind = kind }
}

/// A request understood: what to generate and how to send it.
package struct CompletionRequest: Sendable {
    package var order: GenerationOrder
    /// Those of further choices.
    package var more: [GenerationOrder] = []
    package var answer: AnswerOptions

    /// Most stop strings of one request.
    package static let stopStringsMax = 16
    /// Longest stop string in bytes.
    package static let stopStringBytesMax = 1024
    /// Most alternatives reported with each token.
    package static let alternativesMax = 20

    init(order: GenerationOrder, answer: AnswerOptions) {
        self.order = order
        self.answer = answer
    }

    /// Reads the body of `POST /v1/chat/completions` or `/v1/completions`. `defaults` stand for
    /// sampling fields that are absent; `texts` are those of the body that it has. Throws
    /// `invalidRequest` naming the field.
    package init(
        _ body: JSONValue, kind: CompletionKind, dialect: Dialect = .openAI, client: ClientID,
        defaults: SamplingParameters, texts: RequestTexts = RequestTexts()
    ) throws(GenerationError) {
        switch (kind, dialect) {
        case (.tokens, _):
            self = try .tokenizing(body, client: client)
            return
        case (.content, _):
            self = try .detokenizing(body, client: client)
            return
        case (.embeddings, _), (.embedding, _):
            self = try EmbeddingFields.read(body, kind: kind, dialect: dialect, client: client)
            return
        case (_, .ollama):
            self = try OllamaFields.read(
                body, kind: kind, client: client, defaults: defaults, texts: texts)
            return
        case (_, .anthropic):
            self = try AnthropicFields.read(
                body, kind: kind, client: client, defaults: defaults, texts: texts)
            return
        case (_, .responses):
            self = try ResponsesFields.read(
                body, client: client, defaults: defaults, texts: texts)
            return
        case (_, .openAI): break
        }
        let fields = try RequestFields(body)
        try UnsupportedFields.refuse(UnsupportedFields.common, in: fields)
        answer = AnswerOptions(kind: kind)
        let prompts: [GenerationOrder.Prompt]
        switch kind {
        case .chat, .template, .tokens, .content, .count, .embeddings, .embedding:
            try UnsupportedFields.refuse(UnsupportedFields.chat, in: fields)
            prompts = [.chat(try ChatMessages.read(fields))]
            order = GenerationOrder(prompt: prompts[0], client: client)
            order.templateArguments = try TemplateFields.arguments(fields, texts)
            order.templateName = try TemplateFields.name(fields)
            try ToolFields.read(fields, text: texts.tools, into: &order)
            order.alternativesReported = try Self.chatAlternatives(fields)
            if kind == .template { order.wanted = .prompt }
        case .text:
            try UnsupportedFields.refuse(UnsupportedFields.completion, in: fields)
            prompts = try TextPrompt.read(fields)
            order = GenerationOrder(prompt: prompts[0], client: client)
            order.alternativesReported = try Self.textAlternatives(fields)
        }
        answer.includesProbabilities = order.alternativesReported != nil
        order.model = try fields.model()
        order.output = try OutputFields.read(fields, texts)
        order.sampling = try Self.sampling(fields, defaults: defaults)
        order.tokensMax = try Self.tokensMax(fields)
        order.stopStrings = try Self.stopStrings(fields)
        order.biases = try BiasFields.read(fields)
        order.ignoresEnd = try fields.boolean("ignore_eos") ?? false
        try readStreaming(fields)
        try readExtras(fields)
        try readChoices(fields, prompts)
    }

    private mutating func readStreaming(_ fields: RequestFields) throws(GenerationError) {
        let streams = try fields.boolean("stream") ?? false
        answer.streams = streams && answer.kind != .template
        order.reportsProgress = try fields.boolean("return_progress") ?? false && answer.streams
        // Clients that set these options once send them with every request.
        guard answer.streams, let options = try fields.object("stream_options") else { return }
        answer.includesUsage = try options.boolean("include_usage") ?? false
    }

    /// Our own object is ours to check: an unknown member is a mistake.
    mutating func readExtras(_ fields: RequestFields) throws(GenerationError) {
        guard let extras = try fields.object("sluice") else { return }
        for name in extras.members.keys.sorted()
        where !Self.extras.contains(name) {
            throw extras.error(name, "unknown")
        }
        order.keyValueFormat = try Self.keyValueFormat(extras)
        order.whenFull = try Self.whenFull(extras)
        order.coldTokens = try Self.coldTokens(extras)
        order.snapTokens = try extras.integer("kv_snap_tokens", in: 0...(1 << 22))
        order.gemTokens = try extras.integer("kv_gem_tokens", in: 0...(1 << 22))
        answer.includesStatistics = try extras.boolean("statistics") ?? false
    }

    private static let extras: Set = [
        "statistics", "kv_bits", "kv_when_full", "kv_cold_tokens_max", "kv_snap_tokens",
        "kv_gem_tokens"
    ]

    /// A number, or a text for keys and values apart.
    private static func keyValueFormat(
        _ extras: RequestFields
    ) throws(GenerationError) -> KVFormat? {
        guard let value = extras["kv_bits"], value != .null else { return nil }
        guard let format = (value.string ?? value.integer.map { "\($0)" }).flatMap({ KVFormat($0) })
        else { throw extras.error("kv_bits", "expected \(KVFormat.choices)") }
        return format
    }

    private static func whenFull(_ extras: RequestFields) throws(GenerationError) -> FullContext? {
        guard let text = try extras.string("kv_when_full") else { return nil }
        guard let choice = FullContext(rawValue: text) else {
            throw extras.error("kv_when_full", "expected \"stop\" or \"slide\"")
        }
        return choice
    }

    private static func coldTokens(_ extras: RequestFields) throws(GenerationError) -> ColdTokens? {
        let name = "kv_cold_tokens_max"
        guard let value = extras[name], value != .null else { return nil }
        if value == .string("all") { return .all }
        guard let tokens = value.integer, (1...(1 << 22)).contains(tokens) else {
            throw extras.error(name, "expected a number of tokens, or \"all\"")
        }
        return .most(Int(tokens))
    }

    private static func chatAlternatives(_ fields: RequestFields) throws(GenerationError) -> Int? {
        let wanted = try fields.boolean("logprobs") ?? false
        let top = try fields.integer("top_logprobs", in: 0...alternativesMax)
        guard wanted else {
            guard (top ?? 0) == 0 else {
                throw fields.error("top_logprobs", "only allowed when logprobs is true")
            }
            return try otherAlternatives(fields)
        }
        return top ?? 0
    }

    /// llama-server's name for as many.
    private static func otherAlternatives(_ fields: RequestFields) throws(GenerationError) -> Int? {
        try fields.integer("n_probs", in: 0...alternativesMax).flatMap { $0 == 0 ? nil : $0 }
    }

    /// Here `logprobs` is a number; `false` is what clients send who know the chat's field.
    private static func textAlternatives(_ fields: RequestFields) throws(GenerationError) -> Int? {
        guard let value = fields["logprobs"], value != .boolean(false) else {
            return try otherAlternatives(fields)
        }
        return try fields.integer("logprobs", in: 0...alternativesMax)
    }

    /// `max_completion_tokens` is OpenAI's newer name and wins, `n_predict` is llama-server's. -1
    /// and -2 are to the end of the context; what no context holds means the same.
    static func tokensMax(
        _ fields: RequestFields,
        names: [String] = ["n_predict", "max_tokens", "max_completion_tokens"]
    ) throws(GenerationError) -> Int? {
        var wanted: Int?
        for name in names {
            let range = Int.min...Int(Int32.max)
            guard let count = try fields.clampedInteger(name, in: range) else { continue }
            guard count >= -2, count != 0 else {
                throw fields.error(
                    name,
                    "\(count) asks for no answer: at least 1, or -1 to the end of the context")
            }
            wanted = count
        }
        return wanted.flatMap { $0 < 0 ? nil : $0 }
    }

    static func stopStrings(
        _ fields: RequestFields, name: String = "stop"
    ) throws(GenerationError) -> [String] {
        guard let value = fields[name] else { return [] }
        var elements: [JSONValue]
        switch value {
        case .string: elements = [value]
        case .array(let array): elements = array
        default: throw fields.error(name, "expected a string or a list, found \(value.kind)")
        }
        // An empty text would end every answer before it begins: nobody asks for that.
        elements.removeAll { $0 == .string("") || $0 == .null }
        guard elements.count <= stopStringsMax else {
            throw fields.error(name, "\(elements.count) stop strings, at most \(stopStringsMax)")
        }
        var texts: [String] = []
        for element in elements {
            guard let text = element.string else {
                throw fields.error(name, "expected strings, found \(element.kind)")
            }
            guard text.utf8.count <= stopStringBytesMax else {
                throw fields.error(name, "a stop string has at most \(stopStringBytesMax) bytes")
            }
            texts.append(text)
        }
        return texts
    }

    static func sampling(
        _ fields: RequestFields, defaults: SamplingParameters
    ) throws(GenerationError) -> SamplingParameters {
        var sampling = defaults
        for field in SamplingParameters.numbers {
            guard let value = try fields.number(field.parameter.rawValue, in: field.range) else {
                continue
            }
            sampling[keyPath: field.keyPath] = value
        }
        let topK = SamplingError.Parameter.topK.rawValue
        if let value = try fields.clampedInteger(topK, in: SamplingParameters.topKRange) {
            sampling.topK = value
        }
        let window = SamplingError.Parameter.penaltyWindow.rawValue
        if let value = try fields.clampedInteger(
            window, in: SamplingParameters.penaltyWindowRange)
        {
            sampling.penaltyWindow = value
        }
        if let seed = try fields.bits("seed") {
            // -1 draws a seed, as in llama-server; 2^64-1, which has the same bits, is a seed.
            sampling.seed = fields["seed"]?.whole == -1 ? nil : seed
        }
        return sampling
    }
}
