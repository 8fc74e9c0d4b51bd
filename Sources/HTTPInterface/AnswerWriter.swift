// The wire form of an answer: OpenAI's chunks and whole objects for both completion routes, with
// llama-server's `timings` on the last. Chunk order is llama-server's: role, deltas, finish_reason,
// usage. Refuses nothing: what arrives here was produced by us.

package import GenerationAPI
internal import JSON
package import NIOCore

/// A token's probability with its likeliest alternatives.
package typealias ReportedProbability = (
    chosen: TokenProbability, alternatives: [TokenProbability]
)

/// Writes one answer. Its pieces are made in order; `textOffset` counts what went before.
package struct AnswerWriter: AnswerForm {
    private let options: AnswerOptions
    /// `{"id":...,"object":...,"created":...,"model":...,`: the same in every chunk.
    private let prefix: ByteBuffer
    /// The choice that is being written.
    private var choice = 0
    /// How fast it should come: told once.
    private let expected: ExpectedSpeed?
    /// What all choices so far took.
    private var total: GenerationStatistics?
    /// Unicode scalars of the text before the next token (`text_offset` of plain completion).
    private var textOffset = 0

    /// `created` is in seconds since 1970.
    package init(
        options: AnswerOptions, identifier: String, created: Int64, model: String,
        expected: ExpectedSpeed? = nil
    ) {
        self.options = options
        self.expected = expected
        let object =
            switch (options.kind, options.streams) {
            case (.chat, true): "chat.completion.chunk"
            case (.chat, false): "chat.completion"
            case (.text, _), (.template, _), (.tokens, _), (.content, _), (.count, _),
                (.embeddings, _), (.embedding, _):
                "text_completion"
            }
        var prefix = ByteBuffer()
        prefix.writeStaticString("{\"id\":")
        prefix.writeJSON((options.kind == .chat ? "chatcmpl-" : "cmpl-") + identifier)
        prefix.writeStaticString(",\"object\":\"")
        prefix.writeString(object)
        prefix.writeStaticString("\",\"created\":")
        prefix.writeString(String(created))
        prefix.writeStaticString(",\"model\":")
        prefix.writeJSON(model)
        prefix.writeStaticString(",")
        self.prefix = prefix
    }

    mutating func begin(choice: Int) {
        self.choice = choice
        textOffset = 0
    }

    /// The text that this choice repeats before its own.
    private var echo: String? {
        let prompt = choice / options.samples
        return options.echoes.indices.contains(prompt) ? options.echoes[prompt] : nil
    }

    /// The chunk that opens a chat's stream; that of plain completion repeats the prompt, if asked.
    /// The first of all says how fast the answer should come.
    package func opening() -> ByteBuffer? {
        let told = choice == 0 ? expected : nil
        guard options.kind == .chat else {
            let text = echo ?? ""
            guard told != nil || !text.isEmpty else { return nil }
            return textChunk(text, ByteBuffer(string: "null"), told)
        }
        return chunk(after: { AnswerAccounts.write(told, into: &$0) }) { buffer in
            buffer.writeStaticString("\"delta\":{\"role\":\"assistant\",\"content\":\"\"},")
            buffer.writeStaticString("\"logprobs\":null,\"finish_reason\":null")
        }
    }

    /// A chunk that carries nothing but how far the prompt is, as llama-server writes it.
    func progress(_ progress: PromptProgress) -> ByteBuffer? {
        let isChat = options.kind == .chat
        return chunk(after: { buffer in
            buffer.writeString(",\"prompt_progress\":{\"total\":\(progress.tokens),")
            buffer.writeString("\"cache\":\(progress.cachedTokens),")
            buffer.writeString("\"processed\":\(progress.doneTokens),\"time_ms\":")
            buffer.writeJSON(milli: progress.seconds * 1000)
            buffer.writeStaticString("}")
        }) { buffer in
            buffer.writeStaticString(isChat ? "\"delta\":{}" : "\"text\":\"\"")
            buffer.writeStaticString(",\"logprobs\":null,\"finish_reason\":null")
        }
    }

    /// The chunk that carries `text`; nil when it would say nothing.
    package mutating func delta(
        _ text: String, probabilities: [ReportedProbability]
    ) -> ByteBuffer? {
        let reports = options.includesProbabilities && !probabilities.isEmpty
        guard !text.isEmpty || reports else { return nil }
        return textChunk(text, logProbabilities(reports ? probabilities : nil))
    }

    private func textChunk(
        _ text: String, _ logProbabilities: ByteBuffer, _ told: ExpectedSpeed? = nil
    ) -> ByteBuffer {
        let isChat = options.kind == .chat
        return chunk(after: { AnswerAccounts.write(told, into: &$0) }) { buffer in
            buffer.writeStaticString(isChat ? "\"delta\":{\"content\":" : "\"text\":")
            buffer.writeJSON(text)
            if isChat { buffer.writeStaticString("}") }
            buffer.writeStaticString(",\"logprobs\":")
            buffer.writeImmutableBuffer(logProbabilities)
            buffer.writeStaticString(",\"finish_reason\":null")
        }
    }

    /// The chunk that carries the finish reason and `timings`.
    mutating func closing(
        _ reason: FinishReason, _ statistics: GenerationStatistics
    ) -> ByteBuffer? {
        count(statistics)
        return end(reason, statistics)
    }

    /// Adds what a choice took. Choices of one prompt follow one another: it counts once.
    private mutating func count(_ statistics: GenerationStatistics) {
        if total == nil {
            total = statistics
        } else {
            total?.add(statistics, includesPrompt: choice % options.samples == 0)
        }
    }

    private func end(_ reason: FinishReason, _ statistics: GenerationStatistics) -> ByteBuffer {
        let isChat = options.kind == .chat
        return chunk(after: { writeAccounts(statistics, into: &$0) }) { buffer in
            buffer.writeStaticString(isChat ? "\"delta\":{}" : "\"text\":\"\"")
            buffer.writeStaticString(",\"logprobs\":null,\"finish_reason\":\"")
            buffer.writeString(reason.rawValue)
            buffer.writeStaticString("\"")
        }
    }

    /// The chunk that carries `usage` and no choice, when it was asked for.
    private var usage: ByteBuffer? {
        guard options.includesUsage, let total else { return nil }
        var buffer = Self.event()
        buffer.writeImmutableBuffer(prefix)
        buffer.writeStaticString("\"choices\":[],")
        Self.writeUsage(total, into: &buffer)
        buffer.writeStaticString("}\n\n")
        return buffer
    }

    /// The chunks that end a stream.
    mutating func ending(
        _ reason: FinishReason, _ statistics: GenerationStatistics
    ) -> ByteBuffer {
        count(statistics)
        var tail = end(reason, statistics)
        if let usage { tail.writeImmutableBuffer(usage) }
        tail.writeStaticString("data: [DONE]\n\n")
        return tail
    }

    /// A comment that keeps a silent stream alive and tells what it waits for.
    package static func comment(_ text: StaticString) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: ": ")
        buffer.writeStaticString(text)
        buffer.writeStaticString("\n\n")
        return buffer
    }

    /// The error event that ends a stream.
    package static func failure(_ failure: HTTPFailure) -> ByteBuffer {
        var buffer = event()
        buffer.writeImmutableBuffer(failure.body)
        buffer.writeStaticString("\n\n")
        return buffer
    }

    /// The whole answer as one object.
    package mutating func whole(
        _ answer: AnswerText, probabilities: [ReportedProbability], _ reason: FinishReason,
        _ statistics: GenerationStatistics
    ) -> ByteBuffer {
        whole([
            AnswerChoice(
                answer: answer, probabilities: probabilities, reason: reason,
                statistics: statistics)
        ])
    }

    mutating func whole(_ choices: [AnswerChoice]) -> ByteBuffer {
        var buffer = prefix
        buffer.writeStaticString("\"choices\":[")
        for (index, choice) in choices.enumerated() {
            begin(choice: index)
            count(choice.statistics)
            if index > 0 { buffer.writeStaticString(",") }
            write(choice, into: &buffer)
        }
        buffer.writeStaticString("],")
        let statistics = total ?? GenerationStatistics()
        Self.writeUsage(statistics, into: &buffer)
        writeAccounts(statistics, into: &buffer)
        buffer.writeStaticString("}")
        return buffer
    }

    private mutating func write(_ choice: AnswerChoice, into buffer: inout ByteBuffer) {
        let logProbabilities =
            self.logProbabilities(options.includesProbabilities ? choice.probabilities : nil)
        buffer.writeString("{\"index\":\(self.choice),")
        if options.kind == .chat {
            Self.writeMessage(choice.answer, into: &buffer)
        } else {
            buffer.writeStaticString("\"text\":")
            buffer.writeJSON((echo ?? "") + choice.answer.text)
        }
        buffer.writeStaticString(",\"logprobs\":")
        buffer.writeImmutableBuffer(logProbabilities)
        buffer.writeStaticString(",\"finish_reason\":\"")
        buffer.writeString(choice.reason.rawValue)
        buffer.writeStaticString("\"}")
    }
}

