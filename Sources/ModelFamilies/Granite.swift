// IBM's Granite 3: Llama's shape with scales everywhere.

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

extension ShapeReader {
    fileprivate func granite(
        experts: DecoderTraits.Presence
    ) throws(FormatError) -> ModelShape {
        var traits = DecoderTraits(pairing: .adjacent)
        traits.biases = .wherePresent
        traits.experts = experts
        traits.sharedExpert = .whereNamed
        traits.normalizesExpertWeights = true
        var shape = try decoder(traits)
        shape.embeddingScale = try positive("embedding_scale")
        // Logits are divided by it.
        guard let divisor = try positive("logit_scale") else {
            throw metadata.missing(key("logit_scale"))
        }
        shape.logitScale = 1 / divisor
        let residual = try positive("residual_scale")
        for index in shape.layers.indices { shape.layers[index].residualScale = residual }
        let attention = try positive("attention.scale")
        shape.changeAttention { _, mixer in mixer.scale = attention }
        return shape
    }
}
