// Knobs of answers: how long, how they are computed, and how tokens are chosen for requests that do
// not say.

internal import GenerationAPI
internal import ModelFormat

extension KnobTable {
    static let generation = computing.map(\.ofModels) + sampling

    private static let computing = [
        Knob(
            "generation.context_tokens", \.generation.contextTokens,
            Form.integer(64...(1 << 22)).orAuto, unit: "tokens",
            effect: """
                Positions of the KV cache: longest prompt and answer together.
                Each costs memory from the budget. "auto": what the weights leave of it, at least
                512, at most what the model was trained for. A number is given before weights are,
                as far as the model and the budget allow; `sluice show`, `sluice ps` and the log say
                what it came to and why. The option of commands is neither more nor less than it
                says, or an error.
                """
        ).option(
            "context", "context-tokens", as: Form.integer(1...(1 << 22)).orAuto,
            of: \.generation.contextTokens),
        Knob(
            "generation.prefill_chunk_tokens", \.generation.prefillChunkTokens,
            Form.integer(1...4096), unit: "tokens",
            effect: """
                Prompt tokens that a layer computes together.
                More make the prompt faster and cost activation memory; it is less where memory is
                short, and 8 at least.
                """),
        Knob(
            "generation.step_tokens", \.generation.stepTokens, Form.integer(1...4096).orAuto,
            unit: "tokens",
            effect: """
                Prompt tokens that a step computes beside answers that are under way.
                Few let answers go on smoothly, many make the prompt faster; each step reads the
                weights again where they are streamed. "auto" follows what steps take: one with
                prompt tokens takes at most twice as long as one without.
                """),
        Knob(
            "generation.speculate", \.generation.speculation, Form.speculation, unit: "tokens",
            effect: """
                Guess tokens from the text so far and verify them in one pass over the weights.
                Answers are the same. "auto": where weights are streamed for every token and it
                pays; a number: that many at most, everywhere, whatever it costs.
                """
        ).option("speculate"),
        Knob(
            "generation.pooling", \.generation.pooling, Form.choice(Pooling.self).orAuto,
            effect: """
                Which of a text's tokens its embedding is made of.
                "auto": what the model's file says, "last" where it says nothing, as of models that
                were not made for embeddings. "mean" is all tokens, "cls" the first.
                """)
    ]

    private static let sampling = [
        number(
            .temperature, \.generation.sampling.temperature,
            "How varied tokens are; 0 always takes the likeliest."
        ).option("temperature"),
        Knob(
            "generation.top_k", \.generation.sampling.topK,
            Form.integer(SamplingParameters.topKRange), unit: "tokens",
            effect: "Keep only this many likeliest tokens; 0 and -1 keep all."
        ).option("top-k").reloaded,
        number(
            .topP, \.generation.sampling.topP,
            "Keep the fewest tokens whose probabilities sum to this; 1 keeps all."
        ).option("top-p"),
        number(
            .minP, \.generation.sampling.minP,
            "Keep tokens at least this fraction as likely as the likeliest; 0 keeps all."
        ).option("min-p"),
        number(
            .repetitionPenalty, \.generation.sampling.repetitionPenalty,
            "Makes recent tokens less likely; 1 is off."),
        number(
            .presencePenalty, \.generation.sampling.presencePenalty,
            "Subtracted once from the logits of recent tokens; 0 is off."),
        number(
            .frequencyPenalty, \.generation.sampling.frequencyPenalty,
            "Subtracted for each time a recent token occurred; 0 is off."),
        Knob(
            "generation.penalty_window", \.generation.sampling.penaltyWindow,
            Form.integer(SamplingParameters.penaltyWindowRange), unit: "tokens",
            effect: """
                How many of the last tokens count as recent for the three penalties.
                -1, and whatever is longer than the context, is the context. Requests call it
                repeat_last_n.
                """
        ).reloaded
    ]

    /// A sampling parameter under the name, and with the range, that requests know.
    private static func number(
        _ parameter: SamplingError.Parameter,
        _ target: any WritableKeyPath<Profile, Float> & Sendable, _ effect: String
    ) -> Knob {
        guard let field = SamplingParameters.numbers.first(where: { $0.parameter == parameter })
        else { preconditionFailure("\(parameter.rawValue) is no number") }
        return Knob(
            "generation.\(parameter.rawValue)", target, Form.number(field.range), effect: effect
        ).reloaded
    }
}
