// Llama and what has its shape.

internal import ModelFormat

extension ModelFamily {
    /// Llama 1 to 3 and everything in its shape: Mistral, and Mixtral with its experts, whose
    /// weights sum to one.
    static let llama = ModelFamily("llama") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .adjacent)
        traits.mayRotatePartly = false
        traits.biases = .wherePresent
        traits.experts = .wherePresent
        traits.normalizesExpertWeights = true
        return try reader.decoder(traits)
    }
}
