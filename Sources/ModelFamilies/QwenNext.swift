// Qwen3-Next and Qwen 3.5: Gated DeltaNet in three layers of four, attention with a gate in the
// fourth.

internal import ModelFormat

extension ModelFamily {
    /// Qwen 3.5 and 3.6, dense. The feed-forward network's norm is called `post_attention_norm`.
    static let qwen35 = ModelFamily("qwen35") { reader throws(FormatError) in
        try reader.qwenNext(.qwenNext, alternatesKeys: true)
    }

    /// The mixtures: a shared expert behind a sigmoid gate.
    static let qwen35MoE = ModelFamily("qwen35moe") { reader throws(FormatError) in
        try reader.qwenNext(.qwenNextMixture, alternatesKeys: true)
    }

    /// Qwen3-Next and Qwen3-Coder-Next: heads of values in groups that share one of keys.
    static let qwen3Next = ModelFamily("qwen3next") { reader throws(FormatError) in
        try reader.qwenNext(.qwenNextMixture, alternatesKeys: false)
    }
}

extension DecoderTraits {
    fileprivate static var qwenNext: DecoderTraits {
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .perHead
        traits.mayLackAttention = true
        return traits
    }

    fileprivate static var qwenNextMixture: DecoderTraits {
        var traits = qwenNext
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.normalizesExpertWeights = true
        traits.sharedExpert = .gated
        return traits
    }
}

extension ShapeReader {
    fileprivate func qwenNext(
        _ traits: DecoderTraits, alternatesKeys: Bool
    ) throws(FormatError) -> ModelShape {
        var shape = try decoder(traits)
        shape.changeAttention { _, mixer in mixer.outputGate = .sigmoid }
        let mixer = RecurrentMixer.deltaRule(try deltaRule(alternatesKeys: alternatesKeys))
        for (layer, isRecurrent) in try recurrentLayers(shape.layerCount).enumerated()
        where isRecurrent {
            shape.layers[layer].mixer = .recurrent(mixer)
        }
        return shape
    }

    /// `ssm.*`, as llama.cpp names what linear attention has in place of Mamba's.
    private func deltaRule(alternatesKeys: Bool) throws(FormatError) -> DeltaRuleMixer {
        let heads = try requiredUniform("ssm.time_step_rank", 1...Self.headsMax)
        let keyHeads = try requiredUniform("ssm.group_count", 1...heads)
        guard heads % keyHeads == 0 else {
            throw wrong(
                "ssm.group_count", expected: "a divisor of the \(heads) heads of values",
                found: "\(keyHeads)")
        }
        let width = try requiredUniform("ssm.state_size", 1...Self.headWidthMax)
        let inner = try requiredUniform("ssm.inner_size", 1...Self.widthMax)
        guard inner == heads * width else {
            throw wrong(
                "ssm.inner_size", expected: "\(heads) heads of \(width), \(heads * width)",
                found: "\(inner)")
        }
        return DeltaRuleMixer(
            convolutionLength: try requiredUniform(
                "ssm.conv_kernel", PackedLimits.convolutionLengths),
            keyHeadCount: keyHeads, valueHeadCount: heads, headWidth: width,
            alternatesKeys: alternatesKeys)
    }

    /// Which layers have no attention: as the file lists them, else all but one in a period.
    private func recurrentLayers(_ layers: Int) throws(FormatError) -> [Bool] {
        let name = "attention.recurrent_layers"
        if let list = try metadata.integers(key(name), countMax: Self.layersMax) {
            guard list.count >= layers else {
                throw wrong(name, expected: "a value for each layer", found: "\(list.count) values")
            }
            return list.prefix(layers).map { $0 != 0 }
        }
        let period = try uniform("full_attention_interval", 1...Self.layersMax) ?? 4
        return (0..<layers).map { ($0 + 1) % period != 0 }
    }
}