// MARK: pieces

extension AnswerWriter {
    private static func event() -> ByteBuffer { ByteBuffer(staticString: "data: ") }

    /// One chunk with one choice. With `includesUsage` every chunk but the last says `usage: null`.
    func chunk(
        after: (inout ByteBuffer) -> Void = { _ in }, write: (inout ByteBuffer) -> Void
    ) -> ByteBuffer {
        var buffer = Self.event()
        buffer.writeImmutableBuffer(prefix)
        buffer.writeString("\"choices\":[{\"index\":\(choice),")
        write(&buffer)
        buffer.writeStaticString("}]")
        if options.includesUsage { buffer.writeStaticString(",\"usage\":null") }
        after(&buffer)
        buffer.writeStaticString("}\n\n")
        return buffer
    }

    private static func writeUsage(
        _ statistics: GenerationStatistics, into buffer: inout ByteBuffer
    ) {
        let (prompt, generated) = (statistics.promptTokens, statistics.generatedTokens)
        buffer.writeStaticString("\"usage\":{\"prompt_tokens\":")
        buffer.writeString("\(prompt),\"completion_tokens\":\(generated),")
        buffer.writeString("\"total_tokens\":\(prompt + generated),")
        buffer.writeString(
            "\"prompt_tokens_details\":{\"cached_tokens\":\(statistics.cachedTokens)}}")
    }

