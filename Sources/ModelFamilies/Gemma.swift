// Gemma: norms around both halves, a GELU gate, most layers in a window.

internal import ModelFormat

extension ModelFamily {
    /// Gemma 2 (arXiv 2408.00118): every other layer in a window of 4,096 positions, scores and
    /// logits capped, at 50 and 30, where the file says nothing else.
    static let gemma2 = ModelFamily("gemma2") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.slots = .around
        traits.activation = .gelu
        traits.windows = WindowPattern(period: 2, length: 4_096)
        var shape = try reader.decoder(traits)
        shape.embeddingScale = Float(shape.width).squareRoot()
        shape.logitCap = try reader.positive("final_logit_softcapping", default: 30)
        let scoreCap = try reader.positive("attn_logit_softcapping", default: 50)
        let base = try reader.float("rope.freq_base_swa", 1...1e12)
        // The 27B model, told by its layers, divides by the root of the heads' share of the width.
        let isLargest = shape.layerCount == 46
        let width = shape.width
        shape.changeAttention { _, mixer in
            mixer.scoreCap = scoreCap
            if isLargest { mixer.scale = 1 / Float(width / mixer.headCount).squareRoot() }
            if let base, mixer.window != nil { mixer.rope?.base = base }
        }
        return shape
    }

    /// Gemma 3 (arXiv 2503.19786). Layers in a window rotate by a base of their own, unscaled;
    /// norms' weights in files already have the 1 that the trained ones lack.
    static let gemma3 = ModelFamily("gemma3") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .perHead
        traits.slots = .around
        traits.activation = .gelu
        traits.windows = WindowPattern(period: 6)
        var shape = try reader.decoder(traits)
        shape.embeddingScale = Float(shape.width).squareRoot()
        shape.logitCap = try reader.positive("final_logit_softcapping")
        let base = try reader.float("rope.freq_base_swa", 1...1e12) ?? 10_000
        // The 27B model, told by its layers, divides by the root of the heads' share of the width.
        let isLargest = shape.layerCount == 62
        let width = shape.width
        shape.changeAttention { _, mixer in
            if isLargest { mixer.scale = 1 / Float(width / mixer.headCount).squareRoot() }
            guard mixer.window != nil else { return }
            mixer.rope?.base = base
            mixer.rope?.scaling = .none
        }
        return shape
    }
}
