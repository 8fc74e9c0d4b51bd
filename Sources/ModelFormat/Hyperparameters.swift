// A model's shape and the constants of its arithmetic, read from GGUF metadata at import and kept
// in the packed manifest.

/// Everything about a model that is not weights and not text.
package struct Hyperparameters: Sendable, Codable, Equatable {
    package var architecture: Architecture
    /// Longest context the model was made for, in tokens.
    package var contextLength: Int
    package var layerCount: Int
    /// Width of the residual stream.
    package var width: Int
    package var headCount: Int
    package var keyValueHeadCount: Int
    /// Width of one query or key head.
    package var keyHeadWidth: Int
    /// Width of one value head.
    package var valueHeadWidth: Int
    /// Width of the dense feed-forward network; 0 where every layer is a mixture of experts.
    package var feedForwardWidth: Int
    package var vocabularySize: Int
    package var normEpsilon: Float
    package var rope: RotaryEmbedding
    /// Nil for dense models.
    package var experts: Experts?
    /// The activation's name where the file overrides its family's own (`sluice import
    /// --activation`).
    package var activation: Activation?

    package init(
        architecture: Architecture, contextLength: Int, layerCount: Int, width: Int,
        headCount: Int, keyValueHeadCount: Int, keyHeadWidth: Int, valueHeadWidth: Int,
        feedForwardWidth: Int, vocabularySize: Int, normEpsilon: Float, rope: RotaryEmbedding,
        experts: Experts? = nil, activation: Activation? = nil
    ) {
        self.architecture = architecture
        self.contextLength = contextLength
        self.layerCount = layerCount
        self.width = width
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.keyHeadWidth = keyHeadWidth
        self.valueHeadWidth = valueHeadWidth
        self.feedForwardWidth = feedForwardWidth
        self.vocabularySize = vocabularySize
        self.normEpsilon = normEpsilon
        self.rope = rope
        self.experts = experts
        self.activation = activation
    }
}

/// The feed-forward network's nonlinearity.
package enum Activation: String, Sendable, Codable, CaseIterable {
    case silu, gelu, relu, relu2
}

/// The mixture-of-experts part of a model's shape.
package struct Experts: Sendable, Codable, Equatable {
    package var count: Int
    /// Experts that each token uses.
    package var usedCount: Int
    /// Width of one expert's feed-forward network.
    package var feedForwardWidth: Int
    /// Width of the expert that every token uses; 0 where there is none.
    package var sharedFeedForwardWidth: Int
    package var gating: Gating
    /// Whether the used experts' weights are scaled to sum to 1; nil leaves it to the family.
    package var normalizesWeights: Bool?
    /// Factor on the used experts' weights (`expert_weights_scale`); 1 where absent.
    package var weightsScale: Float

    package init(
        count: Int, usedCount: Int, feedForwardWidth: Int, sharedFeedForwardWidth: Int = 0,
        gating: Gating = .softmax, normalizesWeights: Bool? = nil, weightsScale: Float = 1
    ) {
        self.count = count
        self.usedCount = usedCount
        self.feedForwardWidth = feedForwardWidth
        self.sharedFeedForwardWidth = sharedFeedForwardWidth
        self.gating = gating
        self.normalizesWeights = normalizesWeights
        self.weightsScale = weightsScale
    }

    /// How router logits become probabilities (`expert_gating_func`: 1 softmax, 2 sigmoid).
    package enum Gating: String, Sendable, Codable { case softmax, sigmoid }
}

/// Rotary position embedding: base, rotated width, and the frequency scaling that the metadata asks
/// for.
package struct RotaryEmbedding: Sendable, Codable, Equatable {
    package var base: Float
    /// Leading elements of each head that are rotated.
    package var rotatedWidth: Int
    package var scaling: Scaling

    package init(base: Float, rotatedWidth: Int, scaling: Scaling = .none) {
        self.base = base
        self.rotatedWidth = rotatedWidth
        self.scaling = scaling
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
