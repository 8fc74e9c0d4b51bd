// A GGUF file's tensors: where each one's bytes are, and the names of every ggml type, so that a
// format which is not supported is refused by its name.

/// A tensor's place and shape. Every number was checked against its file when the header was read.
package struct GGUFTensor: Sendable, Equatable {
    package let name: String
    package let format: WeightFormat
    /// 1 to 4 lengths in GGUF order: columns (elements of a row) first.
    package let dimensions: [Int]
    /// Index of the file that holds it, for models of several parts.
    package let part: Int
    /// Where its bytes start, from the start of its part.
    package let offset: UInt64
    package let byteCount: Int

    /// Elements of one row; a whole number of blocks.
    package var columns: Int { dimensions[0] }
    /// The product of every dimension but the first.
    package var rows: Int { dimensions.dropFirst().reduce(1, *) }
    package var elementCount: Int { columns * rows }
}

/// The names of ggml's types by their numbers (`enum ggml_type`).
enum GGMLType {
    private static let names: [UInt32: String] = [
        0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 4: "Q4_2", 5: "Q4_3", 6: "Q5_0", 7: "Q5_1",
        8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K",
        15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL",
        21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64",
        28: "F64", 29: "IQ1_M", 30: "BF16", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8",
        34: "TQ1_0", 35: "TQ2_0", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8",
        39: "MXFP4", 40: "NVFP4", 41: "Q1_0", 42: "Q2_0"
    ]

    static func name(_ type: UInt32) -> String { names[type] ?? "type \(type)" }

    static let supportedNames = WeightFormat.allCases.map { name($0.ggufType) }
        .joined(separator: " ")
}
