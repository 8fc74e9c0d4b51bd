// The Qwen families: biases, then head norms; dense and mixtures of experts.

internal import ModelFormat

extension ModelFamily {
    /// Qwen 2 and 2.5: biases on query, key and value.
    static let qwen2 = ModelFamily("qwen2") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.biases = .queryKeyValue
        return try reader.decoder(traits)
    }

    /// Qwen 1.5 and 2 MoE: a shared expert behind a sigmoid gate; expert weights are left as the
    /// softmax gives them.
    static let qwen2moe = ModelFamily("qwen2moe") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.biases = .queryKeyValue
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.sharedExpert = .gated
        return try reader.decoder(traits)
    }

    /// Qwen 3: an RMS norm on every query and key head instead of biases.
    static let qwen3 = ModelFamily("qwen3") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .perHead
        return try reader.decoder(traits)
    }

    /// Qwen 3 MoE: expert weights sum to one.
    static let qwen3moe = ModelFamily("qwen3moe") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .perHead
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.normalizesExpertWeights = true
        return try reader.decoder(traits)
    }
}
