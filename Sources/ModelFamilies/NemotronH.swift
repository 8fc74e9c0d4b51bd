// Nemotron-H, Nemotron Nano 2 and Nemotron 3: layers that are Mamba 2, attention or a network
// alone.

internal import ModelFormat

extension ModelFamily {
    /// Dense (arXiv 2504.03624): squared ReLU without a gate, nothing turns.
    static let nemotronH = ModelFamily("nemotron_h") { reader throws(FormatError) in
        try reader.nemotronH(.nemotronH)
    }

    /// Mixtures: sigmoid routing with a bias, experts without gates.
    static let nemotronHMoE = ModelFamily("nemotron_h_moe") { reader throws(FormatError) in
        var traits = DecoderTraits.nemotronH
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.sharedExpert = .whereNamed
        traits.selectionBias = .required
        traits.gating = .sigmoid
        var shape = try reader.nemotronH(traits)
        shape.changeMixtures { _, mixture in mixture.gating = .sigmoid }
        return shape
    }
}

extension DecoderTraits {
    fileprivate static var nemotronH: DecoderTraits {
        var traits = DecoderTraits(pairing: .halves)
        traits.mayLackAttention = true
        traits.hasHalfLayers = true
        traits.mayNameLayerEpsilon = true
        traits.biases = .wherePresent
        traits.activation = .relu2
        traits.isGated = false
        return traits
    }
}

extension ShapeReader {
    /// A layer with a feed-forward width is a network; of the others one without heads of keys is a
    /// state space.
    fileprivate func nemotronH(_ traits: DecoderTraits) throws(FormatError) -> ModelShape {
        var shape = try decoder(traits)
        let scale = try positive("attention.scale")
        shape.changeAttention { _, mixer in
            mixer.rope = nil
            mixer.scale = scale
        }
        let heads = try keyValueHeadCounts(layers: shape.layerCount)
        for index in shape.layers.indices {
            if shape.layers[index].feedForward != .none {
                shape.layers[index].mixer = .none
                shape.layers[index].norms = .beforeFeedForwardAlone
                continue
            }
            shape.layers[index].norms = .beforeMixerAlone
            if heads[index] == 0 {
                shape.layers[index].mixer = .recurrent(.stateSpace(try stateSpace(layer: index)))
            }
        }
        return shape
    }
}
