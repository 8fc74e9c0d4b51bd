// The answer of `/slots` in llama-server's shape: what the engine is at, in numbers. No text of
// anybody is in it.

internal import GenerationAPI
internal import JSON
internal import NIOCore

/// A generation that the engine has begun with.
struct RunningGeneration {
    let number: UInt64
    let sampling: SamplingParameters
    /// Nil is to the end of the context.
    let tokensMax: Int?
    let streams: Bool
    let promptTokens: Int
    /// Pieces of the answer so far, which are about as many as its tokens.
    let pieceCount: Int
}

enum SlotsWriter {
    /// - Parameters:
    ///   - slotCount: generations that may run at once.
    ///   - contextTokens: those of the loaded model; 0 without one.
    static func slots(
        _ running: [RunningGeneration], slotCount: Int, contextTokens: Int
    ) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "[")
        for index in 0..<max(slotCount, running.count) {
            if index > 0 { buffer.writeStaticString(",") }
            buffer.writeString("{\"id\":\(index),\"n_ctx\":\(contextTokens),\"is_processing\":")
            if running.indices.contains(index) {
                buffer.writeStaticString("true")
                write(running[index], into: &buffer)
            } else {
                buffer.writeStaticString("false")
            }
            buffer.writeStaticString("}")
        }
        buffer.writeStaticString("]")
        return buffer
    }

    private static func write(_ running: RunningGeneration, into buffer: inout ByteBuffer) {
        buffer.writeString(",\"id_task\":\(running.number),")
        buffer.writeString("\"n_prompt_tokens\":\(running.promptTokens),\"params\":{")
        for field in SamplingParameters.numbers {
            buffer.writeString("\"\(field.parameter.rawValue)\":")
            buffer.writeJSON(milli: Double(running.sampling[keyPath: field.keyPath]))
            buffer.writeStaticString(",")
        }
        buffer.writeString("\"top_k\":\(running.sampling.topK),")
        buffer.writeString("\"n_predict\":\(running.tokensMax ?? -1),")
        buffer.writeString("\"stream\":\(running.streams)},\"next_token\":[{")
        let remaining = running.tokensMax.map { max(0, $0 - running.pieceCount) } ?? -1
        buffer.writeString("\"has_next_token\":true,\"n_remain\":\(remaining),")
        buffer.writeString("\"n_decoded\":\(running.pieceCount)}]")
    }
}
