// The wire form of an answer in the Responses API: an object with a list of items (thoughts, a
// message, calls), or the typed events that such an object is told in. The events that end an item
// and a response have all of its text once more, so that it is kept.

internal import GenerationAPI
internal import JSON
internal import NIOCore

/// Writes one answer of `/v1/responses`.
struct ResponsesWriter: AnswerForm {
    private let options: AnswerOptions
    private let head: AnswerHead
    /// The number of the next event.
    private var sequence = 0
    private var items: [ResponsesItem] = []
    /// Whether the last item is not ended.
    private var isOpen = false
    private(set) var keptBytes = 0

    init(options: AnswerOptions, head: AnswerHead) {
        self.options = options
        self.head = head
    }

    mutating func opening() -> ByteBuffer? {
        var buffer = ByteBuffer()
        for name in ["response.created", "response.in_progress"] as [StaticString] {
            event(name, into: &buffer) { writer, buffer in
                buffer.writeStaticString(",\"response\":")
                writer.writeResponse(.inProgress, into: &buffer)
            }
        }
        return buffer
    }

    mutating func delta(
        _ text: String, probabilities: [ReportedProbability]
    ) -> ByteBuffer? {
        guard !text.isEmpty else { return nil }
        var buffer = ByteBuffer()
        if current != .message { begin(.message, into: &buffer) }
        keep(text)
        itemEvent("response.output_text.delta", into: &buffer) { _, buffer in
            buffer.writeStaticString(",\"content_index\":0,\"logprobs\":[],\"delta\":")
            buffer.writeJSON(text)
        }
        return buffer
    }

    mutating func reasoning(_ text: String) -> ByteBuffer? {
        guard !text.isEmpty else { return nil }
        var buffer = ByteBuffer()
        if current != .reasoning { begin(.reasoning, into: &buffer) }
        keep(text)
        itemEvent("response.reasoning_text.delta", into: &buffer) { _, buffer in
            buffer.writeStaticString(",\"content_index\":0,\"delta\":")
            buffer.writeJSON(text)
        }
        return buffer
    }

    mutating func toolCall(_ event: ToolCallEvent) -> ByteBuffer? {
        var buffer = ByteBuffer()
        switch event {
        case .began(_, let id, let name):
            begin(.call(id: id, name: name), into: &buffer)
            keptBytes += id.utf8.count + name.utf8.count
        case .arguments(_, let text):
            guard isOpen, !text.isEmpty else { return nil }
            keep(text)
            itemEvent("response.function_call_arguments.delta", into: &buffer) { _, buffer in
                buffer.writeStaticString(",\"delta\":")
                buffer.writeJSON(text)
            }
        case .ended: end(isComplete: true, into: &buffer)
        }
        return buffer
    }

    mutating func ending(
        _ reason: FinishReason, _ statistics: GenerationStatistics
    ) -> ByteBuffer {
        var buffer = ByteBuffer()
        end(isComplete: reason != .length, into: &buffer)
        let state = State.ended(reason, statistics)
        event(
            reason == .length ? "response.incomplete" : "response.completed", into: &buffer
        ) { writer, buffer in
            buffer.writeStaticString(",\"response\":")
            writer.writeResponse(state, into: &buffer)
        }
        return buffer
    }

    mutating func failing(_ failure: HTTPFailure) -> ByteBuffer? {
        var buffer = ByteBuffer()
        event("response.failed", into: &buffer) { writer, buffer in
            buffer.writeStaticString(",\"response\":")
            writer.writeResponse(.failed(failure), into: &buffer)
        }
        return buffer
    }

    mutating func whole(
        _ answer: AnswerText, probabilities: [ReportedProbability], _ reason: FinishReason,
        _ statistics: GenerationStatistics
    ) -> ByteBuffer {
        if !answer.reasoning.isEmpty { add(.reasoning, answer.reasoning) }
        if !answer.text.isEmpty || answer.calls.isEmpty { add(.message, answer.text) }
        for call in answer.calls { add(.call(id: call.id, name: call.name), call.arguments) }
        if reason == .length, let last = items.indices.last { items[last].status = .incomplete }
        var buffer = ByteBuffer()
        writeResponse(.ended(reason, statistics), into: &buffer)
        return buffer
    }

    private mutating func add(_ kind: ResponsesItem.Kind, _ text: String) {
        items.append(
            ResponsesItem(kind: kind, id: id(of: kind), status: .completed, text: text))
    }
}

// MARK: items

extension ResponsesWriter {
    /// The kind of the item that is being told.
    private var current: ResponsesItem.Kind? { isOpen ? items.last?.kind : nil }

    private func id(of kind: ResponsesItem.Kind) -> String {
        "\(kind.prefix)_\(head.identifier)_\(items.count)"
    }

    private mutating func keep(_ text: String) {
        guard let last = items.indices.last else { return }
        items[last].text += text
        keptBytes += text.utf8.count
    }

    private mutating func begin(_ kind: ResponsesItem.Kind, into buffer: inout ByteBuffer) {
        end(isComplete: true, into: &buffer)
        items.append(
            ResponsesItem(kind: kind, id: id(of: kind), status: .inProgress, text: ""))
        isOpen = true
        // An item, its identifiers and its places in lists.
        keptBytes += 256
        writeItem("response.output_item.added", into: &buffer)
        if kind.hasParts { writePart("response.content_part.added", into: &buffer) }
    }

