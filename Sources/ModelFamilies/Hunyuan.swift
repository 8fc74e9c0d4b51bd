// Hunyuan: norms on heads after they turned.

internal import ModelFormat

extension ModelFamily {
    /// Hunyuan's dense models (github.com/Tencent-Hunyuan).
    static let hunyuanDense = ModelFamily("hunyuan-dense") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.headNorm = .perHead
        traits.normsRotated = true
        return try reader.decoder(traits)
    }
}
