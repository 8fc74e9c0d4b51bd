// Reads a model's shape out of GGUF metadata, with llama.cpp's keys and defaults. Every value has a
// sane range; what the metadata leaves out is derived from other values or from tensor shapes, and
// what this project does not compute is refused by name.

internal import ModelFormat

/// The metadata of one file, asked for what families share.
package struct ShapeReader {
    let file: GGUFFile
    /// Keys begin with it.
    let architecture: String

    static let layersMax = 1_024
    static let widthMax = 1 << 20
    static let feedForwardWidthMax = 1 << 22
    static let headsMax = 1 << 14
    static let headWidthMax = 1 << 14
    static let contextMax = 1 << 30
    static let expertsMax = 4_096
    static let vocabularyMax = GGUFLimits.tableStrings

    var metadata: GGUFMetadata { file.metadata }

    /// Whether the file has the tensor of `role`, by any of its names, or one that holds it.
    func has(_ role: VectorRole, layer: Int? = nil) -> Bool {
        let fused = TensorNames.fused(role, layer: layer).map(\.name)
        let names =
            [TensorNames.vector(role, layer: layer)]
            + TensorNames.otherVectors(role, layer: layer) + fused
        return names.contains { file.tensor(named: $0) != nil }
    }

    // MARK: Vocabulary

    /// The embedding's rows where there are tensors; else what the metadata says.
    func vocabularySize(width: Int) throws(FormatError) -> Int {
        let tokens = metadata.entry("tokenizer.ggml.tokens").map { Int(clamping: $0.count) }
        guard let embedding = file.tensor(named: "token_embd.weight") else {
            let size = try uniform("vocab_size", 1...Self.vocabularyMax) ?? tokens
            guard let size, (1...Self.vocabularyMax).contains(size) else {
                throw metadata.missing(key("vocab_size"))
            }
            return size
        }
        guard embedding.dimensions.count == 2, embedding.columns == width,
            embedding.rows <= Self.vocabularyMax
        else {
            let shape = embedding.dimensions.map(String.init).joined(separator: " x ")
            throw FormatError(
                file: metadata.source.name,
                expected: "token_embd.weight of \(width) columns and a row for each token",
                found: shape)
        }
        if let tokens, tokens != embedding.rows {
            throw FormatError(
                file: metadata.source.name,
                expected: "\(embedding.rows) tokens, as token_embd.weight has rows",
                found: "\(tokens)")
        }
        return embedding.rows
    }

    /// Whether the file has a layer's matrix, in a tensor of its own or beside others.
    func hasMatrix(_ role: MatrixRole, layer: Int) -> Bool {
        let names =
            [TensorNames.matrix(role, layer: layer)]
            + TensorNames.fused(role, layer: layer).map(\.name)
        return names.contains { file.tensor(named: $0) != nil }
    }

    // MARK: Keys

    func key(_ name: String) -> String { "\(architecture).\(name)" }

    func uniform(_ name: String, _ range: ClosedRange<Int>) throws(FormatError) -> Int? {
        try metadata.uniformInteger(key(name), in: range)
    }

    func requiredUniform(
        _ name: String, _ range: ClosedRange<Int>
    ) throws(FormatError) -> Int {
        guard let value = try uniform(name, range) else { throw metadata.missing(key(name)) }
        return value
    }

    func required(_ name: String, _ range: ClosedRange<Int>) throws(FormatError) -> Int {
        guard let value = try metadata.integer(key(name), in: range) else {
            throw metadata.missing(key(name))
        }
        return value
    }

    func float(_ name: String, _ range: ClosedRange<Float>) throws(FormatError) -> Float? {
        try metadata.float(key(name), in: range)
    }

    /// A factor or cap; 0 stands for none, as in llama.cpp.
    func positive(_ name: String, default: Float = 0) throws(FormatError) -> Float? {
        let value = try float(name, 0...1_000_000) ?? `default`
        return value == 0 ? nil : value
    }

    /// How texts become vectors, by llama.cpp's numbers; nil where nothing is said, or something
    /// that is no embedding of a text (each token's own, a rank).
    func pooling() throws(FormatError) -> Pooling? {
        switch try uniform("pooling_type", -1...1_000) {
        case 1: .mean
        case 2: .cls
        case 3: .last
        default: nil
        }
    }

    func wrong(_ name: String, expected: String, found: String) -> FormatError {
        FormatError(
            file: metadata.source.name, offset: metadata.entry(key(name))?.payload.lowerBound,
            expected: "\(key(name)) to be \(expected)", found: found)
    }
}
