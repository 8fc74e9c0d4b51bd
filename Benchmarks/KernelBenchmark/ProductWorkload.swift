// One format's product with random weights, run again and again beside plain reading of the same
// bytes, so that both see the same machine.

internal import Compute
internal import LinuxSystem
internal import Memory
internal import ModelFormat

/// Medians over the passes.
struct ProductSpeed {
    let format: WeightFormat
    let tokens: Int
    let weightBytesPerSecond: Double
    /// What the same threads reach when they only read the weights.
    let readBytesPerSecond: Double
    /// Two operations, a multiplication and an addition, per weight and token.
    let operationsPerSecond: Double
}

struct ProductWorkload: ~Copyable {
    /// Larger than caches for few tokens, where memory is the limit; smaller for many.
    private static let weightBytesMax = 256 << 20
    static let manyTokens = 32
    private static let rowsOfManyTokens = 4096

    private let format: WeightFormat
    private let columns: Int
    private let rows: Int
    private let tokens: Int
    private let kernels: Kernels
    private let team: ComputeTeam
    private let arena: MemoryArena
    private let outputs: MemoryArena
    private let weightBytes: Int
    private var input: ProductInput

    init(format: WeightFormat, columns: Int, tokens: Int, kernels: Kernels, team: ComputeTeam)
        throws
    {
        let tileBytes = format.tiledBytes(rows: WeightFormat.tileRows, columns: columns)
        let tiles =
            tokens < Self.manyTokens
            ? Self.weightBytesMax / tileBytes : Self.rowsOfManyTokens / WeightFormat.tileRows
        let rows = tiles * WeightFormat.tileRows
        let weights = try MemoryArena(
            byteCount: tiles * tileBytes, for: .measuring, in: .unlimited())
        let inputs = try MemoryArena(
            byteCount: ProductInput.footprint(tokensMax: tokens, columnsMax: columns),
            for: .measuring, in: .unlimited())
        outputs = try MemoryArena(
            byteCount: Buffer<Float>.footprint(count: tokens * rows), for: .measuring,
            in: .unlimited())
        self.format = format
        self.columns = columns
        self.rows = rows
        self.tokens = tokens
        self.kernels = kernels
        self.team = team
        arena = weights
        weightBytes = tiles * tileBytes
        input = ProductInput(tokensMax: tokens, columnsMax: columns, in: inputs)
        Self.fill(arena, byteCount: weightBytes, format: format)
        for index in 0..<tokens * columns {
            input.floats[index] = Float(index % 251) / 125 - 1
        }
        kernels.prepare(&input, tokens: tokens, columns: columns, team: team)
    }

    consuming func measure(passes: Int) throws -> ProductSpeed {
        var output = Buffer<Float>(count: tokens * rows, in: outputs)
        var products: [Double] = []
        var reads: [Double] = []
        for pass in 0...passes {
            let read = MemoryBandwidth.secondsToRead(arena, byteCount: weightBytes, team: team)
            let product = multiplySeconds(into: &output)
            guard pass > 0 else { continue }  // the first pass warms up
            reads.append(read)
            products.append(product)
        }
        let product = Self.median(products)
        return ProductSpeed(
            format: format, tokens: tokens,
            weightBytesPerSecond: Double(weightBytes) / product,
            readBytesPerSecond: Double(weightBytes) / Self.median(reads),
            operationsPerSecond: 2 * Double(rows * columns * tokens) / product)
    }

    private borrowing func multiplySeconds(into output: inout Buffer<Float>) -> Double {
        let arena = arena
        let weights = arena.bytes(at: 0, byteCount: weightBytes)
        var result = output.mutableSpan
        let start = MonotonicClock.nanoseconds
        kernels.multiply(
            weights, format: format, rows: rows, columns: columns, by: input, tokens: tokens,
            into: &result, rowOffset: 0, outputStride: rows, team: team)
        return Double(MonotonicClock.nanoseconds - start) / 1e9
    }

    /// Random bytes, except that every field of halves (scales) holds small normal numbers.
    private static func fill(_ arena: MemoryArena, byteCount: Int, format: WeightFormat) {
        var bytes = arena.mutableBytes(at: 0, byteCount: byteCount)
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        for offset in stride(from: 0, to: byteCount, by: 8) {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            bytes.storeBytes(of: state ^ state >> 29, toByteOffset: offset, as: UInt64.self)
        }
        let blockBytes = format.blockBytes * WeightFormat.tileRows
        for block in stride(from: 0, to: byteCount, by: blockBytes) {
            var field = block
            for part in format.fields {
                let end = field + part.bytes * WeightFormat.tileRows
                if part.unit == 2 {
                    for offset in stride(from: field, to: end, by: 2) {
                        bytes.storeBytes(of: 0x2C00, toByteOffset: offset, as: UInt16.self)
                    }
                }
                field = end
            }
        }
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}
