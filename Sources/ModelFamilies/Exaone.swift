// EXAONE 4: norms after each half, norms on heads, and in the large model layers that see all but
// do not rotate.

internal import ModelFormat

extension ModelFamily {
    /// EXAONE 4 (arXiv 2507.11407). The model of 64 layers alone has windows, of 4,096 positions
    /// where the file names none; one layer of four sees all and does not rotate. Others ignore
    /// what is said of windows, as llama.cpp does.
    static let exaone4 = ModelFamily("exaone4") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .perHead
        traits.slots = .after
        traits.windows = WindowPattern(period: 4)
        var shape = try reader.decoder(traits)
        let isLarge = shape.layers.count == 64
        let isNamed = shape.attentions.contains { $0.window != nil }
        shape.changeAttention { layer, mixer in
            guard isLarge else { return mixer.window = nil }
            if !isNamed && layer % 4 != 3 { mixer.window = 4_096 }
            if mixer.window == nil { mixer.rope = nil }
        }
        return shape
    }
}
