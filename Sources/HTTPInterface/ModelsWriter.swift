// The wire form of models: OpenAI's, with what we know besides under `sluice`.

internal import GenerationAPI
internal import JSON
internal import ModelFormat
internal import NIOCore

/// `GET /v1/models` and `/v1/models/{id}`.
enum ModelsWriter {
    static func list(_ models: [ModelSummary]) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "{\"object\":\"list\",\"data\":[")
        for (index, model) in models.enumerated() {
            if index > 0 { buffer.writeStaticString(",") }
            write(model, into: &buffer)
        }
        buffer.writeStaticString("]}")
        return buffer
    }

    static func single(_ model: ModelSummary) -> ByteBuffer {
        var buffer = ByteBuffer()
        write(model, into: &buffer)
        return buffer
    }

    private static func write(_ model: ModelSummary, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("{\"id\":")
        buffer.writeJSON(model.name)
        buffer.writeString(",\"object\":\"model\",\"created\":\(model.modified),")
        buffer.writeStaticString("\"owned_by\":\"sluice\",\"sluice\":{")
        if let architecture = model.architecture {
            buffer.writeStaticString("\"architecture\":")
            buffer.writeJSON(architecture)
            buffer.writeStaticString(",")
        }
        buffer.writeString("\"file_bytes\":\(model.fileBytes),\"loaded\":\(model.isLoaded)")
        if let loaded = model.loaded { write(loaded, into: &buffer) }
        buffer.writeStaticString("}}")
    }

    /// How a loaded model runs: further members of `sluice`.
    private static func write(_ loaded: LoadedModel, into buffer: inout ByteBuffer) {
        buffer.writeString(",\"reads\":\"\(loaded.reads.rawValue)\"")
        if let reason = loaded.readsReason {
            buffer.writeStaticString(",\"reads_because\":")
            buffer.writeJSON(reason)
        }
        buffer.writeString(",\"context_tokens\":\(loaded.contextTokens),\"context_because\":")
        buffer.writeJSON(loaded.contextReason)
        buffer.writeString(
            ",\"context_tokens_in_memory\":\(loaded.hotTokens),"
                + "\"kv_bits\":\(loaded.keyValueFormat.json),"
                + "\"sessions_max\":\(loaded.sequencesMax),"
                + "\"memory_limit_bytes\":\(loaded.memoryBytesMax)")
    }
}
