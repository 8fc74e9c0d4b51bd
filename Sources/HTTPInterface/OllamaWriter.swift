// The wire form of an answer in Ollama's dialect: a JSON object on a line for each piece, or one
// for all, the last with what it took. A call of a tool is written when its arguments are whole:
// there they are an object.

internal import GenerationAPI
internal import JSON
internal import NIOCore

/// Writes one answer of `/api/chat` (a message) or `/api/generate` (a response).
struct OllamaWriter: AnswerForm {
    private let isChat: Bool
    private let unloads: Bool
    /// `{"model":...,"created_at":...,`: the same in every object.
    private let prefix: ByteBuffer
    /// The call that is being told.
    private var call: ToolCall?
    /// How fast it should come, until the first object has told it.
    private var untold: ExpectedSpeed?

    init(options: AnswerOptions, head: AnswerHead) {
        isChat = options.kind == .chat
        unloads = options.unloads
        var prefix = ByteBuffer(staticString: "{\"model\":")
        prefix.writeJSON(options.modelName ?? head.model)
        prefix.writeStaticString(",\"created_at\":\"")
        prefix.writeString(Timestamp.text(secondsSince1970: head.created))
        prefix.writeStaticString("\",")
        self.prefix = prefix
        untold = head.expected
    }

    var keptBytes: Int { call?.arguments.utf8.count ?? 0 }

    func opening() -> ByteBuffer? { nil }

    mutating func delta(_ text: String, probabilities: [ReportedProbability]) -> ByteBuffer? {
        text.isEmpty ? nil : line(AnswerText(text: text))
    }

    mutating func reasoning(_ text: String) -> ByteBuffer? {
        guard !text.isEmpty else { return nil }
        var answer = AnswerText()
        answer.reasoning = text
        return line(answer)
    }

    mutating func toolCall(_ event: ToolCallEvent) -> ByteBuffer? {
        switch event {
        case .began(_, let id, let name):
            call = ToolCall(id: id, name: name, arguments: "")
            return nil
        case .arguments(_, let text):
            call?.arguments += text
            return nil
        case .ended(let index):
            guard let whole = call else { return nil }
            call = nil
            guard let written = Self.written(whole, index: index) else { return nil }
            return line(AnswerText(), calls: [written])
        }
    }

    mutating func ending(
        _ reason: FinishReason, _ statistics: GenerationStatistics
    ) -> ByteBuffer {
        var buffer = prefix
        write(AnswerText(), into: &buffer)
        tell(into: &buffer)
        Self.writeEnd(Self.name(reason), statistics, into: &buffer)
        buffer.writeStaticString("\n")
        return buffer
    }

    mutating func whole(
        _ answer: AnswerText, probabilities: [ReportedProbability], _ reason: FinishReason,
        _ statistics: GenerationStatistics
    ) -> ByteBuffer {
        var buffer = prefix
        let calls = answer.calls.enumerated().compactMap { Self.written($1, index: $0) }
        write(answer, calls: calls, into: &buffer)
        tell(into: &buffer)
        // Without a prompt, the model is loaded and nothing else.
        let name = unloads ? "unload" : answer.tokens == nil ? Self.name(reason) : "load"
        Self.writeEnd(name, statistics, into: &buffer)
        return buffer
    }
}

// MARK: pieces

extension OllamaWriter {
    private mutating func line(_ answer: AnswerText, calls: [ByteBuffer] = []) -> ByteBuffer {
        var buffer = prefix
        write(answer, calls: calls, into: &buffer)
        tell(into: &buffer)
        buffer.writeStaticString(",\"done\":false}\n")
        return buffer
    }

    /// The member `sluice`, once.
    private mutating func tell(into buffer: inout ByteBuffer) {
        AnswerAccounts.write(untold, into: &buffer)
        untold = nil
    }

    /// The member `message`, or `response` and what goes with it.
    private func write(
        _ answer: AnswerText, calls: [ByteBuffer] = [], into buffer: inout ByteBuffer
    ) {
        buffer.writeStaticString(
            isChat ? "\"message\":{\"role\":\"assistant\",\"content\":" : "\"response\":")
        buffer.writeJSON(answer.text)
        if !answer.reasoning.isEmpty {
            buffer.writeStaticString(",\"thinking\":")
            buffer.writeJSON(answer.reasoning)
        }
        for (index, call) in calls.enumerated() {
            buffer.writeStaticString(index == 0 ? ",\"tool_calls\":[" : ",")
            buffer.writeImmutableBuffer(call)
        }
        if !calls.isEmpty { buffer.writeStaticString("]") }
        if isChat { buffer.writeStaticString("}") }
    }

    /// A call; nil where its arguments are no object, as of one that was cut off.
    private static func written(_ call: ToolCall, index: Int) -> ByteBuffer? {
        guard let arguments = call.argumentsObject else { return nil }
        var buffer = ByteBuffer(staticString: "{\"id\":")
        buffer.writeJSON(call.id)
        buffer.writeString(",\"function\":{\"index\":\(index),\"name\":")
        buffer.writeJSON(call.name)
        buffer.writeStaticString(",\"arguments\":")
        buffer.writeBytes(arguments)
        buffer.writeStaticString("}}")
        return buffer
    }

    private static func name(_ reason: FinishReason) -> String {
        reason == .length ? "length" : "stop"
    }

    /// The members after an answer's last, and the object's end. Durations are nanoseconds.
    private static func writeEnd(
        _ reason: String, _ statistics: GenerationStatistics, into buffer: inout ByteBuffer
    ) {
        let loading = nanoseconds(statistics.queueSeconds)
        let prompt = nanoseconds(statistics.promptSeconds)
        let answer = nanoseconds(statistics.generateSeconds)
        buffer.writeString(",\"done\":true,\"done_reason\":\"\(reason)\"")
        buffer.writeString(",\"total_duration\":\(loading + prompt + answer)")
        buffer.writeString(",\"load_duration\":\(loading)")
        buffer.writeString(",\"prompt_eval_count\":\(statistics.promptTokens)")
        buffer.writeString(",\"prompt_eval_duration\":\(prompt)")
        buffer.writeString(",\"eval_count\":\(statistics.generatedTokens)")
        buffer.writeString(",\"eval_duration\":\(answer)}")
    }

    /// At most a year, so that sums are numbers, and never less than nothing.
    static func nanoseconds(_ seconds: Double) -> Int64 {
        seconds > 0 ? Int64(min(seconds, 86400 * 365) * 1e9) : 0
    }
}
