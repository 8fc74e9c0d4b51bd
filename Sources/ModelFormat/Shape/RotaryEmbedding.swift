// The rotary position embedding as a shape: how much of a head turns, how fast, and which elements
// make a pair.

/// Which elements of a head turn together.
package enum RotaryPairing: String, Sendable, Codable {
    /// Elements 2i and 2i + 1.
    case adjacent
    /// Elements i and i + half the rotated width.
    case halves
}

/// Rotary position embedding: base, rotated width, and the frequency scaling that the metadata asks
/// for.
package struct RotaryEmbedding: Sendable, Codable, Equatable {
    package var base: Float
    /// Leading elements of each head that are rotated.
    package var rotatedWidth: Int
    package var pairing: RotaryPairing
    package var scaling: Scaling
    /// Whether the model has a vector of divisors of the frequencies, one for each pair.
    package var hasFrequencyFactors: Bool
    /// Where the model has two such vectors: the context beyond which the one for long contexts
    /// divides, and not the one for short ones (LongRoPE, arXiv 2402.13753; Phi 3); nil elsewhere.
    package var longContextBeyond: Int?

    package init(
        base: Float, rotatedWidth: Int, pairing: RotaryPairing, scaling: Scaling = .none,
        hasFrequencyFactors: Bool = false
    ) {
        self.base = base
        self.rotatedWidth = rotatedWidth
        self.pairing = pairing
        self.scaling = scaling
        self.hasFrequencyFactors = hasFrequencyFactors
    }

    /// `rope.scaling.*`. Llama 3's per-frequency factors are a tensor (`rope_freqs.weight`), kept
    /// with the weights.
    package enum Scaling: Sendable, Codable, Equatable {
        case none
        case linear(factor: Float)
        case yarn(Yarn)
    }

    /// YaRN (arXiv 2309.00071), with llama.cpp's parameter names and defaults.
    package struct Yarn: Sendable, Codable, Equatable {
        package var factor: Float
        package var originalContextLength: Int
        package var extrapolationFactor: Float
        package var attentionFactor: Float
        package var betaFast: Float
        package var betaSlow: Float

        package init(
            factor: Float, originalContextLength: Int, extrapolationFactor: Float = 1,
            attentionFactor: Float = 1, betaFast: Float = 32, betaSlow: Float = 1
        ) {
            self.factor = factor
            self.originalContextLength = originalContextLength
            self.extrapolationFactor = extrapolationFactor
            self.attentionFactor = attentionFactor
            self.betaFast = betaFast
            self.betaSlow = betaSlow
        }
    }
}
