// What the kernel tests share: seeded random input, plain and hostile, and comparison of bits.

import Compute
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

/// Kinds of random input, from ordinary to adversarial.
enum Nature: CaseIterable {
    /// What models hold.
    case ordinary
    /// Any bits: infinities, NaN and denormals among them.
    case anyBits
    /// The largest magnitudes that stay finite in most sums.
    case extreme
    /// Denormal scales and values.
    case denormal
    case zero
}

extension SplitMix {
    /// Roughly normal: the sum of four uniform numbers.
    mutating func gaussian() -> Float {
        (0..<4).reduce(Float(0)) { sum, _ in sum + Float.random(in: -1...1, using: &self) }
    }
}

extension SplitMix {
    mutating func floats(_ count: Int, _ nature: Nature) -> [Float] {
        (0..<count).map { index in
            switch nature {
            case .ordinary: gaussian() * (index % 97 == 0 ? 30 : 1)
            case .anyBits:
                // Rows stay comparable: most numbers are ordinary.
                index % 61 == 17
                    ? Float(bitPattern: UInt32.random(in: 0...(.max), using: &self))
                    : gaussian()
            case .extreme: Bool.random(using: &self) ? 1e18 : -1e18
            case .denormal: Float(bitPattern: UInt32.random(in: 0...0xFF_FFFF, using: &self))
            case .zero: index % 2 == 0 ? 0 : -0.0
            }
        }
    }

    /// One row-major matrix of GGUF blocks.
    mutating func blocks(
        _ format: WeightFormat, rows: Int, columns: Int, _ nature: Nature
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<rows * columns / format.blockElements {
            for field in format.fields {
                for unit in 0..<field.bytes / field.unit {
                    bytes += unitBytes(format, field, unit, nature)
                }
            }
        }
        return bytes
    }

    private mutating func unitBytes(
        _ format: WeightFormat, _ field: WeightFormat.BlockField, _ unit: Int, _ nature: Nature
    ) -> [UInt8] {
        let bits = UInt32.random(in: 0...(.max), using: &self)
        if format == .f32 {
            return littleEndian(floats(1, nature)[0].bitPattern)
        }
        if format == .bf16 {
            return Array(littleEndian(floats(1, nature)[0].bitPattern).suffix(2))
        }
        if field.unit == 1 {
            // MXFP4's exponent: 128 stands for 1.
            let ordinary = UInt8(120 + bits % 6)
            let byte: UInt8 =
                switch nature {
                case .ordinary: ordinary
                case .anyBits: bits % 31 == 0 ? UInt8(bits >> 24) : ordinary
                case .extreme: 255
                case .denormal: UInt8(bits >> 24) % 4
                case .zero: 0
                }
            return [byte]
        }
        guard field.unit == 2 else {
            switch nature {
            case .zero: return [0, 0, 0, 0]
            case .extreme: return littleEndian([0x8080_8080, 0x7F7F_7F7F, .max, 0][Int(bits % 4)])
            default: return littleEndian(bits)
            }
        }
        let half: UInt16 =
            switch nature {
            case .ordinary: Float16(gaussian() * 0.01).bitPattern
            case .anyBits:
                bits % 31 == 0 ? UInt16(truncatingIfNeeded: bits >> 8) : Float16(1).bitPattern
            case .extreme: bits % 2 == 0 ? 0x7BFF : 0xFBFF
            case .denormal: UInt16(truncatingIfNeeded: bits) & 0x83FF
            case .zero: 0
            }
        return [UInt8(truncatingIfNeeded: half), UInt8(half >> 8)]
    }
}

/// Whether products of a format take the 8-bit activations.
func usesIntegers(_ format: WeightFormat) -> Bool {
    switch format {
    case .f32, .f16, .bf16: false
    default: true
    }
}

func littleEndian(_ word: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
}

/// Indices at which the bits differ; a NaN equals any other NaN.
func differences(_ a: [Float], _ b: [Float]) -> [Int] {
    guard a.count == b.count else { return [-1] }
    return a.indices.filter { index in
        a[index].bitPattern != b[index].bitPattern && !(a[index].isNaN && b[index].isNaN)
    }
}

func halves(_ bytes: [UInt8]) -> [Float] {
    stride(from: 0, to: bytes.count, by: 2).map { index in
        Float(Float16(bitPattern: UInt16(bytes[index]) | UInt16(bytes[index + 1]) << 8))
    }
}

let alone = ComputeTeam(memberCount: 1)

extension ProductInput {
    /// An input of its own arena, holding `rows` (`[tokens][columns]`), prepared.
    static func holding(
        _ values: [Float], tokens: Int, columns: Int, kernels: Kernels, team: ComputeTeam = alone
    ) throws -> ProductInput {
        let bytes = footprint(tokensMax: tokens, columnsMax: columns)
        var input = ProductInput(
            tokensMax: tokens, columnsMax: columns, in: try MemoryArena(byteCount: bytes))
        for index in values.indices { input.floats[index] = values[index] }
        kernels.prepare(&input, tokens: tokens, columns: columns, team: team)
        return input
    }
}

/// A matrix in both arrangements.
struct TestMatrix {
    let format: WeightFormat
    let rows: Int
    let columns: Int
    let rowMajor: [UInt8]
    let tiles: [UInt8]

    func product(
        _ kernels: Kernels, by input: borrowing ProductInput, tokens: Int,
        team: ComputeTeam = alone
    ) -> [Float] {
        var results = [Float](repeating: .nan, count: tokens * rows)
        var span = results.mutableSpan
        unsafe kernels.multiply(
            tiles.span.bytes, format: format, rows: rows, columns: columns, by: input,
            tokens: tokens, into: &span, rowOffset: 0, outputStride: rows, team: team)
        return results
    }

    /// The weights' values, `[rows][columns]`.
    var values: [Float] {
        let rowBytes = format.rowBytes(columns: columns)
        var values = [Float](repeating: 0, count: rows * columns)
        for row in 0..<rows {
            var decoded = [Float](repeating: 0, count: columns)
            var span = decoded.mutableSpan
            unsafe Kernels.available[0].dequantize(
                row: rowMajor.span.bytes.extracting(row * rowBytes..<(row + 1) * rowBytes),
                format: format, columns: columns, into: &span)
            values.replaceSubrange(row * columns..<(row + 1) * columns, with: decoded)
        }
        return values
    }
}
