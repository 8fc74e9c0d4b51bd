// The fields that ask for several choices, for a prompt's text before its continuation, and for
// other logits than the model's: OpenAI's `n`, `best_of`, `echo`, `logit_bias`; llama-server's
// `ignore_eos` and its form of biases.

internal import GenerationAPI
internal import JSON

extension CompletionRequest {
    /// Most choices of one answer.
    static let choicesMax = 128

    /// Makes an order for each choice: `n` of each prompt, one after the other.
    mutating func readChoices(
        _ fields: RequestFields, _ prompts: [GenerationOrder.Prompt]
    ) throws(GenerationError) {
        let samples = try fields.integer("n", in: 1...Self.choicesMax) ?? 1
        if answer.kind == .text {
            if let best = try fields.clampedInteger("best_of", in: 1...Int.max), best != samples {
                throw fields.error("best_of", "not supported here, unless it is n")
            }
            answer.echoes = try echoes(fields, prompts)
        }
        guard answer.kind != .template else { return }
        guard prompts.count * samples <= Self.choicesMax else {
            throw fields.error(
                "n",
                "\(prompts.count) prompts and \(samples) samples of each are more than"
                    + " \(Self.choicesMax) choices")
        }
        answer.samples = samples
        var orders: [GenerationOrder] = []
        for prompt in prompts {
            for sample in 0..<samples {
                var next = order
                next.prompt = prompt
                // The first sample is that of a request for one.
                next.sampling.seed = order.sampling.seed.map { $0 &+ UInt64(sample) }
                orders.append(next)
            }
        }
        order = orders[0]
        more = Array(orders.dropFirst())
    }

    /// The prompts' texts, where answers are to repeat them.
    private func echoes(
        _ fields: RequestFields, _ prompts: [GenerationOrder.Prompt]
    ) throws(GenerationError) -> [String] {
        guard try fields.boolean("echo") ?? false else { return [] }
        guard order.alternativesReported == nil else {
            throw fields.error("echo", "not supported here with logprobs")
        }
        var texts: [String] = []
        for prompt in prompts {
            guard case .text(let text) = prompt else {
                throw fields.error("echo", "of a prompt that is a text only")
            }
            texts.append(text)
        }
        return texts
    }
}

/// What is added to logits.
enum BiasFields {
    private static let name = "logit_bias"

    /// OpenAI's object, by token, or llama-server's list of pairs; `false` bans a token. Tokens of
    /// a list that are there twice count twice. Those that nothing is added to are left out.
    static func read(_ fields: RequestFields) throws(GenerationError) -> [TokenBias] {
        var sums: [Int32: Float] = [:]
        switch fields[name] {
        case nil, .string(""): return []
        case .object(let members):
            try check(members.count, fields)
            for (token, value) in members {
                sums[try self.token(Int64(token), fields)] = try bias(value, fields)
            }
        case .array(let pairs):
            try check(pairs.count, fields)
            for pair in pairs {
                guard let pair = pair.array, pair.count == 2 else {
                    throw fields.error(name, "expected pairs of a token number and a bias")
                }
                sums[try token(pair[0].whole, fields), default: 0] += try bias(pair[1], fields)
            }
        case .some(let other):
            throw fields.error(name, "expected an object or a list, found \(other.kind)")
        }
        return sums.filter { $0.value != 0 }.map { TokenBias(token: $0.key, value: $0.value) }
            .sorted { $0.token < $1.token }
    }

    private static func check(_ count: Int, _ fields: RequestFields) throws(GenerationError) {
        guard count <= TokenBias.countMax else {
            throw fields.error(name, "\(count) tokens, at most \(TokenBias.countMax)")
        }
    }

    private static func token(
        _ number: Int64?, _ fields: RequestFields
    ) throws(GenerationError) -> Int32 {
        guard let token = number.flatMap({ Int32(exactly: $0) }), token >= 0 else {
            throw fields.error(name, "expected token numbers")
        }
        return token
    }

    private static func bias(
        _ value: JSONValue, _ fields: RequestFields
    ) throws(GenerationError) -> Float {
        if value == .boolean(false) { return -.infinity }
        guard let number = value.double, abs(number) <= 1e6 else {
            throw fields.error(name, "expected biases from -1000000 to 1000000, or false")
        }
        return Float(number)
    }
}
