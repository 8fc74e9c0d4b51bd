// Hunyuan: norms on heads after they turned; dense and mixtures of experts.

internal import ModelFormat

extension ModelFamily {
    /// Hunyuan's dense models (github.com/Tencent-Hunyuan).
    static let hunyuanDense = ModelFamily("hunyuan-dense") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .perHead
        traits.normsRotated = true
        return try reader.decoder(traits)
    }

    /// Hunyuan-A13B: experts as wide as a dense network, one more that every token uses.
    static let hunyuanMoE = ModelFamily("hunyuan-moe") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .perHead
        traits.normsRotated = true
        traits.experts = .required
        traits.normalizesExpertWeights = true
        traits.sharedExpert = .plain
        return try reader.decoder(traits)
    }
}
