// SmolLM3: Llama's shape; every fourth layer does not rotate.

internal import ModelFormat

extension ModelFamily {
    /// SmolLM3: positions are told by three layers of four (NoPE, arXiv 2501.18795).
    static let smolLM3 = ModelFamily("smollm3") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .adjacent)
        traits.biases = .wherePresent
        var shape = try reader.decoder(traits)
        shape.changeAttention { layer, mixer in
            if (layer + 1) % 4 == 0 { mixer.rope = nil }
        }
        return shape
    }
}
