// A conversation as templates know it, made of pieces that are divided otherwise: neighbouring
// messages of one role are one message.

internal import GenerationAPI

struct ConversationMessages {
    /// Between blocks of text, and between messages that become one.
    private static let separator = "\n\n"

    private(set) var messages: [ChatMessage] = []

    /// Adds a message; to the last one, where that has the same role and is no tool's.
    mutating func append(_ message: ChatMessage) {
        let place = messages.count - 1
        guard place >= 0, message.role != "tool", messages[place].role == message.role else {
            messages.append(message)
            return
        }
        // In place: a conversation may be of very many small messages.
        if !message.content.isEmpty {
            if !messages[place].content.isEmpty { messages[place].content += Self.separator }
            messages[place].content += message.content
        }
        if let more = message.reasoning {
            if messages[place].reasoning == nil {
                messages[place].reasoning = more
            } else {
                messages[place].reasoning?.append(Self.separator)
                messages[place].reasoning?.append(more)
            }
        }
        messages[place].toolCalls += message.toolCalls
    }

    /// Texts with an empty line between.
    static func joined(_ texts: [String]) -> String {
        texts.filter { !$0.isEmpty }.joined(separator: separator)
    }
}
