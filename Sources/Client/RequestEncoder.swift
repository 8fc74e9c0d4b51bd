// Orders as the daemon's JSON: the client's half of HTTPInterface's request reading.

package import GenerationAPI
internal import JSON
internal import ModelFormat
package import NIOCore

/// Sampling as far as a user said something; the rest is the service's.
package struct SamplingOverrides: Sendable, Equatable {
    package var temperature: Float?
    package var topK: Int?
    package var topP: Float?
    package var minP: Float?
    package var repetitionPenalty: Float?
    package var presencePenalty: Float?
    package var frequencyPenalty: Float?
    package var seed: UInt64?

    package init() {}

    /// Everything that `sampling` says.
    package init(_ sampling: SamplingParameters) {
        temperature = sampling.temperature
        topK = sampling.topK
        topP = sampling.topP
        minP = sampling.minP
        repetitionPenalty = sampling.repetitionPenalty
        presencePenalty = sampling.presencePenalty
        frequencyPenalty = sampling.frequencyPenalty
        seed = sampling.seed
    }

    /// `defaults` with what the user said.
    package func applied(to defaults: SamplingParameters) -> SamplingParameters {
        var sampling = defaults
        if let temperature { sampling.temperature = temperature }
        if let topK { sampling.topK = topK }
        if let topP { sampling.topP = topP }
        if let minP { sampling.minP = minP }
        if let repetitionPenalty { sampling.repetitionPenalty = repetitionPenalty }
        if let presencePenalty { sampling.presencePenalty = presencePenalty }
        if let frequencyPenalty { sampling.frequencyPenalty = frequencyPenalty }
        if let seed { sampling.seed = seed }
        return sampling
    }
}

/// Writes the body of a streaming completion request.
package enum RequestEncoder {
    /// The route and body for `order`; sampling fields are those of `sampling`.
    package static func encode(
        _ order: GenerationOrder, sampling: SamplingOverrides
    ) -> (route: String, body: ByteBuffer) {
        var body = ByteBuffer(staticString: "{\"stream\":true,")
        body.writeStaticString("\"stream_options\":{\"include_usage\":true},")
        body.writeStaticString("\"sluice\":{\"statistics\":true}")
        if let model = order.model {
            body.writeStaticString(",\"model\":")
            body.writeJSON(model)
        }
        if let tokensMax = order.tokensMax { body.writeString(",\"max_tokens\":\(tokensMax)") }
        if !order.stopStrings.isEmpty {
            body.writeStaticString(",\"stop\":[")
            writeList(order.stopStrings, into: &body) { $1.writeJSON($0) }
            body.writeStaticString("]")
        }
        write(sampling, into: &body)
        let route = writePrompt(order, into: &body)
        body.writeStaticString("}")
        return (route, body)
    }

    private static func writePrompt(
        _ order: GenerationOrder, into body: inout ByteBuffer
    ) -> String {
        let alternatives = order.alternativesReported
        switch order.prompt {
        case .chat(let messages):
            if let alternatives {
                body.writeString(",\"logprobs\":true,\"top_logprobs\":\(alternatives)")
            }
            body.writeStaticString(",\"messages\":[")
            writeList(messages, into: &body) { message, body in
                body.writeStaticString("{\"role\":")
                body.writeJSON(message.role)
                body.writeStaticString(",\"content\":")
                body.writeJSON(message.content)
                body.writeStaticString("}")
            }
            body.writeStaticString("]")
            return "/v1/chat/completions"
        case .text(let text):
            body.writeStaticString(",\"prompt\":")
            body.writeJSON(text)
        case .tokens(let tokens):
            body.writeStaticString(",\"prompt\":[")
            writeList(tokens, into: &body) { $1.writeString(String($0.rawValue)) }
            body.writeStaticString("]")
        }
        if let alternatives { body.writeString(",\"logprobs\":\(alternatives)") }
        return "/v1/completions"
    }

    private static func write(_ sampling: SamplingOverrides, into body: inout ByteBuffer) {
        let numbers: [(String, Float?)] = [
            ("temperature", sampling.temperature), ("top_p", sampling.topP),
            ("min_p", sampling.minP), ("repeat_penalty", sampling.repetitionPenalty),
            ("presence_penalty", sampling.presencePenalty),
            ("frequency_penalty", sampling.frequencyPenalty)
        ]
        for case (let name, let value?) in numbers { body.writeString(",\"\(name)\":\(value)") }
        if let topK = sampling.topK { body.writeString(",\"top_k\":\(topK)") }
        if let seed = sampling.seed { body.writeString(",\"seed\":\(seed)") }
    }

    private static func writeList<Element>(
        _ elements: [Element], into body: inout ByteBuffer,
        _ write: (Element, inout ByteBuffer) -> Void
    ) {
        for (index, element) in elements.enumerated() {
            if index > 0 { body.writeStaticString(",") }
            write(element, &body)
        }
    }
}
