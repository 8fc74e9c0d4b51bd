// Decoding of every block format against the `gguf` Python package's decoders, whose results are in
// Tests/Fixtures/kernels.

import Compute
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

struct DequantizeTests {
    private struct Fixture {
        let blockCount: Int
        let blocks: [UInt8]
        let values: [Float]

        init(_ format: WeightFormat, testFile: String = #filePath) throws {
            let tests = FileSystem.parent(of: FileSystem.parent(of: testFile))
            let name = "dequantize_\(format.rawValue.lowercased()).bin"
            let file = try FileDescriptor(
                path: "\(tests)/Fixtures/kernels/\(name)", mode: .read)
            var bytes = [UInt8](repeating: 0, count: Int(try file.byteCount()))
            var span = bytes.mutableSpan
            var raw = unsafe span.mutableBytes
            let read = try file.read(at: 0, into: &raw)
            #expect(read == bytes.count)
            let words = stride(from: 0, to: bytes.count, by: 4).map { at in
                (0..<4).reduce(UInt32(0)) {
                    $0 | UInt32(bytes[min(at + $1, bytes.count - 1)]) << (8 * $1)
                }
            }
            blockCount = Int(words[0])
            let end = 4 + blockCount * format.blockBytes
            blocks = Array(bytes[4..<end])
            values = stride(from: end, to: bytes.count, by: 4).map { at in
                Float(
                    bitPattern: (0..<4).reduce(UInt32(0)) {
                        $0 | UInt32(bytes[at + $1]) << (8 * $1)
                    })
            }
        }
    }

    @Test(arguments: WeightFormat.allCases)
    func everyFormatDecodesAsTheReferenceDoes(format: WeightFormat) throws {
        let fixture = try Fixture(format)
        let columns = fixture.blockCount * format.blockElements
        #expect(fixture.values.count == columns && columns > 0)
        for kernels in Kernels.available {
            var decoded = [Float](repeating: 0, count: columns)
            var span = decoded.mutableSpan
            unsafe kernels.dequantize(
                row: fixture.blocks.span.bytes, format: format, columns: columns, into: &span)
            #expect(differences(fixture.values, decoded).isEmpty)
        }
    }

    @Test func everyHalfDecodes() {
        let bytes = (0..<65536).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
        var decoded = [Float](repeating: 0, count: 65536)
        var span = decoded.mutableSpan
        unsafe Kernels.best.dequantize(
            row: bytes.span.bytes, format: .f16, columns: 65536, into: &span)
        #expect(differences(halves(bytes), decoded).isEmpty)
    }

    /// A product with a unit vector picks one column: the decoding inside products is the same.
    @Test(arguments: [WeightFormat.f32, .f16, .bf16])
    func productsDecodeAlike(format: WeightFormat) throws {
        var random = SplitMix(seed: 0x52_0001)
        let columns = max(format.blockElements, 8)
        let matrix = random.matrix(format, rows: 16, columns: columns)
        let values = matrix.values
        var unit = [Float](repeating: 0, count: columns * columns)
        for column in 0..<columns { unit[column * columns + column] = 1 }
        for kernels in Kernels.available {
            let input = try ProductInput.holding(
                unit, tokens: columns, columns: columns, kernels: kernels)
            let picked = matrix.product(kernels, by: input, tokens: columns)
            for row in 0..<16 {
                for column in 0..<columns {
                    #expect(picked[column * 16 + row] == values[row * columns + column])
                }
            }
        }
    }
}
