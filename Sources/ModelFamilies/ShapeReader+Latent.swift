// `attention.*_lora_rank` and `*_mla`: latent attention.

internal import LinuxSystem
internal import ModelFormat

extension ShapeReader {
    /// The latent attention of a model's layers.
    ///
    /// `key_length_mla` and `value_length_mla` are the widths of heads that are not absorbed; files
    /// without them are from before, and `key_length` and `value_length` are these widths.
    func latent(heads: Int, _ traits: DecoderTraits) throws(FormatError) -> LatentMixer {
        let widths = 1...Self.headWidthMax
        let isAbsorbed = metadata.entry(self.key("attention.key_length_mla")) != nil
        let (keyName, valueName) =
            isAbsorbed
            ? ("attention.key_length_mla", "attention.value_length_mla")
            : ("attention.key_length", "attention.value_length")
        let key = try requiredUniform(keyName, widths)
        var rope = try rotaryEmbedding(
            headWidth: key, contextLength: try required("context_length", 1...Self.contextMax),
            traits)
        guard rope.rotatedWidth < key else {
            throw wrong(
                keyName, expected: "more than the \(rope.rotatedWidth) that turn", found: "\(key)")
        }
        guard try positive("attention.temperature_scale") == nil else {
            throw wrong(
                "attention.temperature_scale", expected: "none with latent attention",
                found: "a scale")
        }
        let isCompressed = has(.queryCompressionNorm, layer: 0)
        let magnitude = try scaleMagnitude(of: &rope)
        return LatentMixer(
            headCount: heads,
            queryRank: isCompressed
                ? try requiredUniform("attention.q_lora_rank", 1...Self.widthMax) : nil,
            keyValueRank: try requiredUniform("attention.kv_lora_rank", widths),
            plainHeadWidth: key - rope.rotatedWidth, turnedHeadWidth: rope.rotatedWidth,
            valueHeadWidth: try requiredUniform(valueName, widths), rope: rope,
            scale: magnitude * magnitude / Float(key).squareRoot())
    }

    /// The root of the factor on scores that YaRN makes, beside the width's. The rotation's own
    /// factor is 1 where `yarn_log_multiplier` (a tenth of YaRN's mscale_all_dim) is given.
    private func scaleMagnitude(of rope: inout RotaryEmbedding) throws(FormatError) -> Float {
        let name = "rope.scaling.yarn_log_multiplier"
        let multiplier = try float(name, 0...1_000_000) ?? 0
        guard case .yarn(var yarn) = rope.scaling, yarn.extrapolationFactor != 0 else { return 1 }
        let growth = max(0, Float(Mathematics.logarithm(Double(yarn.factor))))
        guard multiplier > 0 else { return yarn.attentionFactor * (1 + 0.1 * growth) }
        let magnitude = yarn.attentionFactor * (1 + multiplier * growth)
        yarn.attentionFactor /= 1 + 0.1 * growth
        rope.scaling = .yarn(yarn)
        return magnitude
    }
}
