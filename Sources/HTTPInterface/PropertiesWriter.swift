// The answer of `/props`: what llama-server's clients read there, as far as there is anything to
// tell.

internal import GenerationAPI
internal import JSON
internal import NIOCore

enum PropertiesWriter {
    /// - Parameters:
    ///   - all: the models that are loaded; the first is told of as if it were alone.
    ///   - defaults: sampling for requests that do not say.
    ///   - hasMetrics: whether anything is counted.
    static func properties(
        loaded all: [ModelSummary], defaults: SamplingParameters, hasMetrics: Bool
    ) -> ByteBuffer {
        let loaded = all.first
        var buffer = ByteBuffer(staticString: "{\"default_generation_settings\":{\"n_ctx\":")
        buffer.writeString("\(loaded?.loaded?.contextTokens ?? 0),\"params\":{")
        for field in SamplingParameters.numbers {
            buffer.writeString("\"\(field.parameter.rawValue)\":")
            buffer.writeJSON(milli: Double(defaults[keyPath: field.keyPath]))
            buffer.writeStaticString(",")
        }
        buffer.writeString("\"top_k\":\(defaults.topK),")
        buffer.writeString("\"repeat_last_n\":\(defaults.penaltyWindow),\"seed\":")
        buffer.writeString(defaults.seed.map { "\($0)" } ?? "-1")
        let slots = loaded?.loaded?.sequencesMax ?? 1
        buffer.writeString("}},\"total_slots\":\(slots),\"model_alias\":")
        buffer.writeJSON(loaded?.name)
        let model = loaded?.loaded
        buffer.writeStaticString(",\"chat_template\":")
        buffer.writeJSON(model?.chatTemplate ?? "")
        if let template = model?.toolTemplate {
            buffer.writeStaticString(",\"chat_template_tool_use\":")
            buffer.writeJSON(template)
        }
        write(endsOf: model, to: &buffer)
        write(all, to: &buffer)
        buffer.writeStaticString(",\"modalities\":{\"vision\":false,\"audio\":false}")
        buffer.writeString(",\"endpoint_slots\":true,\"endpoint_props\":false")
        buffer.writeString(",\"endpoint_metrics\":\(hasMetrics)")
        buffer.writeString(",\"build_info\":\"sluice \(SluiceVersion.current)\"}")
        return buffer
    }

    private static func write(endsOf model: LoadedModel?, to buffer: inout ByteBuffer) {
        buffer.writeStaticString(",\"bos_token\":")
        buffer.writeJSON(model?.beginning ?? "")
        buffer.writeStaticString(",\"eos_token\":")
        buffer.writeJSON(model?.end ?? "")
    }

    /// Of each, all but its templates: these may be large, and `/api/show` has any model's.
    private static func write(_ all: [ModelSummary], to buffer: inout ByteBuffer) {
        buffer.writeStaticString(",\"models\":[")
        for (index, summary) in all.enumerated() {
            buffer.writeStaticString(index == 0 ? "{\"model_alias\":" : ",{\"model_alias\":")
            buffer.writeJSON(summary.name)
            let model = summary.loaded
            buffer.writeString(",\"n_ctx\":\(model?.contextTokens ?? 0)")
            buffer.writeString(",\"total_slots\":\(model?.sequencesMax ?? 1)")
            write(endsOf: model, to: &buffer)
            buffer.writeStaticString("}")
        }
        buffer.writeStaticString("]")
    }
}
