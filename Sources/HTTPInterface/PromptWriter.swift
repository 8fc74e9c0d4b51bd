// The wire form of what is told of prompts: llama-server's answers of `/apply-template`,
// `/tokenize` and `/detokenize`, and Anthropic's of how many tokens a prompt has.

internal import GenerationAPI
internal import JSON
internal import ModelFormat
internal import NIOCore

/// Writes one object; there are no streams of it.
struct PromptWriter: WholeAnswerForm {
    let kind: CompletionKind

    func whole(
        _ answer: AnswerText, probabilities: [ReportedProbability], _ reason: FinishReason,
        _ statistics: GenerationStatistics
    ) -> ByteBuffer {
        if kind == .count {
            return ByteBuffer(string: "{\"input_tokens\":\(answer.tokens?.tokens.count ?? 0)}")
        }
        if kind == .tokens { return Self.tokens(answer.tokens ?? TokenizedText([])) }
        var buffer = ByteBuffer(
            staticString: kind == .content ? "{\"content\":" : "{\"prompt\":")
        buffer.writeJSON(answer.text)
        buffer.writeStaticString("}")
        return buffer
    }

    /// `{"tokens":[1,2]}`, or, with what each stands for,
    /// `{"tokens":[{"id":1,"piece":"a"},{"id":2,"piece":[226,130]}]}`.
    private static func tokens(_ text: TokenizedText) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "{\"tokens\":[")
        buffer.reserveCapacity(bytesMax(text))
        for (index, token) in text.tokens.enumerated() {
            if index > 0 { buffer.writeStaticString(",") }
            guard text.hasPieces else {
                buffer.writeString("\(token.rawValue)")
                continue
            }
            buffer.writeString("{\"id\":\(token.rawValue),\"piece\":")
            let piece = text.piece(index)
            if let text = String(validating: piece, as: UTF8.self) {
                buffer.writeJSON(text)
            } else {
                let list = piece.map { "\($0)" }.joined(separator: ",")
                buffer.writeString("[\(list)]")
            }
            buffer.writeStaticString("}")
        }
        buffer.writeStaticString("]}")
        return buffer
    }

    /// About what a text's tokens take when they are written.
    static func bytesMax(_ text: TokenizedText) -> Int {
        text.tokens.count * (text.hasPieces ? 32 : 8) + text.pieceByteCount + 16
    }
}
