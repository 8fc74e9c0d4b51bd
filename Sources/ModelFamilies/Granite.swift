// IBM's Granite 3: Llama's shape with scales everywhere; Granite 4: with Mamba 2 in most layers.

internal import ModelFormat

extension ModelFamily {
    /// Granite 3 dense. `rope.scaling.finetuned` set to false leaves heads as they are.
    static let granite = ModelFamily("granite") { reader throws(FormatError) in
        var shape = try reader.granite(experts: .none)
        if try reader.metadata.bool(reader.key("rope.scaling.finetuned")) == false {
            shape.changeAttention { _, mixer in mixer.rope = nil }
        }
        return shape
    }

    /// Granite 3 MoE: the experts' width is `feed_forward_length`, their weights sum to one, and a
    /// shared expert, where there is one, has no gate.
    static let graniteMoE = ModelFamily("granitemoe") { reader throws(FormatError) in
        try reader.granite(experts: .required)
    }
}

extension ModelFamily {
    /// Granite 4, dense and mixtures: a layer without heads of keys has a state space.
    static let graniteHybrid = ModelFamily("granitehybrid") { reader throws(FormatError) in
        var shape = try reader.granite(experts: .wherePresent, isHybrid: true)
        if try reader.metadata.bool(reader.key("rope.scaling.finetuned")) == false {
            shape.changeAttention { _, mixer in mixer.rope = nil }
        }
        let heads = try reader.keyValueHeadCounts(layers: shape.layerCount)
        for (layer, count) in heads.enumerated() where count == 0 {
            let mixer = try reader.stateSpace(layer: layer)
            shape.layers[layer].mixer = .recurrent(.stateSpace(mixer))
        }
        return shape
    }
}

extension ShapeReader {
    fileprivate func granite(
        experts: DecoderTraits.Presence, isHybrid: Bool = false
    ) throws(FormatError) -> ModelShape {
        var traits = DecoderTraits(pairing: .adjacent)
        traits.mayLackAttention = isHybrid
        traits.biases = .wherePresent
        traits.experts = experts
        traits.sharedExpert = .whereNamed
        traits.normalizesExpertWeights = true
        var shape = try decoder(traits)
        shape.embeddingScale = try positive("embedding_scale")
        // Logits are divided by it.
        let divisor = try positive("logit_scale")
        guard divisor != nil || isHybrid else { throw metadata.missing(key("logit_scale")) }
        shape.logitScale = divisor.map { 1 / $0 }
        let residual = try positive("residual_scale")
        for index in shape.layers.indices { shape.layers[index].residualScale = residual }
        let attention = try positive("attention.scale")
        shape.changeAttention { _, mixer in mixer.scale = attention }
        return shape
    }
}
