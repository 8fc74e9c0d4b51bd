// The packed file's directory as values: what is stored, how it is encoded and where. Geometry
// only; PackedModel.swift reads it from a file, PackedValidation.swift decides whether to believe
// it. docs/FORMAT.md defines every name for other implementations.

/// Everything that a packed file says about itself. JSON at the end of the file.
package struct PackedManifest: Codable, Sendable, Equatable {
    /// Always ``PackedLayout/formatVersion``; the header says the same.
    package var formatVersion: Int
    package var modelName: String
    package var source: PackedSource
    package var shape: ModelShape
    package var vocabulary: PackedExtent
    package var embeddings: PackedRows
    /// Each layer's own embeddings, a token's side by side; nil where they have none.
    package var layerEmbeddings: PackedRows?
    /// Learned positions' embeddings; nil where there are none.
    package var positionEmbeddings: PackedRows?
    package var vectors: PackedVectors
    /// Matrices that every token needs, in execution order; the output matrix is the last.
    package var matrices: [PackedMatrix]
    /// One per layer that is a mixture of experts, in layer order; empty for dense models.
    package var experts: [PackedExpertLayer]
    /// One per layer in layer order where neurons are bundled; nil in other models, and in files
    /// made before there were bundles.
    package var neurons: [PackedNeuronLayer]?
    /// What import changed beyond arrangement, one sentence each; empty when all weights are the
    /// source's own.
    package var conversions: [String]
    /// The same in numbers: types that no kernel computes with and what they became. Nil in files
    /// made before there were any.
    package var requantizations: [PackedRequantization]?

    package init(
        modelName: String, source: PackedSource, shape: ModelShape,
        vocabulary: PackedExtent, embeddings: PackedRows, layerEmbeddings: PackedRows? = nil,
        positionEmbeddings: PackedRows? = nil, vectors: PackedVectors,
        matrices: [PackedMatrix], experts: [PackedExpertLayer],
        neurons: [PackedNeuronLayer]? = nil, conversions: [String] = [],
        requantizations: [PackedRequantization]? = nil
    ) {
        formatVersion = PackedLayout.formatVersion
        self.modelName = modelName
        self.source = source
        self.shape = shape
        self.vocabulary = vocabulary
        self.embeddings = embeddings
        self.layerEmbeddings = layerEmbeddings
        self.positionEmbeddings = positionEmbeddings
        self.vectors = vectors
        self.matrices = matrices
        self.experts = experts
        self.neurons = neurons
        self.conversions = conversions
        self.requantizations = requantizations
    }

    /// A table of rows; nil where the model has none.
    package subscript(_ table: RowTable) -> PackedRows? {
        switch table {
        case .embeddings: embeddings
        case .layerEmbeddings: layerEmbeddings
        case .positionEmbeddings: positionEmbeddings
        }
    }

    /// The tables that there are, in the file's order.
    package var rowTables: [RowTable] { RowTable.allCases.filter { self[$0] != nil } }

    /// The matrix with `role` in `layer` (nil: the output matrix), or nil where the model has none.
    package func matrix(_ role: MatrixRole, layer: Int? = nil) -> PackedMatrix? {
        matrices.first { $0.role == role && $0.layer == layer }
    }
}

/// All tensors of one GGUF type that import stored in another format.
package struct PackedRequantization: Codable, Sendable, Equatable {
    /// GGUF's name of the type in the source.
    package var type: String
    package var format: WeightFormat
    package var tensorCount: Int
    /// The root of the mean squared error over that of the numbers, all tensors together.
    package var relativeError: Double
    /// The same for the tensor where it is greatest.
    package var relativeErrorMax: Double
    package var worstTensor: String
    /// Whether the blocks run along the tensors' other axis than in the source; nil is no.
    package var isTransposed: Bool?

    package init(
        type: String, format: WeightFormat, tensorCount: Int, relativeError: Double,
        relativeErrorMax: Double, worstTensor: String, isTransposed: Bool? = nil
    ) {
        self.type = type
        self.format = format
        self.tensorCount = tensorCount
        self.relativeError = relativeError
        self.relativeErrorMax = relativeErrorMax
        self.worstTensor = worstTensor
        self.isTransposed = isTransposed
    }

    /// One sentence for people.
    package var sentence: String {
        let what = tensorCount == 1 ? worstTensor : "\(tensorCount) tensors"
        let along = isTransposed == true ? " in blocks along its columns" : ""
        let start = "\(what): \(type) is stored as \(format.rawValue)\(along)"
        if relativeErrorMax == 0 { return start + ", exactly" }
        let error = "\(start), relative error \(Self.percent(relativeError))"
        return tensorCount == 1
            ? error : "\(error) (at most \(Self.percent(relativeErrorMax)), \(worstTensor))"
    }

    /// Two digits that count: `0.058 %`, `1.0 %`.
    private static func percent(_ ratio: Double) -> String {
        var value = ratio * 100
        var places = 1
        while value < 0.95, places < 6 {
            value *= 10
            places += 1
        }
        let scale = (0..<places).reduce(1.0) { product, _ in product * 10 }
        let units = (ratio * 100 * scale).rounded()
        let whole = (units / scale).rounded(.towardZero)
        let digits = String(Int(min(units - whole * scale, 1e9)))
        return String(Int(min(whole, 1e9))) + "."
            + String(repeating: "0", count: max(0, places - digits.utf8.count)) + digits + " %"
    }
}

