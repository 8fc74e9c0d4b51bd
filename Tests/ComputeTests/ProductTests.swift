// Matrix products: every set of kernels against the scalar one, bit for bit, and all of them
// against arithmetic in double precision and against OpenBLAS.

import COpenBLAS
import Compute
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

extension SplitMix {
    mutating func matrix(
        _ format: WeightFormat, rows: Int, columns: Int, _ nature: Nature = .ordinary
    ) -> TestMatrix {
        let rowMajor = blocks(format, rows: rows, columns: columns, nature)
        let tiles = RowTiles.interleave(rowMajor, format: format, rows: rows, columns: columns)
        return TestMatrix(
            format: format, rows: rows, columns: columns, rowMajor: rowMajor, tiles: tiles)
    }
}

struct ProductTests {
    @Test(arguments: WeightFormat.allCases)
    func everySetEqualsScalar(format: WeightFormat) throws {
        let seed: UInt64 = 0x51_0001
        var random = SplitMix(seed: seed)
        let blocks = format.blockElements
        let shapes = [(1, blocks, 1), (16, 2 * blocks, 2), (37, 512, 7), (50, 768, 9)]
        for nature in Nature.allCases {
            for (rows, columns, tokens) in shapes {
                let matrix = random.matrix(format, rows: rows, columns: columns, nature)
                let values = random.floats(tokens * columns, nature)
                var expected: [Float] = []
                for kernels in Kernels.available {
                    let input = try ProductInput.holding(
                        values, tokens: tokens, columns: columns, kernels: kernels)
                    let found = matrix.product(kernels, by: input, tokens: tokens)
                    if expected.isEmpty { expected = found }
                    #expect(
                        differences(expected, found).isEmpty,
                        "\(kernels.name) \(nature) \(rows)x\(columns) seed \(seed)")
                }
            }
        }
    }

    /// Every count of tokens takes its own way through the kernels; so do widths that end within a
    /// chunk of columns, and numbers of tiles that pairs do not divide.
    @Test(arguments: WeightFormat.allCases)
    func everyNumberOfTokensEqualsScalar(format: WeightFormat) throws {
        let seed = UInt64.random(in: 0...(.max))
        var random = SplitMix(seed: seed)
        let columns = [1: 515, 32: 288][format.blockElements, default: 512]
        for nature in [Nature.ordinary, .anyBits] {
            let matrix = random.matrix(format, rows: 43, columns: columns, nature)
            for tokens in Array(1...20) + [64, 65, 131] {
                let values = random.floats(tokens * columns, nature)
                var expected: [Float] = []
                for kernels in Kernels.available {
                    let input = try ProductInput.holding(
                        values, tokens: tokens, columns: columns, kernels: kernels)
                    let found = matrix.product(kernels, by: input, tokens: tokens)
                    if expected.isEmpty { expected = found }
                    #expect(
                        differences(expected, found).isEmpty,
                        "\(kernels.name) \(nature) \(tokens) tokens seed \(seed)")
                }
            }
        }
    }

    /// Activations that 8 bits hold exactly: what is left is the rounding of sums. A block's terms
    /// are at most 4 times its largest weight, minima included.
    @Test(arguments: WeightFormat.allCases.filter(usesIntegers))
    func integerProductsAreExactButForTheRoundingOfSums(format: WeightFormat) throws {
        let seed = UInt64.random(in: 0...(.max))
        var random = SplitMix(seed: seed)
        let (rows, columns, tokens) = (33, 1024, 9)
        let matrix = random.matrix(format, rows: rows, columns: columns)
        let w = matrix.values
        let x: [Float] = (0..<tokens * columns).map { index in
            let quant = index % 32 == 0 ? 127 : Float(Int.random(in: -127...127, using: &random))
            return quant * Float(sign: .plus, exponent: -(index / 32 % 7), significand: 1)
        }
        for kernels in Kernels.available {
            let input = try ProductInput.holding(
                x, tokens: tokens, columns: columns, kernels: kernels)
            let y = matrix.product(kernels, by: input, tokens: tokens)
            for token in 0..<tokens {
                for row in 0..<rows {
                    var exact = 0.0
                    var magnitude = 0.0
                    for column in 0..<columns {
                        let at = token * columns + column
                        exact += Double(w[row * columns + column]) * Double(x[at])
                        let block = row * columns + column / 32 * 32
                        let largest = w[block..<block + 32].reduce(0) { max($0, abs($1)) }
                        magnitude += 4 * Double(largest) * abs(Double(x[at]))
                    }
                    let error = abs(Double(y[token * rows + row]) - exact)
                    #expect(error <= magnitude * 0x1p-18, "\(kernels.name) seed \(seed)")
                }
            }
        }
    }

    @Test(arguments: [WeightFormat.f32, .f16, .bf16])
    func widthsThatAreNoMultipleOfAnything(format: WeightFormat) throws {
        var random = SplitMix(seed: 0x51_0002)
        for columns in [1, 3, 17, 255, 257, 300] {
            let matrix = random.matrix(format, rows: 21, columns: columns)
            let values = random.floats(5 * columns, .ordinary)
            let results = try Kernels.available.map { kernels in
                let input = try ProductInput.holding(
                    values, tokens: 5, columns: columns, kernels: kernels)
                return matrix.product(kernels, by: input, tokens: 5)
            }
            for result in results { #expect(differences(results[0], result).isEmpty) }
        }
    }

    /// The stated bound. Float formats: `columns * 2^-24` of the sum of magnitudes. Quantised ones:
    /// also half an activation's quantum times each weight's magnitude.
    @Test(arguments: WeightFormat.allCases)
    func productsAreWithinTheirBoundOfDoublePrecision(format: WeightFormat) throws {
        let seed: UInt64 = 0x51_0003
        var random = SplitMix(seed: seed)
        let (rows, columns, tokens) = (33, 1024, 3)
        let matrix = random.matrix(format, rows: rows, columns: columns)
        let x = random.floats(tokens * columns, .ordinary)
        let w = matrix.values
        let isQuantized = usesIntegers(format)
        let quanta: [Double] = x.indices.map { index in
            let block = index / 32 * 32
            let largest = x[block..<block + 32].reduce(0) { max($0, abs($1)) }
            return isQuantized ? Double(largest) / 127 : 0
        }
        for kernels in Kernels.available {
            let input = try ProductInput.holding(
                x, tokens: tokens, columns: columns, kernels: kernels)
            let y = matrix.product(kernels, by: input, tokens: tokens)
            for token in 0..<tokens {
                for row in 0..<rows {
                    var exact = 0.0
                    var bound = 0.0
                    for column in 0..<columns {
                        let weight = Double(w[row * columns + column])
                        let at = token * columns + column
                        exact += weight * Double(x[at])
                        bound += abs(weight * Double(x[at])) * Double(columns) * 0x1p-24
                        bound += abs(weight) * quanta[at] * 0.50001
                    }
                    let error = abs(Double(y[token * rows + row]) - exact)
                    #expect(error <= bound, "\(kernels.name) row \(row) seed \(seed)")
                }
            }
        }
    }

    @Test func floatProductsMatchOpenBLAS() throws {
        openblas_set_num_threads(1)
        var random = SplitMix(seed: 0x51_0004)
        let (rows, columns, tokens) = (96, 640, 12)
        let matrix = random.matrix(.f32, rows: rows, columns: columns)
        let x = random.floats(tokens * columns, .ordinary)
        let w = matrix.values
        var expected = [Float](repeating: 0, count: tokens * rows)
        unsafe cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(tokens), Int32(rows), Int32(columns), 1,
            x, Int32(columns), w, Int32(columns), 0, &expected, Int32(rows))
        for kernels in Kernels.available {
            let input = try ProductInput.holding(
                x, tokens: tokens, columns: columns, kernels: kernels)
            let found = matrix.product(kernels, by: input, tokens: tokens)
            for index in found.indices {
                #expect(abs(found[index] - expected[index]) < 2e-2, "\(kernels.name) \(index)")
            }
        }
    }

    @Test(arguments: WeightFormat.allCases)
    func resultsDependNeitherOnBatchNorOnTeam(format: WeightFormat) throws {
        var random = SplitMix(seed: 0x51_0005)
        let (rows, columns, tokens) = (175, 512, 69)
        let matrix = random.matrix(format, rows: rows, columns: columns)
        let x = random.floats(tokens * columns, .ordinary)
        let kernels = Kernels.available.last!
        let input = try ProductInput.holding(x, tokens: tokens, columns: columns, kernels: kernels)
        let whole = matrix.product(kernels, by: input, tokens: tokens)
        for members in [2, 3] {
            let team = ComputeTeam(memberCount: members)
            let shared = try ProductInput.holding(
                x, tokens: tokens, columns: columns, kernels: kernels, team: team)
            #expect(whole == matrix.product(kernels, by: shared, tokens: tokens, team: team))
        }
        for batch in [1, 2, 3, 7, 8, 16, 30] {
            var parts: [Float] = []
            for first in stride(from: 0, to: tokens, by: batch) {
                let count = min(batch, tokens - first)
                let part = try ProductInput.holding(
                    Array(x[first * columns..<(first + count) * columns]), tokens: count,
                    columns: columns, kernels: kernels)
                parts += matrix.product(kernels, by: part, tokens: count)
            }
            #expect(whole == parts, "batches of \(batch)")
        }
    }

    @Test(arguments: [1, 2, 3], [1, 5, 12])
    func matricesTogetherEqualMatricesAlone(members: Int, tokens: Int) throws {
        let seed = UInt64.random(in: 0...(.max))
        var random = SplitMix(seed: seed)
        let columns = 512
        let team = ComputeTeam(memberCount: members)
        let kernels = Kernels.best
        let x = random.floats(tokens * columns, .ordinary)
        let input = try ProductInput.holding(x, tokens: tokens, columns: columns, kernels: kernels)
        let query = random.matrix(.q4_K, rows: 300, columns: columns)
        let key = random.matrix(.q4_0, rows: 40, columns: columns)
        let value = random.matrix(.q6_K, rows: 17, columns: columns)
        let expected = [query, key, value].map { $0.product(kernels, by: input, tokens: tokens) }
        let outputs = try MemoryArena(byteCount: 1 << 20)
        var q = Buffer<Float>(count: tokens * query.rows, in: outputs)
        var k = Buffer<Float>(count: tokens * key.rows, in: outputs)
        var v = Buffer<Float>(count: tokens * value.rows, in: outputs)
        var group = ProductGroup()
        group.add(
            unsafe ProductMatrix(query.tiles.span.bytes, format: .q4_K, rows: 300),
            columns: columns, by: input, tokens: tokens, into: &q, memberCount: members)
        group.add(
            unsafe ProductMatrix(key.tiles.span.bytes, format: .q4_0, rows: 40),
            columns: columns, by: input, tokens: tokens, into: &k, memberCount: members)
        group.add(
            unsafe ProductMatrix(value.tiles.span.bytes, format: .q6_K, rows: 17),
            columns: columns, by: input, tokens: tokens, into: &v, memberCount: members)
        kernels.multiply(&group, team: team)
        let isEmpty = group.isEmpty
        let areEqual = [holds(q, expected[0]), holds(k, expected[1]), holds(v, expected[2])]
        #expect(isEmpty && areEqual == [true, true, true], "seed \(seed)")
    }

    private func holds(_ buffer: borrowing Buffer<Float>, _ values: [Float]) -> Bool {
        for index in values.indices where buffer[index] != values[index] { return false }
        return buffer.count == values.count
    }

    @Test func rowsLandAtTheirOffsetAndNowhereElse() throws {
        var random = SplitMix(seed: 0x51_0006)
        let (rows, columns, tokens, stride) = (19, 64, 6, 40)
        for format in [WeightFormat.q4_0, .q8_0, .f16] {
            let matrix = random.matrix(format, rows: rows, columns: columns)
            let x = random.floats(tokens * columns, .ordinary)
            for kernels in Kernels.available {
                let input = try ProductInput.holding(
                    x, tokens: tokens, columns: columns, kernels: kernels)
                let expected = matrix.product(kernels, by: input, tokens: tokens)
                var wide = [Float](repeating: -7, count: tokens * stride)
                var span = wide.mutableSpan
                unsafe kernels.multiply(
                    matrix.tiles.span.bytes, format: format, rows: rows, columns: columns,
                    by: input, tokens: tokens, into: &span, rowOffset: 11, outputStride: stride,
                    team: alone)
                for token in 0..<tokens {
                    let line = wide[token * stride..<(token + 1) * stride]
                    #expect(
                        Array(line.dropFirst(11).prefix(rows))
                            == Array(expected[token * rows..<(token + 1) * rows]))
                    #expect(line.prefix(11).allSatisfy { $0 == -7 })
                    #expect(line.dropFirst(11 + rows).allSatisfy { $0 == -7 })
                }
            }
        }
    }

    @Test func gatheredRowsGiveTheSameResults() throws {
        var random = SplitMix(seed: 0x51_0007)
        let (rows, columns, tokens) = (32, 96, 9)
        let kernels = Kernels.best
        let x = random.floats(tokens * columns, .ordinary)
        let input = try ProductInput.holding(x, tokens: tokens, columns: columns, kernels: kernels)
        let picked: [Int32] = [8, 0, 3, 3]
        var gathered = try ProductInput.holding(
            [Float](repeating: 5, count: 6 * columns), tokens: 6, columns: columns,
            kernels: kernels)
        kernels.gather(
            input, rows: picked.span, columns: columns, withFloats: true, into: &gathered, at: 0,
            team: alone)
        for format in [WeightFormat.q4_0, .q8_0, .f32] {
            let matrix = random.matrix(format, rows: rows, columns: columns)
            let all = matrix.product(kernels, by: input, tokens: tokens)
            let some = matrix.product(kernels, by: gathered, tokens: picked.count)
            for (index, row) in picked.enumerated() {
                let expected = all[Int(row) * rows..<(Int(row) + 1) * rows]
                #expect(Array(some[index * rows..<(index + 1) * rows]) == Array(expected))
            }
        }
    }
}
