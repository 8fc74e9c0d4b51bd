// OPT: learned positions, layer norms, a ReLU without a gate, biases everywhere.

internal import ModelFormat

extension ModelFamily {
    /// OPT (arXiv 2205.01068), with norms before each half (all sizes but 350M): the model of "LLM
    /// in a flash", whose activation leaves most neurons at 0. Its tensors have GGUF's usual names,
    /// its learned positions `position_embd`, of which the first two rows are of none.
    static let opt = ModelFamily("opt") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.norm = .layer
        traits.biases = .wherePresent
        traits.activation = .relu
        traits.isGated = false
        var shape = try reader.decoder(traits)
        shape.changeAttention { _, mixer in mixer.rope = nil }
        let offset = 2
        guard let table = reader.file.tensor(named: TensorNames.rows(of: .positionEmbeddings))
        else { return shape }
        shape.learnedPositions = LearnedPositions(count: table.rows, offset: offset)
        shape.contextLength = min(shape.contextLength, max(1, table.rows - offset))
        return shape
    }
}
