// How a layer mixes positions with a state of fixed size in place of keys and values of all of
// them: what is seen of the past does not grow, and cannot be taken back.

/// A mixer with a state. JSON: an object with one key.
package enum RecurrentMixer: Sendable, Codable, Equatable {
    case shortConvolution(ConvolutionMixer)
    case deltaRule(DeltaRuleMixer)
    case stateSpace(StateSpaceMixer)

    private enum CodingKeys: String, CodingKey { case shortConvolution, deltaRule, stateSpace }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if let mixer = try container.decodeIfPresent(
            ConvolutionMixer.self, forKey: .shortConvolution)
        {
            self = .shortConvolution(mixer)
        } else if let mixer = try container.decodeIfPresent(
            DeltaRuleMixer.self, forKey: .deltaRule)
        {
            self = .deltaRule(mixer)
        } else {
            self = .stateSpace(try container.decode(StateSpaceMixer.self, forKey: .stateSpace))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .shortConvolution(let mixer): try container.encode(mixer, forKey: .shortConvolution)
        case .deltaRule(let mixer): try container.encode(mixer, forKey: .deltaRule)
        case .stateSpace(let mixer): try container.encode(mixer, forKey: .stateSpace)
        }
    }
}

/// Gates around a causal convolution of each channel: `out(after · conv(before · x))` (LFM2).
package struct ConvolutionMixer: Sendable, Codable, Equatable {
    /// Positions of the convolution, the token's own included.
    package var length: Int

    package init(length: Int) { self.length = length }
}

/// Gated DeltaNet (arXiv 2412.06464): a convolution of queries, keys and values, then of each head
/// a matrix that forgets a share, and learns the value of a key (Qwen 3.5, Qwen3-Next).
package struct DeltaRuleMixer: Sendable, Codable, Equatable {
    /// Positions of the convolution, the token's own included.
    package var convolutionLength: Int
    /// Heads of queries and keys.
    package var keyHeadCount: Int
    /// Heads of values, which are those of states.
    package var valueHeadCount: Int
    /// Width of a head of either kind.
    package var headWidth: Int
    /// Whether value head v has key head v modulo their number (Qwen 3.5), and not those of its
    /// group (Qwen3-Next).
    package var alternatesKeys: Bool
    /// The logarithm of the least that a token leaves of a state, where that is told for each
    /// number of a key (Kimi Delta Attention, arXiv 2510.26692); nil where it is for each head.
    package var decayBound: Float?

    package init(
        convolutionLength: Int, keyHeadCount: Int, valueHeadCount: Int, headWidth: Int,
        alternatesKeys: Bool, decayBound: Float? = nil
    ) {
        self.decayBound = decayBound
        self.convolutionLength = convolutionLength
        self.keyHeadCount = keyHeadCount
        self.valueHeadCount = valueHeadCount
        self.headWidth = headWidth
        self.alternatesKeys = alternatesKeys
    }

    package var valueWidth: Int { valueHeadCount * headWidth }
    /// What tells of a token how much is left.
    package var decayWidth: Int { valueHeadCount * (decayBound == nil ? 1 : headWidth) }
    /// Queries, keys and values of a token: the convolution's channels.
    package var inputWidth: Int { (2 * keyHeadCount + valueHeadCount) * headWidth }
}

/// Mamba 2 (arXiv 2405.21060): a convolution of values, keys and queries, then of each head a
/// matrix that forgets a share and adds what a token's step says.
package struct StateSpaceMixer: Sendable, Codable, Equatable {
    /// Positions of the convolution, the token's own included.
    package var convolutionLength: Int
    package var hasConvolutionBias: Bool
    /// Heads of values, which are those of states.
    package var headCount: Int
    /// Width of a head of values.
    package var headWidth: Int
    /// Groups of heads that share a key and a query.
    package var groupCount: Int
    /// Width of a key or a query.
    package var stateWidth: Int

    package init(
        convolutionLength: Int, hasConvolutionBias: Bool, headCount: Int, headWidth: Int,
        groupCount: Int, stateWidth: Int
    ) {
        self.convolutionLength = convolutionLength
        self.hasConvolutionBias = hasConvolutionBias
        self.headCount = headCount
        self.headWidth = headWidth
        self.groupCount = groupCount
        self.stateWidth = stateWidth
    }

    package var valueWidth: Int { headCount * headWidth }
    /// Values, keys and queries of a token: the convolution's channels.
    package var inputWidth: Int { valueWidth + 2 * groupCount * stateWidth }
}

/// Widths of a layer whose heads have a state.
package struct StateWidths: Sendable, Equatable {
    /// Queries, keys and values of a token: the convolution's channels.
    package let input: Int
    package let values: Int
    package let heads: Int
    /// What tells how much is left.
    package let decays: Int
}

extension RecurrentMixer {
    /// Nil where a convolution is all.
    package var widths: StateWidths? {
        switch self {
        case .shortConvolution: nil
        case .deltaRule(let mixer):
            StateWidths(
                input: mixer.inputWidth, values: mixer.valueWidth, heads: mixer.valueHeadCount,
                decays: mixer.decayWidth)
        case .stateSpace(let mixer):
            StateWidths(
                input: mixer.inputWidth, values: mixer.valueWidth, heads: mixer.headCount,
                decays: mixer.headCount)
        }
    }

    /// Floats of one layer's state, for a residual stream of `width`: what its convolution keeps,
    /// then its heads' matrices.
    package func stateCount(width: Int) -> Int {
        switch self {
        case .shortConvolution(let mixer): (mixer.length - 1) * width
        case .deltaRule(let mixer):
            (mixer.convolutionLength - 1) * mixer.inputWidth
                + mixer.valueWidth * mixer.headWidth
        case .stateSpace(let mixer):
            (mixer.convolutionLength - 1) * mixer.inputWidth
                + mixer.valueWidth * mixer.stateWidth
        }
    }
}
