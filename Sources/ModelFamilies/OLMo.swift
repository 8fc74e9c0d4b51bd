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

    /// OLMo 2 (arXiv 2501.00656) and 3: no norm before a half of a layer, one on what it adds. Of
    /// OLMo 3's layers three of four attend in a window, and rotate unscaled.
    static let olmo2 = ModelFamily("olmo2") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .wholeProjection
        traits.slots = .after
        traits.windows = WindowPattern(period: 4)
        var shape = try reader.decoder(traits)
        let base = try reader.float("rope.freq_base_swa", 1...1e12)
        shape.changeAttention { _, mixer in
            guard mixer.window != nil else { return }
            mixer.rope?.scaling = .none
            if let base { mixer.rope?.base = base }
        }
        return shape
    }
}
