// gpt-oss: mixtures of experts with biases everywhere, attention sinks, every other layer in a
// window.

internal import ModelFormat

extension ModelFamily {
    /// gpt-oss (arXiv 2508.10925): a softmax over the chosen experts' logits, a bounded SwiGLU,
    /// YaRN in all layers.
    static let gptOSS = ModelFamily("gpt-oss") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.biases = .wherePresent
        traits.activation = .swigluOAI
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.gating = .softmaxOfChosen
        traits.windows = WindowPattern(period: 2)
        var shape = try reader.decoder(traits)
        let base = try reader.float("rope.freq_base_swa", 1...1e12)
        shape.changeAttention { _, mixer in
            mixer.hasSinks = true
            if let base, mixer.window != nil { mixer.rope?.base = base }
        }
        shape.changeMixtures { _, mixture in
            mixture.hasRouterBias = true
            mixture.hasExpertBiases = true
        }
        return shape
    }
}
