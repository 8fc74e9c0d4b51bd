// The messages of Ollama's `/api/chat`: arguments of calls are objects, and calls need no ids.

internal import GenerationAPI
internal import JSON

enum OllamaMessages {
    /// Reads every message; none where there is no field. Throws `invalidRequest` naming the
    /// message, for instance `messages[2].content`.
    static func read(
        _ fields: RequestFields, _ texts: RequestTexts
    ) throws(GenerationError) -> [ChatMessage] {
        guard let value = fields["messages"] else { return [] }
        guard let elements = value.array else {
            throw fields.error("messages", "expected a list, found \(value.kind)")
        }
        var calls = OpenCalls()
        var messages: [ChatMessage] = []
        for (index, element) in elements.enumerated() {
            let message = try RequestFields(element, prefix: "messages[\(index)].")
            var read = try read(message: message, &calls)
            if read.role == "assistant" {
                read.toolCalls = try ToolFields.calls(message) {
                    function, place throws(GenerationError) in
                    try arguments(function, texts, message: index, place)
                }.map { calls.opened($0) }
            }
            messages.append(read)
        }
        return messages
    }

    private static func read(
        message: RequestFields, _ calls: inout OpenCalls
    ) throws(GenerationError) -> ChatMessage {
        try UnsupportedFields.refuse([("images", .empty)], in: message)
        guard let role = try message.string("role") else { throw message.error("role", "missing") }
        guard ["system", "user", "assistant", "tool"].contains(role) else {
            throw message.error("role", "expected system, user, assistant or tool")
        }
        if role != "assistant", let calls = message["tool_calls"], calls != .array([]) {
            throw message.error("tool_calls", "only an assistant's message has them")
        }
        var read = ChatMessage(role: role, content: try message.string("content") ?? "")
        switch role {
        case "assistant":
            read.reasoning = try message.string("thinking").flatMap { $0.isEmpty ? nil : $0 }
        case "tool":
            read.name = try ToolFields.id(message, "tool_name")
            read.toolCallID = calls.close(
                id: try ToolFields.id(message, "tool_call_id"), name: read.name)
        default: break
        }
        return read
    }

    /// A call's arguments: an object.
    private static func arguments(
        _ function: RequestFields, _ texts: RequestTexts, message: Int, _ place: Int
    ) throws(GenerationError) -> String {
        guard let value = function["arguments"] else { return "{}" }
        guard case .object = value else {
            throw function.error("arguments", "expected an object, found \(value.kind)")
        }
        return texts.arguments(value, message: message, index: place)
    }

    /// Calls that no message has answered yet. Those without an id get one, in nine letters and
    /// digits, which is what the strictest templates take.
    private struct OpenCalls {
        private var open: [(id: String, name: String)] = []
        private var count = 0

        mutating func opened(_ call: ToolCall) -> ToolCall {
            var call = call
            if call.id.isEmpty {
                let digits = "\(count)"
                call.id = "call" + String(repeating: "0", count: max(0, 5 - digits.count)) + digits
            }
            count += 1
            open.append((call.id, call.name))
            return call
        }

        /// The id of the call that a message answers: the one that it says, or the first that is
        /// open of that name, or at all.
        mutating func close(id: String?, name: String?) -> String? {
            let place =
                open.firstIndex { id == nil ? $0.name == name : $0.id == id }
                ?? (id == nil ? open.indices.first : nil)
            guard let place else { return id }
            return open.remove(at: place).id
        }
    }
}
