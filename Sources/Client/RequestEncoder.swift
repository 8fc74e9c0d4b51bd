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
        var body = Array("{\"stream\":true,".utf8)
        body += "\"stream_options\":{\"include_usage\":true},".utf8
        body += "\"sluice\":{\"statistics\":true".utf8
        if let format = order.keyValueFormat { body += ",\"kv_bits\":\(format.json)".utf8 }
        if let tokens = order.snapTokens { body += ",\"kv_snap_tokens\":\(tokens)".utf8 }
        if let tokens = order.gemTokens { body += ",\"kv_gem_tokens\":\(tokens)".utf8 }
        if let whenFull = order.whenFull {
            body += ",\"kv_when_full\":\"\(whenFull.rawValue)\"".utf8
        }
        switch order.coldTokens {
        case .all: body += ",\"kv_cold_tokens_max\":\"all\"".utf8
        case .most(let tokens): body += ",\"kv_cold_tokens_max\":\(tokens)".utf8
        case nil: break
        }
        body += "}".utf8
        if let model = order.model {
            body += ",\"model\":".utf8
            body.writeJSON(model)
        }
        if let tokensMax = order.tokensMax { body += ",\"max_tokens\":\(tokensMax)".utf8 }
        if !order.stopStrings.isEmpty {
            body += ",\"stop\":[".utf8
            writeList(order.stopStrings, into: &body) { $1.writeJSON($0) }
            body += "]".utf8
        }
        write(sampling, into: &body)
        let route = writePrompt(order, into: &body)
        body += "}".utf8
        return (route, ByteBuffer(bytes: body))
    }

    private static func writePrompt(
        _ order: GenerationOrder, into body: inout [UInt8]
    ) -> String {
        let alternatives = order.alternativesReported
        switch order.prompt {
        case .chat(let messages):
            if let alternatives {
                body += ",\"logprobs\":true,\"top_logprobs\":\(alternatives)".utf8
            }
            body += ",\"messages\":[".utf8
            writeList(messages, into: &body) { write($0, into: &$1) }
            body += "]".utf8
            if let name = order.templateName {
                body += ",\"chat_template\":".utf8
                body.writeJSON(name)
            }
            if let variables = order.templateArguments {
                body += ",\"chat_template_kwargs\":\(variables)".utf8
            }
            if let tools = order.tools { body += ",\"tools\":\(tools)".utf8 }
            if !order.allowsParallelCalls { body += ",\"parallel_tool_calls\":false".utf8 }
            return order.wanted == .prompt ? "/apply-template" : "/v1/chat/completions"
        case .text(let text):
            body += ",\"prompt\":".utf8
            body.writeJSON(text)
        case .tokens(let tokens):
            body += ",\"prompt\":[".utf8
            writeList(tokens, into: &body) { $1 += "\($0.rawValue)".utf8 }
            body += "]".utf8
        }
        if let alternatives { body += ",\"logprobs\":\(alternatives)".utf8 }
        return "/v1/completions"
    }

    private static func write(_ message: ChatMessage, into body: inout [UInt8]) {
        body += "{\"role\":".utf8
        body.writeJSON(message.role)
        body += ",\"content\":".utf8
        body.writeJSON(message.content)
        let texts = [
            ("reasoning_content", message.reasoning), ("tool_call_id", message.toolCallID),
            ("name", message.name)
        ]
        for case (let name, let text?) in texts {
            body += ",\"\(name)\":".utf8
            body.writeJSON(text)
        }
        if !message.toolCalls.isEmpty {
            body += ",\"tool_calls\":[".utf8
            writeList(message.toolCalls, into: &body) { call, body in
                body += "{\"id\":".utf8
                body.writeJSON(call.id)
                body += ",\"type\":\"function\",\"function\":{\"name\":".utf8
                body.writeJSON(call.name)
                body += ",\"arguments\":".utf8
                body.writeJSON(call.arguments)
                body += "}}".utf8
            }
            body += "]".utf8
        }
        body += "}".utf8
    }

    private static func write(_ sampling: SamplingOverrides, into body: inout [UInt8]) {
        let numbers: [(String, Float?)] = [
            ("temperature", sampling.temperature), ("top_p", sampling.topP),
            ("min_p", sampling.minP), ("repeat_penalty", sampling.repetitionPenalty),
            ("presence_penalty", sampling.presencePenalty),
            ("frequency_penalty", sampling.frequencyPenalty)
        ]
        for case (let name, let value?) in numbers { body += ",\"\(name)\":\(value)".utf8 }
        if let topK = sampling.topK { body += ",\"top_k\":\(topK)".utf8 }
        if let seed = sampling.seed { body += ",\"seed\":\(seed)".utf8 }
    }

    private static func writeList<Element>(
        _ elements: [Element], into body: inout [UInt8],
        _ write: (Element, inout [UInt8]) -> Void
    ) {
        for (index, element) in elements.enumerated() {
            if index > 0 { body += ",".utf8 }
            write(element, &body)
        }
    }
}
