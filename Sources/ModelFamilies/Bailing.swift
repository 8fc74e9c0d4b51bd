// Ling and Ring 2: DeepSeek-V3's routing with groups, query, key and value in one tensor.

internal import ModelFormat

extension ModelFamily {
    /// Ant's BailingMoE 2 (Ling 2.0, arXiv 2510.22115): norms on query and key heads, of which a
    /// part is rotated; sigmoid routing within the best groups of experts.
    static let bailingMoE2 = ModelFamily("bailingmoe2") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .perHead
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.mayLeadDense = true
        traits.sharedExpert = .counted
        traits.gating = .sigmoid
        traits.selectionBias = .wherePresent
        return try reader.decoder(traits)
    }
}
