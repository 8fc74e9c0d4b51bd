// The answer of `/props`: what llama-server's clients read there, as far as there is anything to
// tell.

internal import GenerationAPI
internal import JSON
internal import NIOCore

enum PropertiesWriter {
    /// - Parameters:
    ///   - loaded: the model that is loaded, if any.
    ///   - defaults: sampling for requests that do not say.
    ///   - hasMetrics: whether anything is counted.
    static func properties(
        loaded: ModelSummary?, defaults: SamplingParameters, hasMetrics: Bool
    ) -> ByteBuffer {
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
        buffer.writeStaticString(",\"bos_token\":")
        buffer.writeJSON(model?.beginning ?? "")
        buffer.writeStaticString(",\"eos_token\":")
        buffer.writeJSON(model?.end ?? "")
        buffer.writeStaticString(",\"modalities\":{\"vision\":false,\"audio\":false}")
        buffer.writeString(",\"endpoint_slots\":true,\"endpoint_props\":false")
        buffer.writeString(",\"endpoint_metrics\":\(hasMetrics)")
        buffer.writeString(",\"build_info\":\"sluice \(SluiceVersion.current)\"}")
        return buffer
    }
}
