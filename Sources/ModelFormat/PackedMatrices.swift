// Where matrices and experts lie in a packed file: the records that weight streaming turns into
// reads. Arithmetic on validated records never overflows (PackedValidation.swift bounds it).

/// What a matrix is for. Raw values are the manifest's names.
package enum MatrixRole: String, Codable, Sendable, CaseIterable {
    case attentionQuery, attentionKey, attentionValue, attentionGate, attentionOutput
    /// Of latent attention: what compresses queries, what makes of that (or of the input) their
    /// parts that meet latents and that turn, a position's latent and turned key; then of each head
    /// what takes queries to latents, and sums of latents to values.
    case queryCompression, plainQuery, turnedQuery, latent, turnedKey, latentKeys, latentValues
    /// Of a short convolution: factors before it, after it, what it is of, and what is made of it.
    case convolutionBefore, convolutionAfter, convolutionInput, convolutionOutput
    /// Of a delta rule or a state space: queries, keys and values; the gate on its result; how much
    /// it learns; how much it forgets (delta rules alone); what is made of it.
    case stateInput, stateGate, stateStep, stateDecay, stateOutput
    /// Scores the experts (GGUF's `ffn_gate_inp`).
    case router
    case feedForwardGate, feedForwardUp, feedForwardDown
    case sharedExpertGate, sharedExpertUp, sharedExpertDown
    /// Where layers have embeddings of their own: of what is added to those of all layers (its
    /// first layer's); of each layer, the gate on its own and what is made of that (GGUF's
    /// `per_layer_model_proj`, `inp_gate`, `proj`).
    case layerEmbeddingProjection, layerEmbeddingGate, layerEmbeddingOutput
    /// Scores the vocabulary; the embeddings, too, where the model ties them.
    case output
}

/// A matrix in row tiles, cut into extents of whole tiles at a fixed stride.
package struct PackedMatrix: Codable, Sendable, Equatable {
    package var role: MatrixRole
    /// Nil for the output matrix.
    package var layer: Int?
    package var format: WeightFormat
    /// Outputs of the product.
    package var rows: Int
    /// Inputs of the product.
    package var columns: Int
    /// A multiple of ``WeightFormat/tileRows``.
    package var rowsPerExtent: Int
    /// Of the first extent.
    package var offset: UInt64
    /// One per extent.
    package var checksums: PackedChecksums

    package init(
        role: MatrixRole, layer: Int?, format: WeightFormat, rows: Int, columns: Int,
        rowsPerExtent: Int, offset: UInt64, checksums: PackedChecksums
    ) {
        self.role = role
        self.layer = layer
        self.format = format
        self.rows = rows
        self.columns = columns
        self.rowsPerExtent = rowsPerExtent
        self.offset = offset
        self.checksums = checksums
    }

    /// What messages call it.
    package var name: String {
        layer.map { "\(role.rawValue) of layer \($0)" } ?? role.rawValue
    }

    package var extentCount: Int { (rows + rowsPerExtent - 1) / rowsPerExtent }

    /// Bytes from one extent's start to the next's.
    package var stride: Int {
        PackedLayout.aligned(format.tiledBytes(rows: rowsPerExtent, columns: columns))
    }

    /// Bytes of the whole matrix without padding, rows padded to whole tiles.
    package var byteCount: Int { format.tiledBytes(rows: rows, columns: columns) }

    /// Bytes in the file from the first extent's start to the last extent's end.
    package var spanBytes: Int {
        let last = rows - (extentCount - 1) * rowsPerExtent
        return (extentCount - 1) * stride + format.tiledBytes(rows: last, columns: columns)
    }

    package func extent(_ index: Int) -> PackedMatrixExtent {
        let first = index * rowsPerExtent
        let range = first..<min(first + rowsPerExtent, rows)
        return PackedMatrixExtent(
            offset: offset + UInt64(index * stride),
            byteCount: format.tiledBytes(rows: range.count, columns: columns),
            checksum: checksums[index], rows: range)
    }
}

