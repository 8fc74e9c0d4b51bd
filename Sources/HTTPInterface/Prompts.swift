// What to continue: a chat's messages or a plain prompt, from their several wire forms.

internal import GenerationAPI
internal import JSON
internal import ModelFormat

/// The field `messages`.
enum ChatMessages {
    /// Reads every message. Roles `developer` and `system` are one. Throws `invalidRequest` naming
    /// the message, for instance `messages[2].content`.
    static func read(_ fields: RequestFields) throws(GenerationError) -> [ChatMessage] {
        guard let value = fields["messages"] else {
            throw fields.error("messages", "missing")
        }
        guard let elements = value.array else {
            throw fields.error("messages", "expected a list, found \(value.kind)")
        }
        guard !elements.isEmpty else { throw fields.error("messages", "empty") }
        var messages: [ChatMessage] = []
        for (index, element) in elements.enumerated() {
            let message = try RequestFields(element, prefix: "messages[\(index)].")
            messages.append(try read(message: message, index: index))
        }
        return messages
    }

    private static func read(
        message: RequestFields, index: Int
    ) throws(GenerationError) -> ChatMessage {
        guard let role = try message.string("role") else { throw message.error("role", "missing") }
        for name in ["function_call", "audio"] where message[name] != nil {
            throw message.error(name, "not supported here")
        }
        if role != "assistant", let calls = message["tool_calls"], calls != .array([]) {
            throw message.error("tool_calls", "only an assistant's message has them")
        }
        switch role {
        case "system", "developer":
            return ChatMessage(role: "system", content: try content(message, index: index))
        case "user":
            return ChatMessage(role: role, content: try content(message, index: index))
        case "assistant": return try answer(message, index: index)
        case "tool":
            var result = ChatMessage(role: role, content: try content(message, index: index))
            guard let id = try ToolFields.id(message, "tool_call_id") else {
                throw message.error("tool_call_id", "missing")
            }
            result.toolCallID = id
            result.name = try ToolFields.id(message, "name")
            return result
        case "function": throw message.error("role", "not supported here; 'tool' is")
        default:
            throw message.error("role", "expected system, developer, user, assistant or tool")
        }
    }

    private static func answer(
        _ message: RequestFields, index: Int
    ) throws(GenerationError) -> ChatMessage {
        // OpenAI's own answers have no content where the model said nothing, or called tools.
        let text = message["content"] == nil ? "" : try content(message, index: index)
        var answer = ChatMessage(role: "assistant", content: text)
        answer.reasoning = try message.string("reasoning_content").flatMap {
            $0.isEmpty ? nil : $0
        }
        answer.toolCalls = try ToolFields.calls(message)
        return answer
    }

    private static func content(
        _ message: RequestFields, index: Int
    ) throws(GenerationError) -> String {
        switch message["content"] {
        case .string(let text): return text
        case .array(let parts):
            var pieces: [String] = []
            for (place, part) in parts.enumerated() {
                let fields = try RequestFields(
                    part, prefix: "messages[\(index)].content[\(place)].")
                guard try fields.string("type") == "text" else {
                    throw fields.error("type", "only text parts are supported here")
                }
                guard let piece = try fields.string("text") else {
                    throw fields.error("text", "missing")
                }
                pieces.append(piece)
            }
            // One part, the usual number, is not copied.
            guard pieces.count != 1 else { return pieces[0] }
            var text = ""
            text.reserveCapacity(pieces.reduce(0) { $0 + $1.utf8.count })
            for piece in pieces { text += piece }
            return text
        case nil: throw message.error("content", "missing")
        case .some(let other):
            throw message.error("content", "expected a string or text parts, found \(other.kind)")
        }
    }
}

/// The field `prompt`: a text, a list of token numbers, or a list of either.
enum TextPrompt {
    /// At least one.
    ///
    /// - Parameters:
    ///   - name: the field's.
    ///   - countMax: as many as there may be.
    static func read(
        _ fields: RequestFields, name: String = "prompt",
        countMax: Int = CompletionRequest.choicesMax
    ) throws(GenerationError) -> [GenerationOrder.Prompt] {
        switch fields[name] {
        case nil: throw fields.error(name, "missing")
        case .string(let text): return [.text(text)]
        case .array(let elements):
            guard let first = elements.first else { throw fields.error(name, "empty") }
            guard first.string != nil || first.array != nil else {
                return [.tokens(try read(promptTokens: elements, name, fields))]
            }
            guard elements.count <= countMax else {
                throw fields.error(name, "at most \(countMax)")
            }
            var prompts: [GenerationOrder.Prompt] = []
            for element in elements {
                switch element {
                case .string(let text): prompts.append(.text(text))
                case .array(let tokens):
                    prompts.append(.tokens(try read(promptTokens: tokens, name, fields)))
                default: throw fields.error(name, "expected strings or lists of tokens")
                }
            }
            return prompts
        case .some(let other):
            throw fields.error(name, "expected a string or token numbers, found \(other.kind)")
        }
    }

    private static func read(
        promptTokens tokens: [JSONValue], _ name: String, _ fields: RequestFields
    ) throws(GenerationError) -> [TokenID] {
        guard !tokens.isEmpty else { throw fields.error(name, "empty") }
        return try read(tokens: tokens, of: name, fields)
    }

    /// The token numbers of the field `name`.
    static func read(
        tokens: [JSONValue], of name: String, _ fields: RequestFields
    ) throws(GenerationError) -> [TokenID] {
        var result: [TokenID] = []
        result.reserveCapacity(tokens.count)
        for token in tokens {
            guard let number = token.whole, let index = Int32(exactly: number), index >= 0 else {
                throw fields.error(name, "expected token numbers")
            }
            result.append(TokenID(rawValue: index))
        }
        return result
    }
}
