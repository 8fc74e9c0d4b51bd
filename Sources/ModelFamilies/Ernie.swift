// ERNIE 4.5: Llama's attention, softmax routing whose choice a bias balances.

internal import ModelFormat

extension ModelFamily {
    /// Baidu's ERNIE 4.5 mixtures. Whatever files say, the used experts' weights are probabilities
    /// of all that sum to one, as in llama.cpp.
    static let ernie45MoE = ModelFamily("ernie4_5-moe") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .adjacent)
        traits.mayRotatePartly = false
        traits.biases = .wherePresent
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.mayLeadDense = true
        traits.hasExpertStep = true
        traits.sharedExpert = .whereNamed
        traits.selectionBias = .wherePresent
        var shape = try reader.decoder(traits)
        for index in shape.layers.indices {
            shape.layers[index].feedForward.mixture?.gating = .softmax
            shape.layers[index].feedForward.mixture?.normalizesWeights = true
        }
        return shape
    }
}
