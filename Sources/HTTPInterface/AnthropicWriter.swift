// The wire form of an answer in Anthropic's dialect: a message of blocks (thoughts, text, calls of
// tools), or the named events that such a message is told in.

internal import GenerationAPI
internal import JSON
internal import NIOCore

/// Writes one answer of `/v1/messages`.
struct AnthropicWriter: AnswerForm {
    private enum Block { case text, thinking, call }

    private let options: AnswerOptions
    private let head: AnswerHead
    /// The block that is being told.
    private var open: Block?
    /// Blocks that have begun.
    private var blockCount = 0

    init(options: AnswerOptions, head: AnswerHead) {
        self.options = options
        self.head = head
    }

    func opening() -> ByteBuffer? {
        var buffer = ByteBuffer()
        // How much of the prompt was found again is not known yet: the last event says it.
        var statistics = GenerationStatistics()
        statistics.promptTokens = head.promptTokens
        buffer.writeEvent("message_start") { buffer in
            buffer.writeStaticString(",\"message\":{")
            writeHead(into: &buffer)
            buffer.writeStaticString(
                ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,")
            Self.writeUsage(statistics, into: &buffer)
            AnswerAccounts.write(head.expected, into: &buffer)
            buffer.writeStaticString("}")
        }
        return buffer
    }

    mutating func delta(
        _ text: String, probabilities: [ReportedProbability]
    ) -> ByteBuffer? {
        guard !text.isEmpty else { return nil }
        var buffer = ByteBuffer()
        begin(.text, into: &buffer)
        writeDelta("text_delta", "text", text, into: &buffer)
        return buffer
    }

    mutating func reasoning(_ text: String) -> ByteBuffer? {
        guard !text.isEmpty else { return nil }
        var buffer = ByteBuffer()
        begin(.thinking, into: &buffer)
        writeDelta("thinking_delta", "thinking", text, into: &buffer)
        return buffer
    }

    mutating func toolCall(_ event: ToolCallEvent) -> ByteBuffer? {
        var buffer = ByteBuffer()
        switch event {
        case .began(_, let id, let name):
            end(into: &buffer)
            begin(.call, into: &buffer) { buffer in
                buffer.writeStaticString("\"tool_use\",\"id\":")
                buffer.writeJSON(id)
                buffer.writeStaticString(",\"name\":")
                buffer.writeJSON(name)
                buffer.writeStaticString(",\"input\":{}")
            }
        case .arguments(_, let text):
            guard open == .call, !text.isEmpty else { return nil }
            writeDelta("input_json_delta", "partial_json", text, into: &buffer)
        case .ended:
            guard open == .call else { return nil }
            end(into: &buffer)
        }
        return buffer
    }

    mutating func ending(
        _ reason: FinishReason, _ statistics: GenerationStatistics
    ) -> ByteBuffer {
        var buffer = ByteBuffer()
        // Clients look at the first block without asking whether there is one.
        if blockCount == 0 { begin(.text, into: &buffer) }
        end(into: &buffer)
        buffer.writeEvent("message_delta") { buffer in
            buffer.writeStaticString(",\"delta\":{")
            Self.writeReason(reason, statistics, into: &buffer)
            buffer.writeStaticString("},")
            Self.writeUsage(statistics, into: &buffer)
            writeAccounts(statistics, into: &buffer)
        }
        buffer.writeEvent("message_stop") { _ in }
        return buffer
    }

    func whole(
        _ answer: AnswerText, probabilities: [ReportedProbability], _ reason: FinishReason,
        _ statistics: GenerationStatistics
    ) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "{")
        writeHead(into: &buffer)
        buffer.writeStaticString(",\"content\":[")
        let calls = answer.calls.compactMap { call in
            call.argumentsObject.map { (call: call, arguments: $0) }
        }
        if !answer.reasoning.isEmpty {
            buffer.writeStaticString("{\"type\":\"thinking\",\"thinking\":")
            buffer.writeJSON(answer.reasoning)
            buffer.writeStaticString(",\"signature\":\"\"}")
        }
        if !answer.text.isEmpty || calls.isEmpty {
            if !answer.reasoning.isEmpty { buffer.writeStaticString(",") }
            buffer.writeStaticString("{\"type\":\"text\",\"text\":")
            buffer.writeJSON(answer.text)
            buffer.writeStaticString("}")
        }
        for (place, call) in calls.enumerated() {
            if place > 0 || !answer.text.isEmpty || !answer.reasoning.isEmpty {
                buffer.writeStaticString(",")
            }
            buffer.writeStaticString("{\"type\":\"tool_use\",\"id\":")
            buffer.writeJSON(call.call.id)
            buffer.writeStaticString(",\"name\":")
            buffer.writeJSON(call.call.name)
            buffer.writeStaticString(",\"input\":")
            buffer.writeBytes(call.arguments)
            buffer.writeStaticString("}")
        }
        buffer.writeStaticString("],")
        // Calls that are none are left out, and then nothing is to be done.
        let isToBeDone = reason != .toolCalls || !calls.isEmpty
        Self.writeReason(isToBeDone ? reason : .stop, statistics, into: &buffer)
        buffer.writeStaticString(",")
        Self.writeUsage(statistics, into: &buffer)
        writeAccounts(statistics, into: &buffer)
        buffer.writeStaticString("}")
        return buffer
    }
}

