// Ministral 3: Llama with YaRN, and queries that grow with the position.

internal import LinuxSystem
internal import ModelFormat

extension ModelFamily {
    /// Ministral 3 (GGUF's `mistral3`). What its rotation is multiplied by is divided by the same
    /// of `rope.scaling.yarn_log_multiplier`, YaRN's mscale_all_dim.
    static let mistral3 = ModelFamily("mistral3") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .adjacent)
        traits.mayRotatePartly = false
        traits.biases = .wherePresent
        traits.experts = .wherePresent
        traits.normalizesExpertWeights = true
        var shape = try reader.decoder(traits)
        let multiplier = try reader.float("rope.scaling.yarn_log_multiplier", 0...1_000_000) ?? 0
        let scale = try reader.positive("attention.temperature_scale")
        let scoreScale = try reader.positive("attention.scale")
        shape.changeAttention { _, mixer in
            mixer.scale = scoreScale
            guard case .yarn(var yarn) = mixer.rope?.scaling, yarn.extrapolationFactor != 0
            else { return }
            let growth = 0.1 * Double(multiplier) * Mathematics.logarithm(Double(yarn.factor))
            yarn.attentionFactor /= Float(1 + max(0, growth))
            mixer.rope?.scaling = .yarn(yarn)
        }
        guard let scale else { return shape }
        let name = "rope.scaling.original_context_length"
        let interval =
            try reader.uniform(name, 1...ShapeReader.contextMax) ?? shape.contextLength
        shape.changeAttention { _, mixer in
            mixer.positionTemperature = PositionTemperature(scale: scale, interval: interval)
        }
        return shape
    }
}
