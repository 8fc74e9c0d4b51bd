// MiniMax M2: norms over whole projections, sigmoid routing in every layer.

internal import ModelFormat

extension ModelFamily {
    /// MiniMax M2: a part of each head is rotated. Its experts' width is `feed_forward_length`, and
    /// their weights sum to one.
    static let miniMaxM2 = ModelFamily("minimax-m2") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .wholeProjection
        traits.experts = .required
        traits.gating = .sigmoid
        traits.selectionBias = .required
        traits.normalizesExpertWeights = true
        return try reader.decoder(traits)
    }
}