// MARK: pieces

extension AnthropicWriter {
    /// A message's first members.
    private func writeHead(into buffer: inout ByteBuffer) {
        buffer.writeStaticString("\"id\":")
        buffer.writeJSON("msg_" + head.identifier)
        buffer.writeStaticString(",\"type\":\"message\",\"role\":\"assistant\",\"model\":")
        buffer.writeJSON(options.modelName ?? head.model)
    }

    /// Begins a block, unless one of its kind is open.
    private mutating func begin(_ block: Block, into buffer: inout ByteBuffer) {
        guard open != block else { return }
        end(into: &buffer)
        begin(block, into: &buffer) { buffer in
            buffer.writeStaticString(
                block == .text
                    ? "\"text\",\"text\":\"\"" : "\"thinking\",\"thinking\":\"\",\"signature\":\"\""
            )
        }
    }

    private mutating func begin(
        _ block: Block, into buffer: inout ByteBuffer, content: (inout ByteBuffer) -> Void
    ) {
        open = block
        buffer.writeEvent("content_block_start") { buffer in
            buffer.writeString(",\"index\":\(blockCount),\"content_block\":{\"type\":")
            content(&buffer)
            buffer.writeStaticString("}")
        }
        blockCount += 1
    }

    /// Ends the block that is open.
    private mutating func end(into buffer: inout ByteBuffer) {
        guard let block = open else { return }
        // Nothing is signed here, and clients keep what they get.
        if block == .thinking { writeDelta("signature_delta", "signature", "", into: &buffer) }
        open = nil
        buffer.writeEvent("content_block_stop") { buffer in
            buffer.writeString(",\"index\":\(blockCount - 1)")
        }
    }

    private func writeDelta(
        _ type: StaticString, _ member: StaticString, _ text: String, into buffer: inout ByteBuffer
    ) {
        buffer.writeEvent("content_block_delta") { buffer in
            buffer.writeString(",\"index\":\(blockCount - 1),\"delta\":{\"type\":\"\(type)\",")
            buffer.writeString("\"\(member)\":")
            buffer.writeJSON(text)
            buffer.writeStaticString("}")
        }
    }

    private static func writeReason(
        _ reason: FinishReason, _ statistics: GenerationStatistics, into buffer: inout ByteBuffer
    ) {
        let stopString = reason == .stop ? statistics.stopString : nil
        let name: StaticString =
            switch reason {
            case .length: "max_tokens"
            case .toolCalls: "tool_use"
            case .stop: stopString == nil ? "end_turn" : "stop_sequence"
            }
        buffer.writeString("\"stop_reason\":\"\(name)\",\"stop_sequence\":")
        buffer.writeJSON(stopString)
    }

    /// What was found again is not among `input_tokens`.
    private static func writeUsage(
        _ statistics: GenerationStatistics, into buffer: inout ByteBuffer
    ) {
        let cached = statistics.cachedTokens
        buffer.writeString("\"usage\":{\"input_tokens\":\(statistics.promptTokens - cached),")
        buffer.writeString("\"cache_creation_input_tokens\":0,")
        buffer.writeString("\"cache_read_input_tokens\":\(cached),")
        buffer.writeString("\"output_tokens\":\(statistics.generatedTokens)}")
    }

    private func writeAccounts(
        _ statistics: GenerationStatistics, into buffer: inout ByteBuffer
    ) {
        AnswerAccounts.write(
            statistics, includesStatistics: options.includesStatistics,
            expected: options.streams ? nil : head.expected, into: &buffer)
    }
}
