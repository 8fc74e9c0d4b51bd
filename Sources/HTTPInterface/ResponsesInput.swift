// What a response is to: `instructions` and `input`, a text or a list of items. An assistant's
// thoughts, words and calls are items of their own there, and one message for templates.

internal import GenerationAPI
internal import JSON

/// Reads them.
struct ResponsesInput {
    private var conversation = ConversationMessages()

    /// Throws `invalidRequest` naming the item, for instance `input[2].content[0].type`.
    static func read(_ fields: RequestFields) throws(GenerationError) -> [ChatMessage] {
        var reader = ResponsesInput()
        if let instructions = try fields.string("instructions"), !instructions.isEmpty {
            reader.conversation.append(ChatMessage(role: "system", content: instructions))
        }
        switch fields["input"] {
        case nil: throw fields.error("input", "missing")
        case .string(let text):
            reader.conversation.append(ChatMessage(role: "user", content: text))
        case .array(let items):
            guard !items.isEmpty else { throw fields.error("input", "empty") }
            for (index, item) in items.enumerated() {
                try reader.read(try fields.element(item, of: "input", at: index))
            }
        case .some(let other):
            throw fields.error("input", "expected a string or a list, found \(other.kind)")
        }
        return reader.conversation.messages
    }

    private mutating func read(_ item: RequestFields) throws(GenerationError) {
        switch try item.string("type") ?? "message" {
        case "message": try readMessage(item)
        case "function_call": try readCall(item)
        case "function_call_output": try readResult(item)
        case "reasoning":
            var thoughts = ChatMessage(role: "assistant", content: "")
            thoughts.reasoning = try Self.thoughts(item)
            if thoughts.reasoning != nil { conversation.append(thoughts) }
        case let type:
            throw item.error(
                "type",
                "'\(type)' is not supported here: message, function_call, function_call_output and"
                    + " reasoning are")
        }
    }

    private mutating func readMessage(_ item: RequestFields) throws(GenerationError) {
        guard let role = try item.string("role") else { throw item.error("role", "missing") }
        guard ["user", "assistant", "system", "developer"].contains(role) else {
            throw item.error("role", "expected user, assistant, system or developer")
        }
        guard let text = try Self.text(item, "content", ["input_text", "output_text", "text"])
        else { throw item.error("content", "missing") }
        conversation.append(
            ChatMessage(role: role == "developer" ? "system" : role, content: text))
    }

    private mutating func readCall(_ item: RequestFields) throws(GenerationError) {
        guard let id = try ToolFields.id(item, "call_id") else {
            throw item.error("call_id", "missing")
        }
        var message = ChatMessage(role: "assistant", content: "")
        message.toolCalls = [
            ToolCall(
                id: id, name: try ToolFields.name(item, bytesMax: ToolFields.idBytesMax),
                arguments: try item.string("arguments") ?? "{}")
        ]
        conversation.append(message)
        guard conversation.messages.last?.toolCalls.count ?? 0 <= ToolFields.toolsMax else {
            throw item.error("type", "at most \(ToolFields.toolsMax) calls of one message")
        }
    }

    private mutating func readResult(_ item: RequestFields) throws(GenerationError) {
        guard let id = try ToolFields.id(item, "call_id") else {
            throw item.error("call_id", "missing")
        }
        guard let text = try Self.text(item, "output", ["input_text", "output_text"]) else {
            throw item.error("output", "missing")
        }
        var message = ChatMessage(role: "tool", content: text)
        message.toolCallID = id
        conversation.append(message)
    }

    /// The text of thoughts; what is encrypted nobody here can read, and summaries are not what was
    /// thought.
    private static func thoughts(_ item: RequestFields) throws(GenerationError) -> String? {
        let text = try text(item, "content", ["reasoning_text", "text"])
        return text.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// A field that is a text, or a list of parts of these types; nil where there is none.
    private static func text(
        _ item: RequestFields, _ name: String, _ types: [String]
    ) throws(GenerationError) -> String? {
        switch item[name] {
        case nil: return nil
        case .string(let text): return text
        case .array(let parts):
            var pieces: [String] = []
            for (index, part) in parts.enumerated() {
                let part = try item.element(part, of: name, at: index)
                guard let type = try part.string("type") else {
                    throw part.error("type", "missing")
                }
                guard types.contains(type) else {
                    let known = types.joined(separator: ", ")
                    throw part.error("type", "'\(type)' is not supported here: \(known)")
                }
                guard let text = try part.string("text") else {
                    throw part.error("text", "missing")
                }
                pieces.append(text)
            }
            return ConversationMessages.joined(pieces)
        case .some(let other):
            throw item.error(name, "expected a string or parts, found \(other.kind)")
        }
    }
}
