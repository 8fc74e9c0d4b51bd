// The messages of Anthropic's API: blocks of text, thoughts, calls and their results. A message of
// a user that has results becomes one for each of them, as templates know it.

internal import GenerationAPI
internal import JSON

/// Reads `system` and `messages`.
struct AnthropicMessages {
    /// A line that one coding agent puts before its system prompt, another one with each request:
    /// no two prompts would begin alike, and nothing of them be found again.
    private static let billingHeader = "x-anthropic-billing-header:"

    private let texts: RequestTexts
    private var conversation = ConversationMessages()

    /// Reads every message. Throws `invalidRequest` naming the block, for instance
    /// `messages[2].content[0].type`.
    ///
    /// - Parameter isAnswered: whether the model is to answer them.
    static func read(
        _ fields: RequestFields, _ texts: RequestTexts, isAnswered: Bool
    ) throws(GenerationError) -> [ChatMessage] {
        guard let value = fields["messages"] else { throw fields.error("messages", "missing") }
        guard let elements = value.array else {
            throw fields.error("messages", "expected a list, found \(value.kind)")
        }
        guard !elements.isEmpty else { throw fields.error("messages", "empty") }
        var reader = AnthropicMessages(texts: texts)
        try reader.readSystem(fields)
        for (index, element) in elements.enumerated() {
            let message = try fields.element(element, of: "messages", at: index)
            switch try message.string("role") {
            case "user": try reader.readUser(message)
            case "assistant": try reader.readAssistant(message, index: index)
            case "system":
                let text = try Self.text(message, "content", dropsHeaders: true)
                reader.conversation.append(ChatMessage(role: "system", content: text))
            case nil: throw message.error("role", "missing")
            case .some: throw message.error("role", "expected user, assistant or system")
            }
        }
        guard !isAnswered || reader.conversation.messages.last?.role != "assistant" else {
            throw fields.error(
                "messages", "the last one is an assistant's: answers are not begun for a model here"
            )
        }
        return reader.conversation.messages
    }

    private init(texts: RequestTexts) { self.texts = texts }

    private mutating func readSystem(_ fields: RequestFields) throws(GenerationError) {
        guard fields["system"] != nil else { return }
        let text = try Self.text(fields, "system", dropsHeaders: true)
        if !text.isEmpty { conversation.append(ChatMessage(role: "system", content: text)) }
    }

    private mutating func readUser(_ message: RequestFields) throws(GenerationError) {
        guard let blocks = try Self.blocks(message, "content") else {
            let text = try message.string("content") ?? ""
            conversation.append(ChatMessage(role: "user", content: text))
            return
        }
        var pieces: [String] = []
        for block in blocks {
            switch try block.string("type") {
            case "text": pieces.append(try Self.text(of: block))
            case "tool_result":
                appendUser(&pieces)
                conversation.append(try Self.result(block))
            case let type: throw Self.unknown(type, of: block, "text and tool_result are")
            }
        }
        appendUser(&pieces)
    }

    private mutating func appendUser(_ pieces: inout [String]) {
        guard !pieces.isEmpty else { return }
        conversation.append(ChatMessage(role: "user", content: ConversationMessages.joined(pieces)))
        pieces = []
    }

    /// What came of a call. Templates have no place for whether it failed: the text says it.
    private static func result(_ block: RequestFields) throws(GenerationError) -> ChatMessage {
        guard let id = try ToolFields.id(block, "tool_use_id") else {
            throw block.error("tool_use_id", "missing")
        }
        var text = block["content"] == nil ? "" : try Self.text(block, "content")
        if try block.boolean("is_error") == true { text = "Error: " + text }
        var message = ChatMessage(role: "tool", content: text)
        message.toolCallID = id
        return message
    }

    private mutating func readAssistant(
        _ message: RequestFields, index: Int
    ) throws(GenerationError) {
        guard let blocks = try Self.blocks(message, "content") else {
            let text = try message.string("content") ?? ""
            conversation.append(ChatMessage(role: "assistant", content: text))
            return
        }
        var (pieces, thoughts): ([String], [String]) = ([], [])
        var calls: [ToolCall] = []
        for (place, block) in blocks.enumerated() {
            switch try block.string("type") {
            case "text": pieces.append(try Self.text(of: block))
            case "thinking": thoughts.append(try block.string("thinking") ?? "")
            // Nobody here can read it.
            case "redacted_thinking": break
            case "tool_use":
                calls.append(try call(block, message: index, place))
                guard calls.count <= ToolFields.toolsMax else {
                    throw message.error("content", "at most \(ToolFields.toolsMax) calls")
                }
            case let type: throw Self.unknown(type, of: block, "text, thinking and tool_use are")
            }
        }
        var answer = ChatMessage(role: "assistant", content: ConversationMessages.joined(pieces))
        let reasoning = ConversationMessages.joined(thoughts)
        answer.reasoning = reasoning.isEmpty ? nil : reasoning
        answer.toolCalls = calls
        conversation.append(answer)
    }

    private func call(
        _ block: RequestFields, message: Int, _ place: Int
    ) throws(GenerationError) -> ToolCall {
        guard let id = try ToolFields.id(block, "id") else { throw block.error("id", "missing") }
        let input = block["input"] ?? .object([:])
        guard case .object = input else {
            throw block.error("input", "expected an object, found \(input.kind)")
        }
        return ToolCall(
            id: id, name: try ToolFields.name(block, bytesMax: ToolFields.idBytesMax),
            arguments: texts.arguments(input, message: message, index: place))
    }

    // MARK: blocks

    /// The blocks of a field; nil where it is one text.
    private static func blocks(
        _ fields: RequestFields, _ name: String
    ) throws(GenerationError) -> [RequestFields]? {
        switch fields[name] {
        case nil: throw fields.error(name, "missing")
        case .string: return nil
        case .array(let elements):
            var blocks: [RequestFields] = []
            blocks.reserveCapacity(elements.count)
            for (index, element) in elements.enumerated() {
                blocks.append(try fields.element(element, of: name, at: index))
            }
            return blocks
        case .some(let other):
            throw fields.error(name, "expected a string or blocks, found \(other.kind)")
        }
    }

    /// A field that is a text or blocks of text.
    private static func text(
        _ fields: RequestFields, _ name: String, dropsHeaders: Bool = false
    ) throws(GenerationError) -> String {
        var pieces: [String] = []
        if let blocks = try blocks(fields, name) {
            for block in blocks {
                let type = try block.string("type")
                guard type == "text" else { throw unknown(type, of: block, "text is") }
                pieces.append(try text(of: block))
            }
        } else {
            pieces.append(try fields.string(name) ?? "")
        }
        if dropsHeaders { pieces = pieces.map(withoutHeader) }
        return ConversationMessages.joined(pieces)
    }

    private static func withoutHeader(_ text: String) -> String {
        guard text.hasPrefix(billingHeader) else { return text }
        guard let end = text.utf8.firstIndex(of: UInt8(ascii: "\n")) else { return "" }
        return String(text[text.index(after: end)...])
    }

    private static func text(of block: RequestFields) throws(GenerationError) -> String {
        guard let text = try block.string("text") else { throw block.error("text", "missing") }
        return text
    }

    private static func unknown(
        _ type: String?, of block: RequestFields, _ known: String
    ) -> GenerationError {
        guard let type else { return block.error("type", "missing") }
        return block.error("type", "'\(type)' is not supported here: \(known)")
    }
}
