// Arcee's Trinity: norms around both halves, a gate on what attention gives, mixtures after the
// first layers.

internal import ModelFormat

extension ModelFamily {
    /// Trinity (GGUF's `afmoe`). Three layers of four attend in the window that the file names;
    /// every fourth does not rotate, whatever the pattern.
    static let afmoe = ModelFamily("afmoe") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .perHead
        traits.slots = .around
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.mayLeadDense = true
        traits.gating = .sigmoid
        traits.selectionBias = .required
        traits.sharedExpert = .counted
        traits.windows = WindowPattern(period: 4)
        var shape = try reader.decoder(traits)
        shape.embeddingScale = Float(shape.width).squareRoot()
        let base = try reader.float("rope.freq_base_swa", 1...1e12)
        shape.changeAttention { layer, mixer in
            mixer.outputGate = .sigmoid
            if let base, mixer.window != nil { mixer.rope?.base = base }
            if layer % 4 == 3 { mixer.rope = nil }
        }
        return shape
    }
}
