// An item of a response's output: what was thought, what was said, or a call.

internal import JSON
internal import NIOCore

struct ResponsesItem {
    enum Kind: Equatable {
        case reasoning
        case message
        case call(id: String, name: String)

        /// What its identifiers begin with.
        var prefix: StaticString {
            switch self {
            case .reasoning: "rs"
            case .message: "msg"
            case .call: "fc"
            }
        }

        /// Whether its text is in a part of its content.
        var hasParts: Bool { if case .call = self { false } else { true } }

        /// The event that has its whole text.
        var doneEvent: StaticString {
            switch self {
            case .reasoning: "response.reasoning_text.done"
            case .message: "response.output_text.done"
            case .call: "response.function_call_arguments.done"
            }
        }
    }

    enum Status: String { case inProgress = "in_progress", completed, incomplete }

    let kind: Kind
    let id: String
    var status: Status
    /// What is thought or said, or a call's arguments.
    var text: String

    /// As an object; before it is ended it has no content.
    func write(into buffer: inout ByteBuffer) {
        buffer.writeStaticString("{\"id\":")
        buffer.writeJSON(id)
        buffer.writeString(",\"status\":\"\(status.rawValue)\",\"type\":\"")
        switch kind {
        case .reasoning: buffer.writeStaticString("reasoning\",\"summary\":[],\"content\":[")
        case .message:
            buffer.writeStaticString("message\",\"role\":\"assistant\",\"content\":[")
        case .call(let id, let name):
            buffer.writeStaticString("function_call\",\"call_id\":")
            buffer.writeJSON(id)
            buffer.writeStaticString(",\"name\":")
            buffer.writeJSON(name)
            buffer.writeStaticString(",\"arguments\":")
            buffer.writeJSON(text)
            buffer.writeStaticString("}")
            return
        }
        if status != .inProgress { writePart(into: &buffer) }
        buffer.writeStaticString("]}")
    }

    /// The one part of its content.
    func writePart(into buffer: inout ByteBuffer) {
        buffer.writeStaticString(
            kind == .reasoning
                ? "{\"type\":\"reasoning_text\",\"text\":"
                : "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":")
        buffer.writeJSON(text)
        buffer.writeStaticString("}")
    }
}
