/// How the next token is chosen from logits. Every default means "off", except temperature.
package struct SamplingParameters: Sendable, Equatable, Codable {
    /// 0 is greedy: the largest logit, the lowest token on a tie.
    package var temperature: Float = 0.8
    /// Keep the `topK` most likely tokens; 0 and -1 keep all.
    package var topK: Int = 40
    /// Keep the fewest tokens whose probabilities sum to at least this; 1 keeps all.
    package var topP: Float = 0.95
    /// Keep tokens at least this fraction as likely as the likeliest; 0 keeps all.
    package var minP: Float = 0.05
    /// Divides positive and multiplies negative logits of recent tokens; 1 is off (CTRL, arXiv
    /// 1909.05858).
    package var repetitionPenalty: Float = 1
    /// Subtracted once from the logits of recent tokens; 0 is off (OpenAI's `presence_penalty`).
    package var presencePenalty: Float = 0
    /// Subtracted for each occurrence among recent tokens; 0 is off (OpenAI's `frequency_penalty`).
    package var frequencyPenalty: Float = 0
    /// How many of the last tokens the three penalties look at; -1 is the whole context.
    package var penaltyWindow: Int = 64
    /// The same seed, prompt and model give the same text; nil draws one.
    package var seed: UInt64?

    package init() {}

    /// The likeliest token each time.
    package static var greedy: SamplingParameters {
        var parameters = SamplingParameters()
        parameters.temperature = 0
        return parameters
    }
}
