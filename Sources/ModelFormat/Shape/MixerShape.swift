// How a layer mixes positions: the kinds that families use, those that nothing computes yet too
// (ModelShape+Computed.swift tells which).

/// The half of a layer that looks at other positions. JSON: an object with one key.
package enum MixerShape: Sendable, Codable, Equatable {
    case attention(AttentionMixer)
    case latent(LatentMixer)
    case recurrent(RecurrentMixer)
    case none

    private enum CodingKeys: String, CodingKey { case attention, latent, recurrent, none }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if let attention = try container.decodeIfPresent(AttentionMixer.self, forKey: .attention) {
            self = .attention(attention)
        } else if let latent = try container.decodeIfPresent(LatentMixer.self, forKey: .latent) {
            self = .latent(latent)
        } else if let recurrent = try container.decodeIfPresent(
            RecurrentMixer.self, forKey: .recurrent)
        {
            self = .recurrent(recurrent)
        } else {
            _ = try container.decode(Bool.self, forKey: .none)
            self = .none
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .attention(let attention): try container.encode(attention, forKey: .attention)
        case .latent(let latent): try container.encode(latent, forKey: .latent)
        case .recurrent(let recurrent): try container.encode(recurrent, forKey: .recurrent)
        case .none: try container.encode(true, forKey: .none)
        }
    }
}

extension MixerShape {
    /// What the KV cache sees of it; nil where it has no keys.
    package var attention: AttentionMixer? {
        switch self {
        case .attention(let mixer): mixer
        case .latent(let mixer): mixer.attention
        case .recurrent, .none: nil
        }
    }
}

/// Softmax attention over keys and values of one kind of head.
package struct AttentionMixer: Sendable, Codable, Equatable {
    /// Where RMS norms stand between the query and key projections and attention.
    package enum HeadNorm: String, Sendable, Codable {
        case none
        /// Over each head alone; weights are one head wide.
        case perHead
        /// Over all heads together; weights are as wide as the projection.
        case wholeProjection
    }

    /// A factor from the input on what attention gives.
    package enum OutputGate: String, Sendable, Codable {
        case none, sigmoid, softplus
        /// One for each head, not for each element.
        case softplusOfHeads, sigmoidOfHeads
    }

    package var headCount: Int
    package var keyValueHeadCount: Int
    /// Width of one query or key head.
    package var keyHeadWidth: Int
    /// Width of one value head.
    package var valueHeadWidth: Int
    /// Nil where nothing turns with the position.
    package var rope: RotaryEmbedding?
    package var headNorm = HeadNorm.none
    /// Whether the head norms come after the rotary embedding (Hunyuan).
    package var normsRotated = false
    /// Whether values are normed too, each head by itself, without weights (Gemma 4).
    package var normsValues = false
    /// Whether values are what keys are before their norm (Gemma 4); nil is no.
    package var valuesAreKeys: Bool?
    package var biases = Biases()
    /// Factor on scores; nil is one over the root of ``keyHeadWidth``.
    package var scale: Float?
    /// `cap · tanh(score / cap)`; nil is no cap (Gemma 2).
    package var scoreCap: Float?
    /// Positions that a query sees, its own included; nil is all before it.
    package var window: Int?
    /// Whether each head has a score without a value (gpt-oss).
    package var hasSinks = false
    /// How queries grow with the position; nil is not.
    package var positionTemperature: PositionTemperature?
    package var outputGate = OutputGate.none
    /// The layer whose keys and values are read; nil is this one (Gemma 4).
    package var keyValueLayer: Int?

    package init(
        headCount: Int, keyValueHeadCount: Int, keyHeadWidth: Int, valueHeadWidth: Int,
        rope: RotaryEmbedding?
    ) {
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.keyHeadWidth = keyHeadWidth
        self.valueHeadWidth = valueHeadWidth
        self.rope = rope
    }

    /// Which projections have biases.
    package struct Biases: Sendable, Codable, Equatable {
        package var query = false
        package var key = false
        package var value = false
        package var output = false

        package init() {}
    }

    package var queryWidth: Int { headCount * keyHeadWidth }
    package var keyWidth: Int { keyValueHeadCount * keyHeadWidth }
    package var valueWidth: Int { keyValueHeadCount * valueHeadWidth }
    package var attendedWidth: Int { headCount * valueHeadWidth }
    /// Factors of a token's output gate; 0 where there is none.
    package var gateWidth: Int {
        switch outputGate {
        case .none: 0
        case .sigmoid, .softplus: attendedWidth
        case .softplusOfHeads, .sigmoidOfHeads: headCount
        }
    }
}

/// Queries at position p are multiplied by `1 + scale · ln(1 + ⌊p / interval⌋)`, so that attention
/// stays sharp in long contexts (Llama 4, Mistral 3).
package struct PositionTemperature: Sendable, Codable, Equatable {
    package var scale: Float
    package var interval: Int

    package init(scale: Float, interval: Int) {
        self.scale = scale
        self.interval = interval
    }
}