/// Which file a model was imported from.
package struct PackedSource: Codable, Sendable, Equatable {
    /// Without folders; the first part's name for a file of several parts.
    package var fileName: String
    /// All parts together.
    package var byteCount: UInt64
    /// Identity, not security: `crc32c:<header>-<tensors>` as docs/FORMAT.md defines it.
    package var digest: String

    package init(fileName: String, byteCount: UInt64, digest: String) {
        self.fileName = fileName
        self.byteCount = byteCount
        self.digest = digest
    }
}

/// A run of bytes that is read and verified as one.
package struct PackedExtent: Codable, Sendable, Equatable {
    /// From the start of the file; a multiple of ``PackedLayout/alignment``.
    package var offset: UInt64
    /// Without the padding to the next extent.
    package var byteCount: Int
    /// CRC-32C of those bytes.
    package var checksum: UInt32

    package init(offset: UInt64, byteCount: Int, checksum: UInt32) {
        self.offset = offset
        self.byteCount = byteCount
        self.checksum = checksum
    }
}

/// CRC-32C values in extent order; in JSON one string of eight hexadecimal digits each, so that a
/// hundred thousand of them cost a JSON parser one value.
package struct PackedChecksums: Codable, Sendable, Equatable {
    package var values: [UInt32]

    package init(_ values: [UInt32]) { self.values = values }

    package var count: Int { values.count }
    package subscript(index: Int) -> UInt32 {
        get { values[index] }
        set { values[index] = newValue }
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self).utf8
        guard text.count % 8 == 0 else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "checksums are eight digits each")
        }
        values = []
        values.reserveCapacity(text.count / 8)
        var value: UInt32 = 0
        for (index, character) in text.enumerated() {
            guard let digit = Self.digit(character) else {
                throw DecodingError.dataCorruptedError(
                    in: container, debugDescription: "not a lowercase hexadecimal digit")
            }
            value = value << 4 | digit
            if index % 8 == 7 { values.append(value) }
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var text: [UInt8] = []
        text.reserveCapacity(values.count * 8)
        for value in values {
            for shift in stride(from: UInt32(28), through: 0, by: -4) {
                text.append(Array("0123456789abcdef".utf8)[Int(value >> shift & 15)])
            }
        }
        var container = encoder.singleValueContainer()
        try container.encode(String(decoding: text, as: UTF8.self))
    }

    private static func digit(_ character: UInt8) -> UInt32? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(character - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(character - UInt8(ascii: "a") + 10)
        default: nil
        }
    }
}

/// What has a row for each token, or each position: looked up, never multiplied by.
package enum RowTable: Int, Sendable, CaseIterable {
    case embeddings, layerEmbeddings, positionEmbeddings

    /// What messages call it.
    package var name: String {
        switch self {
        case .embeddings: "embeddings"
        case .layerEmbeddings: "layers' embeddings"
        case .positionEmbeddings: "positions' embeddings"
        }
    }
}

/// Embeddings of tokens: rows in GGUF's own bytes, one after another without padding, or where the
/// model ties them the tiles of its output matrix; looked up one row at a time and verified by the
/// 4 KiB page.
package struct PackedRows: Codable, Sendable, Equatable {
    package var format: WeightFormat
    package var rows: Int
    package var columns: Int
    package var offset: UInt64
    /// Of the output matrix whose extents these are; nil where rows lie by themselves.
    package var rowsPerExtent: Int?
    /// One little-endian CRC-32C per page of the region, the last page padded with zeros.
    package var pageChecksums: PackedExtent

    package init(
        format: WeightFormat, rows: Int, columns: Int, offset: UInt64, rowsPerExtent: Int? = nil,
        pageChecksums: PackedExtent
    ) {
        self.format = format
        self.rows = rows
        self.columns = columns
        self.offset = offset
        self.rowsPerExtent = rowsPerExtent
        self.pageChecksums = pageChecksums
    }

    package var rowBytes: Int { format.rowBytes(columns: columns) }
    package var pageCount: Int { PackedLayout.aligned(byteCount) / PackedLayout.alignment }

    /// Of the region.
    package var byteCount: Int {
        guard let rowsPerExtent else { return rows * rowBytes }
        let first = (rows - 1) / rowsPerExtent * rowsPerExtent
        return first / rowsPerExtent * stride(rowsPerExtent)
            + format.tiledBytes(rows: rows - first, columns: columns)
    }

    private func stride(_ rowsPerExtent: Int) -> Int {
        PackedLayout.aligned(format.tiledBytes(rows: rowsPerExtent, columns: columns))
    }

    /// The bytes of the region that hold row `row`: itself, or its tile.
    package func bytes(row: Int) -> Range<Int> {
        guard let rowsPerExtent else { return row * rowBytes..<(row + 1) * rowBytes }
        let tileBytes = WeightFormat.tileRows * rowBytes
        let start =
            row / rowsPerExtent * stride(rowsPerExtent)
            + row % rowsPerExtent / WeightFormat.tileRows * tileBytes
        return start..<start + tileBytes
    }

    /// The pages of the region that hold row `row`; page `p` is at `offset + p * 4096`.
    package func pages(row: Int) -> Range<Int> {
        let bytes = bytes(row: row)
        return bytes.lowerBound / PackedLayout.alignment..<PackedLayout.aligned(bytes.upperBound)
            / PackedLayout.alignment
    }

    /// Bytes of the most pages that a row can be in.
    package var lookupBytesMax: Int {
        let bytes = rowsPerExtent == nil ? rowBytes : WeightFormat.tileRows * rowBytes
        return PackedLayout.aligned(bytes) + PackedLayout.alignment
    }
}

