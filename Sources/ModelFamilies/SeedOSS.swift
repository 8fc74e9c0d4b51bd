// Seed-OSS: Llama's shape with biases before attention, and another name for a norm.

internal import ModelFormat

extension ModelFamily {
    /// ByteDance's Seed-OSS: biases on query, key and value; the feed-forward network's norm is
    /// called `post_attention_norm`.
    static let seedOSS = ModelFamily("seed_oss") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.biases = .wherePresent
        return try reader.decoder(traits)
    }
}