    /// Ends the item that is being told.
    private mutating func end(isComplete: Bool, into buffer: inout ByteBuffer) {
        guard isOpen, let item = items.last else { return }
        itemEvent(item.kind.doneEvent, into: &buffer) { _, buffer in
            if item.kind.hasParts {
                buffer.writeStaticString(",\"content_index\":0")
            } else {
                buffer.writeStaticString(",\"arguments\":")
                buffer.writeJSON(item.text)
            }
            if item.kind == .message { buffer.writeStaticString(",\"logprobs\":[]") }
            guard item.kind.hasParts else { return }
            buffer.writeStaticString(",\"text\":")
            buffer.writeJSON(item.text)
        }
        if item.kind.hasParts { writePart("response.content_part.done", into: &buffer) }
        items[items.count - 1].status = isComplete ? .completed : .incomplete
        writeItem("response.output_item.done", into: &buffer)
        isOpen = false
    }

    private mutating func writeItem(_ name: StaticString, into buffer: inout ByteBuffer) {
        event(name, into: &buffer) { writer, buffer in
            buffer.writeString(",\"output_index\":\(writer.items.count - 1),\"item\":")
            writer.items.last?.write(into: &buffer)
        }
    }

    private mutating func writePart(_ name: StaticString, into buffer: inout ByteBuffer) {
        itemEvent(name, into: &buffer) { writer, buffer in
            buffer.writeStaticString(",\"content_index\":0,\"part\":")
            writer.items.last?.writePart(into: &buffer)
        }
    }

    /// An event about the item that is being told.
    private mutating func itemEvent(
        _ name: StaticString, into buffer: inout ByteBuffer,
        members: (Self, inout ByteBuffer) -> Void
    ) {
        event(name, into: &buffer) { writer, buffer in
            buffer.writeString(",\"output_index\":\(writer.items.count - 1),\"item_id\":")
            buffer.writeJSON(writer.items.last?.id)
            members(writer, &buffer)
        }
    }

    private mutating func event(
        _ name: StaticString, into buffer: inout ByteBuffer,
        members: (Self, inout ByteBuffer) -> Void
    ) {
        let writer = self
        buffer.writeEvent(name) { buffer in
            buffer.writeString(",\"sequence_number\":\(writer.sequence)")
            members(writer, &buffer)
        }
        sequence += 1
    }
}

// MARK: responses

extension ResponsesWriter {
    private enum State {
        case inProgress
        case ended(FinishReason, GenerationStatistics)
        case failed(HTTPFailure)
    }

    private func writeResponse(_ state: State, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("{\"id\":")
        buffer.writeJSON("resp_" + head.identifier)
        buffer.writeString(",\"object\":\"response\",\"created_at\":\(head.created),\"model\":")
        buffer.writeJSON(options.modelName ?? head.model)
        buffer.writeStaticString(",\"background\":false,\"error\":")
        if case .failed(let failure) = state {
            buffer.writeStaticString("{\"code\":")
            buffer.writeJSON(failure.code ?? failure.type)
            buffer.writeStaticString(",\"message\":")
            buffer.writeJSON(failure.message)
            buffer.writeStaticString("}")
        } else {
            buffer.writeStaticString("null")
        }
        buffer.writeStaticString(",\"incomplete_details\":")
        let status: StaticString
        switch state {
        case .inProgress: status = "in_progress"
        case .failed: status = "failed"
        case .ended(let reason, _): status = reason == .length ? "incomplete" : "completed"
        }
        if case .ended(.length, _) = state {
            buffer.writeStaticString("{\"reason\":\"max_output_tokens\"}")
        } else {
            buffer.writeStaticString("null")
        }
        buffer.writeString(",\"status\":\"\(status)\",\"output\":[")
        for (index, item) in items.enumerated() {
            if index > 0 { buffer.writeStaticString(",") }
            item.write(into: &buffer)
        }
        buffer.writeStaticString("],")
        buffer.writeString(options.repeated)
        guard case .ended(_, let statistics) = state else {
            buffer.writeStaticString(",\"usage\":null")
            AnswerAccounts.write(head.expected, into: &buffer)
            buffer.writeStaticString("}")
            return
        }
        Self.writeUsage(statistics, into: &buffer)
        AnswerAccounts.write(
            statistics, includesStatistics: options.includesStatistics, expected: head.expected,
            into: &buffer)
        buffer.writeStaticString("}")
    }

    /// The member `usage`, after a comma. Tokens of thoughts are not counted apart.
    private static func writeUsage(
        _ statistics: GenerationStatistics, into buffer: inout ByteBuffer
    ) {
        let (prompt, generated) = (statistics.promptTokens, statistics.generatedTokens)
        buffer.writeString(",\"usage\":{\"input_tokens\":\(prompt),\"input_tokens_details\":{")
        buffer.writeString("\"cached_tokens\":\(statistics.cachedTokens),")
        buffer.writeString("\"cache_write_tokens\":0},\"output_tokens\":\(generated),")
        buffer.writeString("\"output_tokens_details\":{\"reasoning_tokens\":0},")
        buffer.writeString("\"total_tokens\":\(prompt + generated)}")
    }
}