/// One extent of a matrix.
package struct PackedMatrixExtent: Sendable, Equatable {
    package let offset: UInt64
    /// Without padding to the stride.
    package let byteCount: Int
    package let checksum: UInt32
    /// The matrix's rows that it holds.
    package let rows: Range<Int>

    package var extent: PackedExtent {
        PackedExtent(offset: offset, byteCount: byteCount, checksum: checksum)
    }
}

/// One of an expert's three matrices, in row tiles, inside the expert's bundle.
package struct PackedBundlePart: Codable, Sendable, Equatable {
    package var format: WeightFormat
    package var rows: Int
    package var columns: Int
    /// From the start of the bundle; a multiple of ``PackedLayout/partAlignment``.
    package var byteOffset: Int

    package init(format: WeightFormat, rows: Int, columns: Int, byteOffset: Int) {
        self.format = format
        self.rows = rows
        self.columns = columns
        self.byteOffset = byteOffset
    }

    package var byteCount: Int { format.tiledBytes(rows: rows, columns: columns) }
}

/// Which of an expert's matrices. Raw values are GGUF's names.
package enum ExpertPart: String, Sendable {
    case gate, up, down
}

/// A layer's experts: equal bundles of gate (where they have one), up and down, and the biases of
/// those where they have any, at a fixed stride, one extent each.
package struct PackedExpertLayer: Codable, Sendable, Equatable {
    package var layer: Int
    package var count: Int
    /// Nil where experts have no gate.
    package var gate: PackedBundlePart?
    package var up: PackedBundlePart
    package var down: PackedBundlePart
    /// Where the biases of its parts begin, as floats, one after the other; nil is none.
    package var biasOffset: Int?
    /// Bytes of one bundle without padding to the stride.
    package var bundleBytes: Int
    package var stride: Int
    /// Of expert 0's bundle.
    package var offset: UInt64
    /// One per expert.
    package var checksums: PackedChecksums

    /// Lays out a bundle of its parts for `count` experts from `offset` on.
    package init(
        layer: Int, count: Int, gate: PackedBundlePart?, up: PackedBundlePart,
        down: PackedBundlePart, biasOffset: Int? = nil, bundleBytes: Int, stride: Int,
        offset: UInt64, checksums: PackedChecksums
    ) {
        self.layer = layer
        self.count = count
        self.gate = gate
        self.up = up
        self.down = down
        self.biasOffset = biasOffset
        self.bundleBytes = bundleBytes
        self.stride = stride
        self.offset = offset
        self.checksums = checksums
    }

    /// Bytes of a bundle with biases of its three parts, or none.
    package static func layout(
        _ parts: [PackedBundlePart], hasBiases: Bool
    ) -> (biasOffset: Int?, bundleBytes: Int) {
        let end = parts.last.map { $0.byteOffset + $0.byteCount } ?? 0
        guard hasBiases else { return (nil, end) }
        let start = PackedLayout.aligned(end, to: PackedLayout.partAlignment)
        return (start, start + parts.reduce(0) { $0 + $1.rows * MemoryLayout<Float>.stride })
    }

    /// In the order of the bundle.
    package var parts: [PackedBundlePart] { (gate.map { [$0] } ?? []) + [up, down] }

    /// - Precondition: there is a gate where that is asked for.
    package subscript(_ part: ExpertPart) -> PackedBundlePart {
        switch part {
        case .gate:
            guard let gate else { preconditionFailure("experts without a gate") }
            return gate
        case .up: return up
        case .down: return down
        }
    }

    /// The bytes of a bundle that a part's biases take; nil where it has none.
    package func biases(of part: ExpertPart) -> Range<Int>? {
        guard let biasOffset else { return nil }
        let rowsBefore =
            switch part {
            case .gate: 0
            case .up: gate?.rows ?? 0
            case .down: (gate?.rows ?? 0) + up.rows
            }
        let start = biasOffset + rowsBefore * MemoryLayout<Float>.stride
        return start..<start + self[part].rows * MemoryLayout<Float>.stride
    }

    /// Expert `index`'s bundle.
    package func extent(_ index: Int) -> PackedExtent {
        PackedExtent(
            offset: offset + UInt64(index * stride), byteCount: bundleBytes,
            checksum: checksums[index])
    }
}