    /// `timings`, and `sluice` when asked for, each after a comma.
    private func writeAccounts(
        _ statistics: GenerationStatistics, into buffer: inout ByteBuffer
    ) {
        AnswerAccounts.write(
            statistics, includesStatistics: options.includesStatistics,
            expected: options.streams ? nil : expected, into: &buffer)
    }
}

// MARK: log-probabilities

extension AnswerWriter {
    /// The value of `logprobs`; advances `textOffset` over the tokens reported.
    private mutating func logProbabilities(_ probabilities: [ReportedProbability]?) -> ByteBuffer {
        guard let probabilities else { return ByteBuffer(staticString: "null") }
        switch options.kind {
        case .chat, .template, .tokens, .content, .count, .embeddings, .embedding:
            return Self.chatLogProbabilities(probabilities)
        case .text: return textLogProbabilities(probabilities)
        }
    }

    private static func chatLogProbabilities(
        _ probabilities: [ReportedProbability]
    ) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "{\"content\":[")
        for (index, entry) in probabilities.enumerated() {
            if index > 0 { buffer.writeStaticString(",") }
            writeToken(entry.chosen, into: &buffer)
            buffer.writeStaticString(",\"top_logprobs\":[")
            for (place, alternative) in entry.alternatives.enumerated() {
                if place > 0 { buffer.writeStaticString(",") }
                writeToken(alternative, into: &buffer)
                buffer.writeStaticString("}")
            }
            buffer.writeStaticString("]}")
        }
        buffer.writeStaticString("],\"refusal\":null}")
        return buffer
    }

    /// An object left open for more members.
    private static func writeToken(_ token: TokenProbability, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("{\"token\":")
        buffer.writeJSON(String(decoding: token.bytes, as: UTF8.self))
        buffer.writeStaticString(",\"logprob\":")
        buffer.writeJSON(logProbability: token.logProbability)
        buffer.writeString(",\"bytes\":[\(token.bytes.map(String.init).joined(separator: ","))]")
    }

    private mutating func textLogProbabilities(
        _ probabilities: [ReportedProbability]
    ) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "{\"tokens\":[")
        Self.writeList(probabilities, into: &buffer) { $1.writeJSON(Self.name($0.chosen)) }
        buffer.writeStaticString("],\"token_logprobs\":[")
        Self.writeList(probabilities, into: &buffer) {
            $1.writeJSON(logProbability: $0.chosen.logProbability)
        }
        buffer.writeStaticString("],\"top_logprobs\":[")
        Self.writeList(probabilities, into: &buffer) { Self.writeAlternatives($0, into: &$1) }
        buffer.writeStaticString("],\"text_offset\":[")
        var offset = textOffset
        Self.writeList(probabilities, into: &buffer) { entry, buffer in
            buffer.writeString(String(offset))
            offset += String(decoding: entry.chosen.bytes, as: UTF8.self).unicodeScalars.count
        }
        textOffset = offset
        buffer.writeStaticString("]}")
        return buffer
    }

    private static func writeList(
        _ probabilities: [ReportedProbability], into buffer: inout ByteBuffer,
        _ write: (ReportedProbability, inout ByteBuffer) -> Void
    ) {
        for (index, entry) in probabilities.enumerated() {
            if index > 0 { buffer.writeStaticString(",") }
            write(entry, &buffer)
        }
    }

    /// Token name to log-probability; of tokens with one name the likeliest is kept.
    private static func writeAlternatives(
        _ entry: ReportedProbability, into buffer: inout ByteBuffer
    ) {
        var named: Set<String> = []
        buffer.writeStaticString("{")
        for alternative in entry.alternatives {
            let name = name(alternative)
            guard named.insert(name).inserted else { continue }
            if named.count > 1 { buffer.writeStaticString(",") }
            buffer.writeJSON(name)
            buffer.writeStaticString(":")
            buffer.writeJSON(logProbability: alternative.logProbability)
        }
        buffer.writeStaticString("}")
    }

    /// A token as text; one that is not whole UTF-8 by its bytes, `bytes:\xe2\x80`, as OpenAI does.
    private static func name(_ token: TokenProbability) -> String {
        if let text = String(validating: token.bytes, as: UTF8.self) { return text }
        return "bytes:"
            + token.bytes.map { byte in
                "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }.joined()
    }
}
