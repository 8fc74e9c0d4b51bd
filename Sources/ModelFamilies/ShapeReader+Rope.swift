// `rope.*`: how heads turn with the position.

internal import ModelFormat

extension ShapeReader {
    /// `rope.*`, as all layers have it where a family says nothing else.
    func rotaryEmbedding(
        headWidth: Int, contextLength: Int, _ traits: DecoderTraits
    ) throws(FormatError) -> RotaryEmbedding {
        let name = "rope.dimension_count"
        let width = try uniform(name, 1...headWidth) ?? headWidth
        guard width % 2 == 0 else {
            throw wrong(name, expected: "an even number", found: "\(width)")
        }
        guard traits.mayRotatePartly || width == headWidth else {
            throw wrong(name, expected: "\(headWidth), the width of a head", found: "\(width)")
        }
        var rope = RotaryEmbedding(
            base: try float("rope.freq_base", 1...1e12) ?? 10_000, rotatedWidth: width,
            pairing: traits.pairing, scaling: try ropeScaling(contextLength: contextLength),
            hasFrequencyFactors: has(.ropeFrequencyFactors))
        if traits.mayHaveLongContexts, has(.ropeFactorsLong) {
            let name = "rope.scaling.original_context_length"
            rope.longContextBeyond = try uniform(name, 1...Self.contextMax) ?? contextLength
        }
        return rope
    }

    /// `rope.scaling.*`. A factor without a type means linear scaling, as in llama.cpp.
    private func ropeScaling(
        contextLength: Int
    ) throws(FormatError) -> RotaryEmbedding.Scaling {
        let type = try metadata.string(key("rope.scaling.type")) ?? "linear"
        guard ["none", "linear", "yarn"].contains(type) else {
            throw wrong(
                "rope.scaling.type", expected: "none, linear or yarn", found: shown(type))
        }
        let factor = type == "none" ? 1 : try ropeFactor()
        let attention = try float("rope.scaling.attn_factor", 0...1_000_000) ?? 1
        var yarn = try yarn(factor: factor, contextLength: contextLength)
        yarn.attentionFactor = attention
        if type == "yarn", factor != 1 { return .yarn(yarn) }
        if attention != 1 {
            // Linear scaling with a factor on the rotation is YaRN that extrapolates nothing.
            yarn.extrapolationFactor = 0
            return .yarn(yarn)
        }
        return factor == 1 ? .none : .linear(factor: factor)
    }

    /// 0 stands for "no scaling"; old files use another key.
    private func ropeFactor() throws(FormatError) -> Float {
        let range: ClosedRange<Float> = 0...1_000_000
        var factor = try float("rope.scaling.factor", range)
        if factor == nil { factor = try float("rope.scale_linear", range) }
        return factor.flatMap { $0 == 0 ? nil : $0 } ?? 1
    }

    /// `yarn_attn_factor` is not read: llama.cpp computes that value itself, and only
    /// `attn_factor` multiplies it.
    private func yarn(
        factor: Float, contextLength: Int
    ) throws(FormatError) -> RotaryEmbedding.Yarn {
        let original = "rope.scaling.original_context_length"
        var yarn = RotaryEmbedding.Yarn(
            factor: factor,
            originalContextLength: try uniform(original, 1...Self.contextMax) ?? contextLength)
        let extrapolation = try float("rope.scaling.yarn_ext_factor", -1...1) ?? -1
        if extrapolation >= 0 { yarn.extrapolationFactor = extrapolation }
        let betas: ClosedRange<Float> = 0...1_000_000
        yarn.betaFast = try float("rope.scaling.yarn_beta_fast", betas) ?? yarn.betaFast
        yarn.betaSlow = try float("rope.scaling.yarn_beta_slow", betas) ?? yarn.betaSlow
        return yarn
    }
}
