// The fields that chat and plain completion share, and what they become: an order for the engine
// and a description of the answer wanted. Shapes: OpenAI's API reference; extras: llama-server's.

package import Inference
package import Scheduling

/// The two completion routes, which differ in their wire shapes only.
package enum CompletionKind: Sendable, Equatable {
    case chat
    case text
}

/// How the answer is to be sent.
package struct AnswerOptions: Sendable, Equatable {
    package var kind: CompletionKind
    /// Server-sent events instead of one object.
    package var streams = false
    /// With `streams`: one more chunk that carries `usage`.
    package var includesUsage = false
    /// The `sluice` object with flash bytes, hit rate and KV bytes.
    package var includesStatistics = false
    package var includesProbabilities = false

    package init(kind: CompletionKind) { self.kind = kind }
}

/// A request understood: what to generate and how to send it.
package struct CompletionRequest: Sendable {
    package var order: GenerationOrder
    package var answer: AnswerOptions

    /// Most stop strings of one request.
    package static let stopStringsMax = 16
    /// Longest stop string in bytes.
    package static let stopStringBytesMax = 1024
    /// Most alternatives reported with each token.
    package static let alternativesMax: Int64 = 20

    /// Reads the body of `POST /v1/chat/completions` or `/v1/completions`. `defaults` stand for
    /// sampling fields that are absent. Throws `invalidRequest` naming the field.
    package init(
        _ body: JSONValue, kind: CompletionKind, client: ClientID, defaults: SamplingParameters
    ) throws(GenerationError) {
        let fields = try RequestFields(body)
        try UnsupportedFields.refuse(UnsupportedFields.common, in: fields)
        try UnsupportedFields.refuseResponseFormat(in: fields)
        answer = AnswerOptions(kind: kind)
        switch kind {
        case .chat:
            try UnsupportedFields.refuse(UnsupportedFields.chat, in: fields)
            order = GenerationOrder(prompt: .chat(try ChatMessages.read(fields)), client: client)
            order.alternativesReported = try Self.chatAlternatives(fields)
        case .text:
            try UnsupportedFields.refuse(UnsupportedFields.completion, in: fields)
            order = GenerationOrder(prompt: try TextPrompt.read(fields), client: client)
            order.alternativesReported =
                try fields.integer("logprobs", in: 0...Self.alternativesMax).map { Int($0) }
        }
        answer.includesProbabilities = order.alternativesReported != nil
        order.model = try fields.string("model").flatMap { $0.isEmpty ? nil : $0 }
        order.sampling = try Self.sampling(fields, defaults: defaults)
        order.tokensMax = try Self.tokensMax(fields)
        order.stopStrings = try Self.stopStrings(fields)
        try readStreaming(fields)
        try readExtras(fields)
    }

    private mutating func readStreaming(_ fields: RequestFields) throws(GenerationError) {
        answer.streams = try fields.boolean("stream") ?? false
        guard let options = try fields.object("stream_options") else { return }
        guard answer.streams else {
            throw fields.error("stream_options", "only allowed when stream is true")
        }
        answer.includesUsage = try options.boolean("include_usage") ?? false
    }

    /// Our own object is ours to check: an unknown member is a mistake.
    private mutating func readExtras(_ fields: RequestFields) throws(GenerationError) {
        guard let extras = try fields.object("sluice") else { return }
        for name in extras.members.keys.sorted() where name != "statistics" {
            throw extras.error(name, "unknown")
        }
        answer.includesStatistics = try extras.boolean("statistics") ?? false
    }

    private static func chatAlternatives(_ fields: RequestFields) throws(GenerationError) -> Int? {
        let wanted = try fields.boolean("logprobs") ?? false
        let top = try fields.integer("top_logprobs", in: 0...alternativesMax)
        guard wanted else {
            guard (top ?? 0) == 0 else {
                throw fields.error("top_logprobs", "only allowed when logprobs is true")
            }
            return nil
        }
        return Int(top ?? 0)
    }

    /// `max_completion_tokens` is the newer name and wins.
    private static func tokensMax(_ fields: RequestFields) throws(GenerationError) -> Int? {
        let range: ClosedRange<Int64> = 1...Int64(Int32.max)
        let older = try fields.integer("max_tokens", in: range)
        let newer = try fields.integer("max_completion_tokens", in: range)
        return (newer ?? older).map { Int($0) }
    }

    private static func stopStrings(_ fields: RequestFields) throws(GenerationError) -> [String] {
        guard let value = fields["stop"] else { return [] }
        let elements: [JSONValue]
        switch value {
        case .string: elements = [value]
        case .array(let array): elements = array
        default: throw fields.error("stop", "expected a string or a list, found \(value.kind)")
        }
        guard elements.count <= stopStringsMax else {
            throw fields.error("stop", "\(elements.count) stop strings, at most \(stopStringsMax)")
        }
        var texts: [String] = []
        for element in elements {
            guard let text = element.string else {
                throw fields.error("stop", "expected strings, found \(element.kind)")
            }
            guard !text.isEmpty, text.utf8.count <= stopStringBytesMax else {
                throw fields.error("stop", "a stop string has 1 to \(stopStringBytesMax) bytes")
            }
            texts.append(text)
        }
        return texts
    }

    private static func sampling(
        _ fields: RequestFields, defaults: SamplingParameters
    ) throws(GenerationError) -> SamplingParameters {
        var sampling = defaults
        if let value = try fields.number("temperature", in: 0...10) { sampling.temperature = value }
        if let value = try fields.number("top_p", in: 0...1) { sampling.topP = value }
        if let value = try fields.number("min_p", in: 0...1) { sampling.minP = value }
        if let value = try fields.integer("top_k", in: -1...Int64(Int32.max)) {
            // -1 is what other servers' clients send for "off".
            sampling.topK = Int(max(0, value))
        }
        if let value = try fields.number("presence_penalty", in: -2...2) {
            sampling.presencePenalty = value
        }
        if let value = try fields.number("frequency_penalty", in: -2...2) {
            sampling.frequencyPenalty = value
        }
        if let value = try fields.number("repeat_penalty", in: 0.01...10) {
            sampling.repetitionPenalty = value
        }
        if let value = try fields.integer("repeat_last_n", in: 0...65536) {
            sampling.penaltyWindow = Int(value)
        }
        if let value = try fields.integer("seed", in: Int64.min...Int64.max) {
            // -1 draws a seed, as in llama-server.
            sampling.seed = value == -1 ? nil : UInt64(bitPattern: value)
        }
        return sampling
    }
}
