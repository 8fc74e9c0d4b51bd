// GLM 4.5: biases before attention, sigmoid routing after dense layers.

internal import ModelFormat

extension ModelFamily {
    /// GLM 4.5 and 4.5 Air (arXiv 2508.06471): a part of each head is rotated; the large model has
    /// norms on query and key heads, Air none. The feed-forward network's norm is called
    /// `post_attention_norm`.
    static let glm4MoE = ModelFamily("glm4moe") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.biases = .wherePresent
        if reader.has(.queryNorm, layer: 0) { traits.headNorm = .perHead }
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.mayLeadDense = true
        traits.sharedExpert = .counted
        traits.gating = .sigmoid
        traits.selectionBias = .required
        return try reader.decoder(traits)
    }
}
