// Microsoft's Phi 3: Llama's arithmetic in fused tensors, with a rotation of its own for long
// contexts.

internal import ModelFormat

extension ModelFamily {
    /// Phi 3, 3.5 and 4 (arXiv 2404.14219): query, key and value in one tensor, gate and up in
    /// another. Where the file names a window the context is kept within it.
    static let phi3 = ModelFamily("phi3") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.mayHaveLongContexts = true
        return try reader.decoder(traits)
    }
}
