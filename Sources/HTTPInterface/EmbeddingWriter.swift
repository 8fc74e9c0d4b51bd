// The wire form of vectors, in OpenAI's shape and in both of Ollama's. Each number has as many
// digits as tell it from all other 32-bit floats; base 64 has its bytes, little-endian.

internal import GenerationAPI
internal import JSON
internal import NIOCore

/// Writes them as one object.
struct EmbeddingWriter: WholeAnswerForm {
    let options: AnswerOptions
    let head: AnswerHead

    func whole(
        _ answer: AnswerText, probabilities: [ReportedProbability], _ reason: FinishReason,
        _ statistics: GenerationStatistics
    ) -> ByteBuffer {
        whole([AnswerChoice(answer: answer, reason: reason, statistics: statistics)])
    }

    func whole(_ choices: [AnswerChoice]) -> ByteBuffer {
        var buffer = ByteBuffer()
        let vectors = choices.compactMap(\.answer.embedding)
        buffer.reserveCapacity(
            vectors.reduce(256) { $0 + Self.bytesMax($1, isBase64: options.encodesBase64) })
        switch (options.kind, options.dialect) {
        case (.embedding, _):
            buffer.writeStaticString("{\"embedding\":")
            write(vectors.first ?? [], into: &buffer)
            buffer.writeStaticString("}")
        case (_, .ollama): writeOllama(vectors, choices.map(\.statistics), into: &buffer)
        default: writeOpenAI(vectors, choices.map(\.statistics), into: &buffer)
        }
        return buffer
    }

    /// About what a vector takes when it is written.
    static func bytesMax(_ vector: [Float], isBase64: Bool) -> Int {
        64 + vector.count * (isBase64 ? 6 : 16)
    }

    private func writeOpenAI(
        _ vectors: [[Float]], _ statistics: [GenerationStatistics], into buffer: inout ByteBuffer
    ) {
        buffer.writeStaticString("{\"object\":\"list\",\"data\":[")
        for (index, vector) in vectors.enumerated() {
            if index > 0 { buffer.writeStaticString(",") }
            buffer.writeString(
                "{\"object\":\"embedding\",\"index\":\(index),\"embedding\":")
            write(vector, into: &buffer)
            buffer.writeStaticString("}")
        }
        let tokens = statistics.reduce(0) { $0 + $1.promptTokens }
        buffer.writeStaticString("],\"model\":")
        buffer.writeJSON(options.modelName ?? head.model)
        buffer.writeString(
            ",\"usage\":{\"prompt_tokens\":\(tokens),\"total_tokens\":\(tokens)}}")
    }

    private func writeOllama(
        _ vectors: [[Float]], _ statistics: [GenerationStatistics], into buffer: inout ByteBuffer
    ) {
        buffer.writeStaticString("{\"model\":")
        buffer.writeJSON(options.modelName ?? head.model)
        buffer.writeStaticString(",\"embeddings\":[")
        for (index, vector) in vectors.enumerated() {
            if index > 0 { buffer.writeStaticString(",") }
            write(vector, into: &buffer)
        }
        let loading = OllamaWriter.nanoseconds(statistics.first?.queueSeconds ?? 0)
        let all = statistics.reduce(0.0) { $0 + $1.queueSeconds + $1.promptSeconds }
        buffer.writeString("],\"total_duration\":\(OllamaWriter.nanoseconds(all))")
        buffer.writeString(",\"load_duration\":\(loading)")
        let tokens = statistics.reduce(0) { $0 + $1.promptTokens }
        buffer.writeString(",\"prompt_eval_count\":\(tokens)}")
    }

    private func write(_ vector: [Float], into buffer: inout ByteBuffer) {
        if options.encodesBase64 {
            var bytes: [UInt8] = []
            bytes.reserveCapacity(4 * vector.count)
            for value in vector {
                let bits = value.bitPattern
                for shift in [0, 8, 16, 24] as [UInt32] {
                    bytes.append(UInt8(truncatingIfNeeded: bits >> shift))
                }
            }
            buffer.writeStaticString("\"")
            buffer.writeBase64(bytes)
            buffer.writeStaticString("\"")
            return
        }
        buffer.writeStaticString("[")
        for (index, value) in vector.enumerated() {
            if index > 0 { buffer.writeStaticString(",") }
            buffer.writeString("\(value)")
        }
        buffer.writeStaticString("]")
    }
}

extension ByteBuffer {
    private static let digits = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// Appends bytes in base 64 (RFC 4648, section 4).
    mutating func writeBase64(_ bytes: [UInt8]) {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        var start = 0
        while start < bytes.count {
            let count = min(3, bytes.count - start)
            var group: UInt32 = 0
            for index in 0..<3 {
                group = group << 8 | (index < count ? UInt32(bytes[start + index]) : 0)
            }
            for index in 0..<4 {
                let digit = Self.digits[Int(group >> (18 - 6 * UInt32(index)) & 63)]
                text.append(index <= count ? digit : UInt8(ascii: "="))
            }
            start += 3
        }
        writeBytes(text)
    }
}
