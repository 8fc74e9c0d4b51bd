// The OLMo families: norms over whole projections.

internal import ModelFormat

extension ModelFamily {
    /// OLMoE (arXiv 2409.02060): norms over the whole query and key projections; expert weights are
    /// left as the softmax gives them.
    static let olmoe = ModelFamily("olmoe") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .wholeProjection
        traits.experts = .required
        return try reader.decoder(traits)
    }
}
