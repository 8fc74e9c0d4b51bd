// The Qwen families: biases, then head norms; dense and mixtures of experts.

internal import Compute

extension Family {
    /// Qwen 2 and 2.5: biases on query, key and value, which the files bring along.
    static var qwen2: Family { Family(rotaryPairing: .halves) }

    /// Qwen 1.5 and 2 MoE: a shared expert behind a sigmoid gate; expert weights are left as the
    /// softmax gives them.
    static var qwen2moe: Family { Family(rotaryPairing: .halves) }

    /// Qwen 3: an RMS norm on every query and key head instead of biases.
    static var qwen3: Family {
        var family = Family(rotaryPairing: .halves)
        family.queryKeyNorm = .perHead
        return family
    }

    /// Qwen 3 MoE: expert weights sum to one.
    static var qwen3moe: Family {
        var family = qwen3
        family.normalizesExpertWeights = true
        return family
    }
}
