// The wire form of models in Ollama's dialect: `/api/tags`, `/api/ps`, `/api/show`, `/api/version`.

internal import GenerationAPI
internal import JSON
internal import ModelFormat
internal import NIOCore

/// Ollama's routes that tell of models.
enum OllamaRoute: Equatable {
    case tags, running, show, version
}

enum OllamaModels {
    static var version: ByteBuffer {
        ByteBuffer(string: "{\"version\":\"\(SluiceVersion.current)\"}")
    }

    /// `/api/tags`: what the library has.
    static func tags(_ models: [ModelSummary]) -> ByteBuffer {
        list(models) { model, buffer in
            buffer.writeStaticString(",\"modified_at\":\"")
            buffer.writeString(Timestamp.text(secondsSince1970: model.modified))
            buffer.writeStaticString("\"")
        }
    }

    /// `/api/ps`: what is loaded. What stays until its memory is needed, or for ever, has no time.
    static func running(_ models: [ModelSummary]) -> ByteBuffer {
        list(models.filter(\.isLoaded)) { model, buffer in
            let end = model.loaded?.leavesAt.map { Timestamp.text(secondsSince1970: $0) }
            buffer.writeString(
                ",\"expires_at\":\"\(end ?? "9999-12-31T23:59:59Z")\",\"size_vram\":0")
            if let loaded = model.loaded {
                buffer.writeString(",\"context_length\":\(loaded.contextTokens)")
            }
        }
    }

    /// `/api/show`: what is known of a model without opening it, and of a loaded one.
    static func show(_ model: ModelSummary) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "{\"modified_at\":\"")
        buffer.writeString(Timestamp.text(secondsSince1970: model.modified))
        buffer.writeStaticString("\",\"details\":")
        writeDetails(model, into: &buffer)
        buffer.writeStaticString(",\"model_info\":{")
        if let architecture = model.architecture {
            buffer.writeStaticString("\"general.architecture\":")
            buffer.writeJSON(architecture)
            if let loaded = model.loaded {
                buffer.writeStaticString(",")
                buffer.writeJSON(architecture + ".context_length")
                buffer.writeString(":\(loaded.contextTokens)")
            }
        }
        buffer.writeStaticString("},\"capabilities\":[\"completion\"")
        for capability in LoadedModel.Capability.allCases
        where model.loaded?.capabilities.contains(capability) == true {
            buffer.writeString(",\"\(capability.rawValue)\"")
        }
        buffer.writeStaticString("],\"template\":")
        buffer.writeJSON(model.loaded?.chatTemplate ?? "")
        buffer.writeStaticString("}")
        return buffer
    }

    private static func list(
        _ models: [ModelSummary], more: (ModelSummary, inout ByteBuffer) -> Void
    ) -> ByteBuffer {
        var buffer = ByteBuffer(staticString: "{\"models\":[")
        for (index, model) in models.enumerated() {
            buffer.writeStaticString(index == 0 ? "{\"name\":" : ",{\"name\":")
            let name = taggedName(model.name)
            buffer.writeJSON(name)
            buffer.writeStaticString(",\"model\":")
            buffer.writeJSON(name)
            buffer.writeString(",\"size\":\(model.fileBytes),\"digest\":\"")
            buffer.writeString(digest(of: model))
            buffer.writeStaticString("\",\"details\":")
            writeDetails(model, into: &buffer)
            more(model, &buffer)
            buffer.writeStaticString("}")
        }
        buffer.writeStaticString("]}")
        return buffer
    }

    /// Clients of Ollama compare names with their tags.
    private static func taggedName(_ name: String) -> String {
        name.contains(":") ? name : name + ":latest"
    }

    /// What is another one when the file is: of its name, size and time, not of its content, which
    /// would take reading all of it.
    private static func digest(of model: ModelSummary) -> String {
        var hash = SHA256()
        let identity = Array("\(model.name)\n\(model.fileBytes)\n\(model.modified)".utf8)
        hash.add(unsafe identity.span.bytes)
        return hash.hexadecimal
    }

    private static func writeDetails(_ model: ModelSummary, into buffer: inout ByteBuffer) {
        let family = model.architecture ?? ""
        buffer.writeStaticString("{\"parent_model\":\"\",\"format\":\"sluice\",\"family\":")
        buffer.writeJSON(family)
        buffer.writeStaticString(",\"families\":[")
        if !family.isEmpty { buffer.writeJSON(family) }
        buffer.writeStaticString("],\"parameter_size\":\"\",\"quantization_level\":\"\"}")
    }
}
