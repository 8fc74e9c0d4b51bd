// The wire form of what an answer has besides its text: thoughts, as llama-server and others write
// them, and calls of tools, as OpenAI does.

package import GenerationAPI
internal import JSON
package import NIOCore

/// An answer that is sent as a whole.
package struct AnswerText: Sendable {
    package var text = ""
    package var reasoning = ""
    package var calls: [ToolCall] = []
    /// What was wanted instead of an answer.
    package var tokens: TokenizedText?
    package var embedding: [Float]?

    package init(text: String = "") { self.text = text }

    /// Takes an event, and returns the bytes that it adds.
    mutating func add(_ event: ToolCallEvent) -> Int {
        switch event {
        case .began(_, let id, let name):
            calls.append(ToolCall(id: id, name: name, arguments: ""))
            return id.utf8.count + name.utf8.count + 64
        case .arguments(let index, let text):
            guard calls.indices.contains(index) else { return 0 }
            calls[index].arguments += text
            return text.utf8.count
        case .ended: return 0
        }
    }
}

extension AnswerWriter {
    /// The chunk that carries thoughts; nil when it would say nothing.
    package func reasoning(_ text: String) -> ByteBuffer? {
        guard !text.isEmpty else { return nil }
        return delta { buffer in
            buffer.writeStaticString("\"reasoning_content\":")
            buffer.writeJSON(text)
        }
    }

    /// The chunk that carries a call's beginning, or more of its arguments; its end has none.
    package func toolCall(_ event: ToolCallEvent) -> ByteBuffer? {
        switch event {
        case .began(let index, let id, let name):
            return delta { buffer in
                buffer.writeString("\"tool_calls\":[{\"index\":\(index),")
                Self.writeCall(ToolCall(id: id, name: name, arguments: ""), into: &buffer)
                buffer.writeStaticString("}]")
            }
        case .arguments(let index, let text):
            return delta { buffer in
                buffer.writeString("\"tool_calls\":[{\"index\":\(index),")
                buffer.writeStaticString("\"function\":{\"arguments\":")
                buffer.writeJSON(text)
                buffer.writeStaticString("}}]")
            }
        case .ended: return nil
        }
    }

    private func delta(_ write: (inout ByteBuffer) -> Void) -> ByteBuffer {
        chunk { buffer in
            buffer.writeStaticString("\"delta\":{")
            write(&buffer)
            buffer.writeStaticString("},\"logprobs\":null,\"finish_reason\":null")
        }
    }

    /// The members of a call, without the braces.
    private static func writeCall(_ call: ToolCall, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("\"id\":")
        buffer.writeJSON(call.id)
        buffer.writeStaticString(",\"type\":\"function\",\"function\":{\"name\":")
        buffer.writeJSON(call.name)
        buffer.writeStaticString(",\"arguments\":")
        buffer.writeJSON(call.arguments)
        buffer.writeStaticString("}")
    }

    /// The member `message`: without content where there is nothing but calls.
    static func writeMessage(_ answer: AnswerText, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("\"message\":{\"role\":\"assistant\",\"content\":")
        buffer.writeJSON(answer.text.isEmpty && !answer.calls.isEmpty ? nil : answer.text)
        if !answer.reasoning.isEmpty {
            buffer.writeStaticString(",\"reasoning_content\":")
            buffer.writeJSON(answer.reasoning)
        }
        if !answer.calls.isEmpty {
            buffer.writeStaticString(",\"tool_calls\":[")
            for (index, call) in answer.calls.enumerated() {
                buffer.writeStaticString(index == 0 ? "{" : ",{")
                writeCall(call, into: &buffer)
                buffer.writeStaticString("}")
            }
            buffer.writeStaticString("]")
        }
        buffer.writeStaticString(",\"refusal\":null}")
    }
}
