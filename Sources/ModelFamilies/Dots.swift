// dots.llm1: Qwen 3's attention; experts as DeepSeek-V3 has them, after dense layers.

internal import ModelFormat

extension ModelFamily {
    /// rednote's dots.llm1 (arXiv 2506.05767): norms on query and key heads; sigmoid routing, whose
    /// choice a bias balances; a shared expert in each layer that is a mixture.
    static let dots1 = ModelFamily("dots1") { reader throws(FormatError) in
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
