// In which format each GGUF tensor is stored: its own where a kernel computes with it, else the
// nearest that is. docs/FORMAT.md, "Re-quantised types", has the rule and the measured errors.

internal import CPacking
package import ModelFormat

/// A source's tensor and the format of its numbers in the packed file.
struct StoredTensor: Sendable {
    let tensor: GGUFTensor
    let format: WeightFormat

    init(_ tensor: GGUFTensor) {
        self.tensor = tensor
        format = Self.format(of: tensor.type, columns: tensor.columns)
    }

    /// Whether import changes the numbers, not only their places.
    var isRequantized: Bool { tensor.type.format == nil }

    /// The format that tensors of `type` with rows of `columns` elements are stored in.
    static func format(of type: GGUFType, columns: Int) -> WeightFormat {
        if let format = type.format { return format }
        switch Int(type.number) {
        case CPACKING_TQ1_0, CPACKING_TQ2_0: return .q2_K
        case CPACKING_Q1_0, CPACKING_Q2_0: return .q4_0
        case CPACKING_IQ1_S, CPACKING_IQ3_S: return .q4_K
        case CPACKING_IQ2_XXS, CPACKING_IQ2_XS, CPACKING_IQ2_S, CPACKING_IQ3_XXS, CPACKING_IQ1_M:
            return .q6_K
        case CPACKING_NVFP4:
            return columns % WeightFormat.q6_K.blockElements == 0 ? .q6_K : .q8_0
        case CPACKING_Q8_1, CPACKING_Q8_K: return .q8_0
        default: return .f32
        }
    }

    /// Elements that are converted together: whole blocks of both.
    private var groupElements: Int { max(tensor.type.blockElements, format.blockElements) }

    /// Stored bytes of one such group.
    var groupBytes: Int { groupElements / format.blockElements * format.blockBytes }

    /// The source's bytes that `count` stored bytes, whole groups, come from.
    func sourceBytes(of count: Int) -> Int {
        precondition(count % format.blockBytes == 0, "whole blocks only")
        let elements = count / format.blockBytes * format.blockElements
        return elements / tensor.type.blockElements * tensor.type.blockBytes
    }

    /// Stored bytes of all of it.
    var byteCount: Int { tensor.rows * format.rowBytes(columns: tensor.columns) }
}

/// Squared sums of a conversion's error and of what was converted.
struct ConversionError: Sendable {
    var error: Double = 0
    var norm: Double = 0

    /// The root of the mean squared error relative to that of the numbers.
    var relative: Double { norm > 0 ? (error / norm).squareRoot() : 0 }
}

/// Decoding and re-quantising. Pointers stay here.
package enum Conversion {
    /// Converts whole groups of `stored`.
    static func convert(
        _ stored: StoredTensor, from source: RawSpan, into destination: inout MutableRawSpan
    ) -> ConversionError {
        precondition(
            stored.sourceBytes(of: destination.byteCount) == source.byteCount, "sizes agree")
        let elements =
            destination.byteCount / stored.format.blockBytes * stored.format.blockElements
        var sums = cpacking_error()
        unsafe source.withUnsafeBytes { bytes in
            unsafe destination.withUnsafeMutableBytes { output in
                unsafe cpacking_convert(
                    stored.tensor.type.number, stored.format.ggufType, bytes.baseAddress,
                    output.baseAddress, elements, &sums)
            }
        }
        return ConversionError(error: sums.error, norm: sums.norm)
    }

    /// A vector's numbers as little-endian 32-bit floats, the nearest ones.
    static func widened(
        _ elements: VectorElements, _ bytes: [UInt8]
    ) -> (floats: [UInt8], error: ConversionError) {
        let stored = StoredTensor(elements.tensor)
        var floats = [UInt8](repeating: 0, count: elements.range.count * 4)
        var span = floats.mutableSpan
        var raw = unsafe span.mutableBytes
        if stored.isRequantized {
            let error = convert(stored, from: unsafe bytes.span.bytes, into: &raw)
            return (floats, error)
        }
        for (index, value) in decode(stored.tensor.type, bytes).enumerated() {
            raw.storeBytes(
                of: value.bitPattern.littleEndian, toByteOffset: index * 4, as: UInt32.self)
        }
        return (floats, ConversionError())
    }

    /// The numbers of a type that is not native, or of f32, f16 or bf16, as 32-bit floats: the bits
    /// that the gguf package's dequantizers give.
    package static func decode(_ type: GGUFType, _ bytes: [UInt8]) -> [Float] {
        let elements = bytes.count / type.blockBytes * type.blockElements
        return unsafe [Float](unsafeUninitializedCapacity: elements) { output, count in
            unsafe bytes.withUnsafeBytes { source in
                unsafe cpacking_decode(
                    type.number, source.baseAddress, output.baseAddress, elements)
            }
            count = elements
        }
    }
}
