// Nemotron: layer norms, a partly rotated head, squared ReLU without a gate.

internal import ModelFormat

extension ModelFamily {
    /// Nemotron 3, Nemotron 4 (arXiv 2402.16819) and Minitron: norms with biases, a feed-forward
    /// network without a gate whose activation is the squared ReLU. How much of a head is rotated
    /// the file says; its norms' weights already have the 1 that the trained ones lack.
    static let nemotron = ModelFamily("nemotron") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.norm = .layer
        traits.biases = .wherePresent
        traits.activation = .relu2
        traits.isGated = false
        return try reader.decoder(traits)
    }
}
