// SmallThinker: a router that reads a layer's input before attention, ReLU experts.

internal import ModelFormat

extension ModelFamily {
    /// SmallThinker (arXiv 2507.20984), made for devices: which experts a layer needs is known
    /// before its attention, so that they can be read meanwhile. Where files name a window it is of
    /// 4,096 positions whatever they say (as in llama.cpp); one layer of four sees all, and does
    /// not rotate.
    static let smallThinker = ModelFamily("smallthinker") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.activation = .relu
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.normalizesExpertWeights = true
        traits.windows = WindowPattern(period: 4, isFullFirst: true)
        var shape = try reader.decoder(traits)
        let hasWindows = shape.attentions.contains { $0.window != nil }
        shape.changeAttention { _, mixer in
            if mixer.window != nil { mixer.window = 4_096 } else if hasWindows { mixer.rope = nil }
        }
        for index in shape.layers.indices {
            shape.layers[index].feedForward.mixture?.routerInput = .layerInput
        }
        return shape
    }
}
