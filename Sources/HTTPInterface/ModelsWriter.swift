// The wire form of models: OpenAI's, with what we know besides under `sluice`.

internal import NIOCore
internal import Scheduling

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
        buffer.writeString("\"file_bytes\":\(model.fileBytes),\"loaded\":\(model.isLoaded)}}")
    }
}
