// Poolside's Laguna: heads and rotations that differ between layers in a window and others, and a
// gate on what attention gives.

internal import ModelFormat

extension ModelFamily {
    /// Laguna. The first layer of four sees all and rotates as the file says; those in a window
    /// rotate by a base and a width of their own, unscaled. The gate is one for each head, or for
    /// each element: the tensor tells.
    static let laguna = ModelFamily("laguna") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .perHead
        traits.headsMayDiffer = true
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.mayLeadDense = true
        traits.gating = .sigmoid
        traits.selectionBias = .required
        traits.sharedExpert = .whereNamed
        traits.windows = WindowPattern(period: 4, isFullFirst: true)
        var shape = try reader.decoder(traits)
        let base = try reader.float("rope.freq_base_swa", 1...1e12)
        let rotated = try reader.uniform(
            "rope.dimension_count_swa", 2...shape.attention.keyHeadWidth)
        let gates = try shape.layers.indices.map { layer throws(FormatError) in
            try reader.outputGate(shape, layer: layer)
        }
        shape.changeAttention { layer, mixer in
            mixer.outputGate = gates[layer]
            guard mixer.window != nil else { return }
            if let base { mixer.rope?.base = base }
            if let rotated { mixer.rope?.rotatedWidth = rotated }
            mixer.rope?.scaling = .none
        }
        return shape
    }
}

extension ShapeReader {
    /// By the rows of the layer's `attn_gate`.
    fileprivate func outputGate(
        _ shape: ModelShape, layer: Int
    ) throws(FormatError) -> AttentionMixer.OutputGate {
        let name = TensorNames.matrix(.attentionGate, layer: layer)
        guard case .attention(let mixer) = shape.layers[layer].mixer,
            let tensor = file.tensor(named: name)
        else { return .softplusOfHeads }
        return tensor.rows == mixer.headCount ? .softplusOfHeads : .softplus
    }
}
