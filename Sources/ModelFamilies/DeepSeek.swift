// DeepSeek 2 and 3, and who took their latent attention: GLM-4.7-Flash, GigaChat 3, Kanana 2, Kimi
// K2.

internal import LinuxSystem
internal import ModelFormat

extension ModelFamily {
    /// DeepSeek-V2 (arXiv 2405.04434) and V3: latent attention, dense layers first, routing with a
    /// bias and groups. Where the file does not say, GLM-4.7-Flash, told by its layers and
    /// vocabulary, gates by sigmoid.
    static let deepseek2 = ModelFamily("deepseek2") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .adjacent)
        traits.experts = .required
        traits.hasExpertWidthKey = true
        traits.mayLeadDense = true
        traits.sharedExpert = .counted
        traits.selectionBias = .wherePresent
        var shape = try reader.decoder(traits)
        let latent = try reader.latent(heads: shape.attention.headCount, traits)
        let isFlash = [47, 48].contains(shape.layerCount) && shape.vocabularySize == 154_880
        let saysGating = try reader.uniform("expert_gating_func", 0...Int(UInt32.max)) ?? 0 > 0
        for index in shape.layers.indices {
            shape.layers[index].mixer = .latent(latent)
            guard isFlash && !saysGating else { continue }
            shape.layers[index].feedForward.mixture?.gating = .sigmoid
        }
        return shape
    }
}