/// What a vector is for. Raw values are the manifest's names.
package enum VectorRole: String, Codable, Sendable, CaseIterable {
    case attentionNorm, feedForwardNorm, outputNorm, queryNorm, keyNorm
    /// Of latent attention: of compressed queries, and of latents.
    case queryCompressionNorm, latentNorm
    case attentionNormBias, feedForwardNormBias, outputNormBias
    case queryBias, keyBias, valueBias, attentionOutputBias
    /// Of each head, a score without a value (gpt-oss).
    case attentionSinks
    case feedForwardGateBias, feedForwardUpBias, feedForwardDownBias
    /// Weights of the gate on the shared expert (GGUF's `ffn_gate_inp_shexp`).
    case sharedExpertRouter
    /// Added to the router's logits.
    case routerBias
    /// Added to probabilities where experts are chosen, and only there (GGUF's `exp_probs_b`).
    case expertSelectionBias
    /// Of a short convolution: of each channel, its positions' weights (GGUF's `shortconv.conv` and
    /// `ssm_conv1d`).
    case convolution
    /// The same of queries, keys and values apart (`ssm_conv1d_q` and so on).
    case queryConvolution, keyConvolution, valueConvolution
    /// Added to its sums (`ssm_conv1d.bias`).
    case convolutionBias
    /// Of a state space, factors on values that go past the state (`ssm_d`).
    case stateSkip
    /// Of a delta rule or a state space: what is added to what decides how much is forgotten
    /// (`ssm_dt`), factors on it (`ssm_a`), the norm of each head's result (`ssm_norm`).
    case stateStepBias, stateDecayFactors, stateNorm
    /// Llama 3's divisors of the rotary frequencies (GGUF's `rope_freqs`).
    case ropeFrequencyFactors
    /// Phi 3's, of short contexts and of long ones (`rope_factors_short`, `rope_factors_long`).
    case ropeFactorsShort, ropeFactorsLong
    /// On what attention and the feed-forward network add (`post_attention_norm`,
    /// `post_ffw_norm`).
    case afterAttentionNorm, afterFeedForwardNorm
    /// Of a mixture beside a dense network (Gemma 4): on what the dense one gives, of what experts
    /// read and on what they give (`post_ffw_norm_1`, `pre_ffw_norm_2`, `post_ffw_norm_2`).
    case afterDenseNorm, expertsNorm, afterExpertsNorm
    /// Factors on what a router reads, and on each expert's result (`ffn_gate_inp.scale`,
    /// `ffn_down_exps.scale`).
    case routerScale, expertScales
    /// The factor on a layer's output (`layer_output_scale`).
    case layerScale
    /// Of what is added to layers' embeddings, and of what a layer adds of its own
    /// (`per_layer_proj_norm`, `post_norm`).
    case layerEmbeddingProjectionNorm, afterLayerEmbeddingNorm
}

/// One vector of 32-bit floats inside the vectors' extent.
package struct PackedVector: Codable, Sendable, Equatable {
    package var role: VectorRole
    /// Nil for the model's own: `outputNorm`, its bias and factors of rotary frequencies.
    package var layer: Int?
    package var count: Int
    /// From the start of the extent; a multiple of ``PackedLayout/partAlignment``.
    package var byteOffset: Int

    package init(role: VectorRole, layer: Int?, count: Int, byteOffset: Int) {
        self.role = role
        self.layer = layer
        self.count = count
        self.byteOffset = byteOffset
    }
}

/// Every norm, bias and other one-dimensional tensor, in one extent that stays resident.
package struct PackedVectors: Codable, Sendable, Equatable {
    package var extent: PackedExtent
    package var entries: [PackedVector]

    package init(extent: PackedExtent, entries: [PackedVector]) {
        self.extent = extent
        self.entries = entries
    }

    /// The vector with `role` in `layer` (nil: the model's own), or nil where there is none.
    package func entry(_ role: VectorRole, layer: Int? = nil) -> PackedVector? {
        entries.first { $0.role == role && $0.layer == layer }
    }
}
