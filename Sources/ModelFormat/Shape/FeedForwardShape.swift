// The half of a layer that looks at one position: dense, a mixture of experts, or both.

/// A feed-forward network. JSON: an object with a key for each part that there is.
package struct FeedForwardShape: Sendable, Codable, Equatable {
    package var dense: DenseShape?
    /// Beside the dense network where there is one (Gemma 4).
    package var mixture: MixtureShape?

    package static let none = FeedForwardShape()

    private init() {}

    package init(_ dense: DenseShape) { self.dense = dense }

    package init(_ mixture: MixtureShape) { self.mixture = mixture }

    /// Both, each with norms of its own around it, whose results are added.
    package init(_ dense: DenseShape, beside mixture: MixtureShape?) {
        self.dense = dense
        self.mixture = mixture
    }

    package var isBoth: Bool { dense != nil && mixture != nil }
}

/// One network that every token uses.
package struct DenseShape: Sendable, Codable, Equatable {
    package var width: Int
    package var activation: Activation
    /// Whether a gate's activation multiplies what goes up; else the activation is of that.
    package var isGated: Bool
    package var biases = Biases()
    /// What the gate's activation is at most, and what it multiplies at most and least (Ling 3);
    /// nil bounds neither.
    package var bound: Float?

    package init(width: Int, activation: Activation, isGated: Bool) {
        self.width = width
        self.activation = activation
        self.isGated = isGated
    }

    /// Which projections have biases.
    package struct Biases: Sendable, Codable, Equatable {
        package var gate = false
        package var up = false
        package var down = false

        package init() {}

        package var isEmpty: Bool { !gate && !up && !down }
    }
}

/// A mixture of experts.
package struct MixtureShape: Sendable, Codable, Equatable {
    /// How router logits become probabilities (`expert_gating_func` 1 to 4).
    package enum Gating: String, Sendable, Codable {
        case softmax, sigmoid
        /// Softmax over the chosen experts' logits alone (gpt-oss).
        case softmaxOfChosen
        case rootOfSoftplus
    }

    /// What the router reads.
    package enum RouterInput: String, Sendable, Codable {
        /// The norm that the experts read.
        case normed
        /// The layer's input as it is, before attention (SmallThinker).
        case layerInput
        /// The root mean square of the residual stream, scaled by weights of its own (Gemma 4).
        case scaled
    }

    package var count: Int
    /// Experts that each token uses.
    package var usedCount: Int
    /// Width of one expert's network.
    package var width: Int
    package var activation: Activation
    package var gating: Gating
    /// Whether the used experts' weights are scaled to sum to 1.
    package var normalizesWeights: Bool
    /// Factor on the used experts' weights.
    package var weightsScale: Float = 1
    package var routerInput = RouterInput.normed
    /// Whether a bias is added to probabilities where experts are chosen, and only there.
    package var hasSelectionBias = false
    /// Groups of experts, and those of them that are used; nil is no groups.
    package var groupCount: Int?
    package var groupUsedCount: Int?
    /// Whether the router's logits have a bias (gpt-oss).
    package var hasRouterBias = false
    /// Whether experts' projections have biases (gpt-oss).
    package var hasExpertBiases = false
    /// Whether experts have no gate, the shared one neither: the activation is then of what goes up
    /// (Nemotron 3); nil is no.
    package var isPlain: Bool?
    /// Whether each expert has a factor on its result (Gemma 4); nil is no.
    package var hasScales: Bool?
    /// What the gate's activation is at most, and what it multiplies at most and least (Ling 3);
    /// nil bounds neither.
    package var bound: Float?
    /// The expert that every token uses; nil is none.
    package var shared: SharedExpert?

    package init(
        count: Int, usedCount: Int, width: Int, activation: Activation, gating: Gating,
        normalizesWeights: Bool
    ) {
        self.count = count
        self.usedCount = usedCount
        self.width = width
        self.activation = activation
        self.gating = gating
        self.normalizesWeights = normalizesWeights
    }

    /// Whether a gate's activation multiplies what goes up.
    package var isGated: Bool { isPlain != true }

    package struct SharedExpert: Sendable, Codable, Equatable {
        package var width: Int
        /// Whether a sigmoid of the input multiplies its output (Qwen 2 MoE).
        package var hasGate: Bool
        /// As the experts'.
        package var bound: Float?

        package init(width: Int, hasGate: Bool) {
            self.width = width
            self.hasGate = hasGate
        }
    }
}
