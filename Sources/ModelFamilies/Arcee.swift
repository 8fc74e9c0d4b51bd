// Arcee: squared ReLU without a gate.

internal import ModelFormat

extension ModelFamily {
    /// Arcee AFM: Llama's attention, and a feed-forward network without a gate whose activation is
    /// the squared ReLU.
    static let arcee = ModelFamily("arcee") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .adjacent)
        traits.activation = .relu2
        traits.isGated = false
        return try reader.decoder(traits)
    }
}
