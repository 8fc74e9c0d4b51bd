// Liquid's LFM2: short convolutions in most layers, attention in the rest; mixtures after the first
// layers in some.

internal import ModelFormat

extension ModelFamily {
    /// LFM2 and 2.5 (arXiv 2511.23404): a layer without heads of keys has a convolution. The norm
    /// before the output is called `token_embd_norm`. Attention may be in a window.
    static let lfm2 = ModelFamily("lfm2") { reader throws(FormatError) in
        try reader.lfm2(.lfm2)
    }

    /// The mixtures: sigmoid routing with a selection bias, after dense layers.
    static let lfm2MoE = ModelFamily("lfm2moe") { reader throws(FormatError) in
        var traits = DecoderTraits.lfm2
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.mayLeadDense = true
        traits.gating = .sigmoid
        traits.selectionBias = .required
        traits.normalizesExpertWeights = true
        return try reader.lfm2(traits)
    }
}

extension DecoderTraits {
    fileprivate static var lfm2: DecoderTraits {
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .perHead
        traits.mayLackAttention = true
        traits.windows = WindowPattern(period: 0)
        return traits
    }
}

extension ShapeReader {
    fileprivate func lfm2(_ traits: DecoderTraits) throws(FormatError) -> ModelShape {
        var shape = try decoder(traits)
        let length = try requiredUniform("shortconv.l_cache", PackedLimits.convolutionLengths)
        let mixer = RecurrentMixer.shortConvolution(ConvolutionMixer(length: length))
        for (layer, heads) in try keyValueHeadCounts(layers: shape.layerCount).enumerated()
        where heads == 0 {
            shape.layers[layer].mixer = .recurrent(mixer)
        }
        return shape
    }
}
