// A GGUF file's tensors: where each one's bytes are, and every ggml type with its blocks, so that
// each is read, re-quantised at import, or refused by its name.

/// A tensor's place and shape. Every number was checked against its file when the header was read.
package struct GGUFTensor: Sendable, Equatable {
    package let name: String
    package let type: GGUFType
    /// 1 to 4 lengths in GGUF order: columns (elements of a row) first.
    package let dimensions: [Int]
    /// Index of the file that holds it, for models of several parts.
    package let part: Int
    /// Where its bytes start, from the start of its part.
    package let offset: UInt64
    package let byteCount: Int

    /// A tensor that no header names.
    package init(
        name: String, type: GGUFType, dimensions: [Int], part: Int, offset: UInt64, byteCount: Int
    ) {
        self.name = name
        self.type = type
        self.dimensions = dimensions
        self.part = part
        self.offset = offset
        self.byteCount = byteCount
    }

    /// Elements of one row; a whole number of blocks.
    package var columns: Int { dimensions[0] }
    /// The product of every dimension but the first.
    package var rows: Int { dimensions.dropFirst().reduce(1, *) }
    package var elementCount: Int { columns * rows }
}

/// One of ggml's types that a file can hold weights in.
package struct GGUFType: Sendable, Hashable {
    /// Its number in GGUF files (`enum ggml_type`).
    package let number: UInt32
    /// ggml's name: `q4_K`, `iq2_xxs`.
    package let name: String
    package let blockElements: Int
    package let blockBytes: Int
    /// The format in which kernels compute with it as it is; nil for types that import
    /// re-quantises.
    package let format: WeightFormat?

    /// Names, elements and bytes of blocks of the types without kernels: `GGML_QUANT_SIZES` of the
    /// gguf package, but for q8_1, whose 32-bit floats there are 16-bit ones in ggml.h, and q2_0,
    /// which only ggml.h has.
    private static let others: [UInt32: (name: String, elements: Int, bytes: Int)] = [
        9: ("q8_1", 32, 36), 15: ("q8_K", 256, 292), 16: ("iq2_xxs", 256, 66),
        17: ("iq2_xs", 256, 74), 18: ("iq3_xxs", 256, 98), 19: ("iq1_s", 256, 50),
        21: ("iq3_s", 256, 110), 22: ("iq2_s", 256, 82), 24: ("i8", 1, 1), 25: ("i16", 1, 2),
        26: ("i32", 1, 4), 27: ("i64", 1, 8), 28: ("f64", 1, 8), 29: ("iq1_m", 256, 56),
        34: ("tq1_0", 256, 54), 35: ("tq2_0", 256, 66), 40: ("nvfp4", 64, 36),
        41: ("q1_0", 128, 18), 42: ("q2_0", 64, 18)
    ]

    /// Types of no file since their removal, for messages.
    private static let removed: [UInt32: String] = [
        4: "q4_2", 5: "q4_3", 31: "q4_0_4_4", 32: "q4_0_4_8", 33: "q4_0_8_8", 36: "iq4_nl_4_4",
        37: "iq4_nl_4_8", 38: "iq4_nl_8_8"
    ]

    /// The type with that number, or nil where none is known or it is out of use.
    package init?(number: UInt32) {
        if let format = WeightFormat(ggufType: number) {
            self.init(format)
        } else if let (name, elements, bytes) = Self.others[number] {
            self.init(
                number: number, name: name, blockElements: elements, blockBytes: bytes,
                format: nil)
        } else {
            return nil
        }
    }

    package init(_ format: WeightFormat) {
        self.init(
            number: format.ggufType, name: format.rawValue, blockElements: format.blockElements,
            blockBytes: format.blockBytes, format: format)
    }

    private init(
        number: UInt32, name: String, blockElements: Int, blockBytes: Int, format: WeightFormat?
    ) {
        self.number = number
        self.name = name
        self.blockElements = blockElements
        self.blockBytes = blockBytes
        self.format = format
    }

    /// Every type, in the order of their numbers.
    package static let all =
        (WeightFormat.allCases.map(\.ggufType) + others.keys).sorted()
        .compactMap { GGUFType(number: $0) }

    /// Bytes of one row of `columns` elements, whole blocks.
    package func rowBytes(columns: Int) -> Int {
        precondition(columns % blockElements == 0, "columns must be whole blocks")
        return columns / blockElements * blockBytes
    }

    /// What messages call a type number.
    static func name(_ number: UInt32) -> String {
        GGUFType(number: number)?.name ?? removed[number].map { "\($0), which is out of use" }
            ?? "type \(number)"
    }

    static let names = all.map(\.name).joined(separator: " ")
}
