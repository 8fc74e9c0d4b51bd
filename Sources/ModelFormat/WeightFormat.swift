// The block formats that weights are kept in, as the GGUF specification defines them, and how a
// block's bytes split into the fields that the packed file stores side by side for 16 rows
// (docs/FORMAT.md, "Row tiles").

/// How a matrix's numbers are encoded. Values are kept bit-exact from GGUF; only their arrangement
/// changes.
package enum WeightFormat: String, Sendable, Codable, CaseIterable {
    case f32, f16, bf16
    case q4_0, q4_1, q5_0, q5_1, q8_0
    case q2_K, q3_K, q4_K, q5_K, q6_K
    case iq4_nl, iq4_xs, mxfp4

    /// One field of a block: `bytes` long, interleaved between rows in pieces of `unit` bytes.
    package struct BlockField: Sendable, Equatable {
        package let bytes: Int
        package let unit: Int
    }

    /// Rows that a packed tile interleaves.
    package static let tileRows = 16

    /// Consecutive elements of a row that one block encodes.
    package var blockElements: Int {
        switch self {
        case .f32, .f16, .bf16: 1
        case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .iq4_nl, .mxfp4: 32
        case .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_xs: 256
        }
    }

    /// Bytes of one block: the sum of its fields.
    package var blockBytes: Int { fields.reduce(0) { $0 + $1.bytes } }

    /// A block's fields in the order in which GGUF stores them.
    package var fields: [BlockField] {
        let half = BlockField(bytes: 2, unit: 2)
        func words(_ bytes: Int) -> BlockField { BlockField(bytes: bytes, unit: 4) }
        return switch self {
        case .f32: [words(4)]
        case .f16, .bf16: [half]
        case .q4_0: [half, words(16)]  // d, qs
        case .q4_1: [half, half, words(16)]  // d, m, qs
        case .q5_0: [half, words(4), words(16)]  // d, qh, qs
        case .q5_1: [half, half, words(4), words(16)]  // d, m, qh, qs
        case .q8_0: [half, words(32)]  // d, qs
        case .q2_K: [words(16), words(64), half, half]  // scales, qs, d, dmin
        case .q3_K: [words(32), words(64), words(12), half]  // hmask, qs, scales, d
        case .q4_K: [half, half, words(12), words(128)]  // d, dmin, scales, qs
        case .q5_K: [half, half, words(12), words(32), words(128)]  // d, dmin, scales, qh, qs
        case .q6_K: [words(128), words(64), words(16), half]  // ql, qh, scales, d
        case .iq4_nl: [half, words(16)]  // d, qs
        case .iq4_xs: [half, half, words(4), words(128)]  // d, scales_h, scales_l, qs
        case .mxfp4: [BlockField(bytes: 1, unit: 1), words(16)]  // e, qs
        }
    }

    /// The number that GGUF files use for this format (`ggml_type`).
    package var ggufType: UInt32 {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q4_0: 2
        case .q4_1: 3
        case .q5_0: 6
        case .q5_1: 7
        case .q8_0: 8
        case .q2_K: 10
        case .q3_K: 11
        case .q4_K: 12
        case .q5_K: 13
        case .q6_K: 14
        case .iq4_nl: 20
        case .iq4_xs: 23
        case .bf16: 30
        case .mxfp4: 39
        }
    }

    package init?(ggufType: UInt32) {
        guard let match = Self.allCases.first(where: { $0.ggufType == ggufType }) else {
            return nil
        }
        self = match
    }

    /// Bytes of one row of `columns` elements.
    ///
    /// - Precondition: `columns` is a multiple of ``blockElements``; parsers check that first.
    package func rowBytes(columns: Int) -> Int {
        precondition(columns % blockElements == 0, "columns must be whole blocks")
        return columns / blockElements * blockBytes
    }

    /// Bytes of a tile-interleaved matrix: rows are padded with zeros to a whole number of tiles.
    package func tiledBytes(rows: Int, columns: Int) -> Int {
        (rows + Self.tileRows - 1) / Self.tileRows * Self.tileRows * rowBytes(columns: columns)
    }
}
