// A model's shape, layer by layer: all that computing, weights and sizing know of a family.
// Families exist only where files are imported; the packed manifest carries the shape whole.

/// Everything about a model that is not weights and not text.
package struct ModelShape: Sendable, Codable, Equatable {
    /// GGUF's name of the architecture, for people alone: nothing is decided by it.
    package var architecture: String
    /// Longest context the model was made for, in tokens.
    package var contextLength: Int
    /// Width of the residual stream.
    package var width: Int
    package var vocabularySize: Int
    package var layers: [LayerShape]
    /// The norm before the output matrix, and the kind that all norms of layers are.
    package var norm: NormShape
    /// Factor on the embeddings; nil is 1.
    package var embeddingScale: Float?
    /// Factor on the logits; nil is 1.
    package var logitScale: Float?
    /// `cap · tanh(logit / cap)`; nil is no cap.
    package var logitCap: Float?
    /// Width of the embedding that each layer has of its own for each token (Gemma 4's E models);
    /// nil is none.
    package var layerEmbeddingWidth: Int?
    /// Embeddings of positions, which are added to tokens'; nil where nothing is (OPT).
    package var learnedPositions: LearnedPositions?
    /// How a text becomes one vector, where the model was made for that and its file says so.
    package var pooling: Pooling?
    /// The activation's name where import was told to use another than the family's own.
    package var activationAsked: Activation?

    package init(
        architecture: String, contextLength: Int, width: Int, vocabularySize: Int,
        norm: NormShape, layers: [LayerShape]
    ) {
        self.architecture = architecture
        self.contextLength = contextLength
        self.width = width
        self.vocabularySize = vocabularySize
        self.norm = norm
        self.layers = layers
    }

    /// Changes every layer's attention; `body` is told the layer's number.
    package mutating func changeAttention(_ body: (Int, inout AttentionMixer) -> Void) {
        for index in layers.indices {
            guard case .attention(var mixer) = layers[index].mixer else { continue }
            body(index, &mixer)
            layers[index].mixer = .attention(mixer)
        }
    }
}

extension ModelShape {
    /// Changes every layer's mixture of experts; `body` is told the layer's number.
    package mutating func changeMixtures(_ body: (Int, inout MixtureShape) -> Void) {
        for index in layers.indices {
            guard var mixture = layers[index].feedForward.mixture else { continue }
            body(index, &mixture)
            layers[index].feedForward.mixture = mixture
        }
    }
}

/// Positions that a model has learned one by one, and no others.
package struct LearnedPositions: Sendable, Codable, Equatable {
    /// Rows of the table.
    package var count: Int
    /// The row of position 0.
    package var offset: Int

    package init(count: Int, offset: Int) {
        self.count = count
        self.offset = offset
    }
}

/// What a norm divides by.
package struct NormShape: Sendable, Codable, Equatable {
    package enum Kind: String, Sendable, Codable {
        /// Root mean square (arXiv 1910.07467): weights alone.
        case rootMeanSquare
        /// Layer norm (arXiv 1607.06450): weights and biases.
        case layer
    }

    package var kind: Kind
    package var epsilon: Float

    package init(_ kind: Kind, epsilon: Float) {
        self.kind = kind
        self.epsilon = epsilon
    }
}

/// The feed-forward network's nonlinearity.
package enum Activation: String, Sendable, Codable, CaseIterable {
    case silu, gelu, relu, relu2
    /// gpt-oss's gate and what it multiplies, both bounded; of experts alone.
    case swigluOAI = "swiglu_oai"

    /// Those that any network can have.
    package static let ofAnyNetwork = [Self.silu, .gelu, .relu, .relu2]

    /// Whether it makes most neurons' outputs exactly 0.
    package var isSparse: Bool { self == .relu || self == .relu2 }
}

/// One layer: a mixer of positions, a feed-forward network, and what stands around them.
package struct LayerShape: Sendable, Codable, Equatable {
    /// How the two halves are joined.
    package enum Wiring: String, Sendable, Codable {
        /// `h = x + mixer(x)`, `y = h + feedForward(h)`.
        case sequential
        /// Both read one norm of `x`; both are added (Cohere 2).
        case parallel
    }

    package var mixer: MixerShape
    package var feedForward: FeedForwardShape
    package var norms: NormSlots
    package var wiring = Wiring.sequential
    /// Factor on what each half adds to the residual stream; nil is 1.
    package var residualScale: Float?
    /// Whether a number of the layer's own multiplies its output (Gemma 4).
    package var hasOutputScale = false

    package init(mixer: MixerShape, feedForward: FeedForwardShape, norms: NormSlots = .before) {
        self.mixer = mixer
        self.feedForward = feedForward
        self.norms = norms
    }
}

extension LayerShape {
    /// Heads whose rows some files have in turn: query and gate, step and decay.
    package var fusedHeadCount: Int {
        switch mixer {
        case .attention(let attention): attention.headCount
        case .recurrent(.deltaRule(let mixer)): mixer.keyHeadCount
        case .latent(let mixer): mixer.headCount
        case .recurrent(.shortConvolution), .recurrent(.stateSpace), .none: 1
        }
    }
}

/// Where norms stand.
package struct NormSlots: Sendable, Codable, Equatable {
    package var beforeMixer: Bool
    package var afterMixer: Bool
    package var beforeFeedForward: Bool
    package var afterFeedForward: Bool

    /// Before each half, as most families have them.
    package static let before = NormSlots(before: true, after: false)
    /// On what each half adds (OLMo 2).
    package static let after = NormSlots(before: false, after: true)
    /// Both (Gemma 3).
    package static let around = NormSlots(before: true, after: true)
    /// Before a mixer that is all of its layer (Nemotron 3).
    package static let beforeMixerAlone = before.without(\.beforeFeedForward)
    /// Before a network that is.
    package static let beforeFeedForwardAlone = before.without(\.beforeMixer)

    private func without(_ slot: WritableKeyPath<Self, Bool>) -> Self {
        var slots = self
        slots[keyPath: slot] = false
        return slots
    }

    private init(before: Bool, after: Bool) {
        beforeMixer = before
        afterMixer = after
        beforeFeedForward = before
        afterFeedForward = after
    }
}
