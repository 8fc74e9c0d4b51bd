// Ling 3: Kimi's delta rule in most layers, gated latent attention in the others.

internal import ModelFormat

extension ModelFamily {
    /// Ant's BailingMoE 3 (Ling 3.0). A layer without heads of keys has Kimi Delta Attention (arXiv
    /// 2510.26692), whose states forget each number of a key by itself, within a bound.
    static let bailingMoE3 = ModelFamily("bailingmoe3") { reader throws(FormatError) in
        let turnsHalves = try reader.sections().contains { $0 != 0 }
        var traits = DecoderTraits(pairing: turnsHalves ? .halves : .adjacent)
        traits.mayLackAttention = true
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.mayLeadDense = true
        let namesShared =
            try reader.uniform(
                "expert_shared_feed_forward_length", 0...ShapeReader.feedForwardWidthMax) ?? 0 > 0
        traits.sharedExpert = namesShared ? .whereNamed : .counted
        traits.selectionBias = .required
        let bounds = try reader.bounds("swiglu_clamp_exp")
        let otherBounds = try reader.bounds("swiglu_clamp_shexp")
        var shape = try reader.decoder(traits)
        var latent = try reader.latent(heads: shape.attention.headCount, traits)
        latent.gatesHeads = true
        let rule = try reader.kimiDeltaRule(heads: latent.headCount)
        let heads = try reader.keyValueHeadCounts(layers: shape.layerCount)
        for index in shape.layers.indices {
            shape.layers[index].feedForward.mixture?.bound = bounds(index)
            shape.layers[index].feedForward.mixture?.shared?.bound = otherBounds(index)
            shape.layers[index].feedForward.dense?.bound = otherBounds(index)
            shape.layers[index].mixer =
                heads[index] == 0 ? .recurrent(.deltaRule(rule)) : .latent(latent)
        }
        return shape
    }
}

extension ShapeReader {
    fileprivate func sections() throws(FormatError) -> [Int] {
        try metadata.integers(key("rope.dimension_sections"), countMax: 4) ?? []
    }

    fileprivate func kimiDeltaRule(heads: Int) throws(FormatError) -> DeltaRuleMixer {
        let bound = try float("kda.gate_lower_bound", -1000 ... -Float.leastNormalMagnitude)
        guard let bound else { throw metadata.missing(key("kda.gate_lower_bound")) }
        if try metadata.bool(key("kda.safe_gate")) == false {
            throw wrong("kda.safe_gate", expected: "true", found: "false")
        }
        return DeltaRuleMixer(
            convolutionLength: try requiredUniform(
                "ssm.conv_kernel", PackedLimits.convolutionLengths),
            keyHeadCount: heads, valueHeadCount: heads,
            headWidth: try requiredUniform("kda.head_dim", 1...Self.headWidthMax),
            alternatesKeys: false, decayBound: bound)
    }

    /// Bounds of gates and of what they multiply, one for all layers or one for each; too small a
    /// one is none.
    fileprivate func bounds(_ name: String) throws(FormatError) -> (Int) -> Float? {
        let least: Float = 1e-6
        let list = try metadata.floats(key(name), countMax: Self.layersMax) ?? []
        if let bound = list.first(where: { !$0.isFinite }) {
            throw wrong(name, expected: "finite bounds", found: "\(bound)")
        }
        return { layer in
            let bound = list.count == 1 ? list[0] : layer < list.count ? list[layer] : 0
            return bound > least ? bound : nil
        }
    }
}
