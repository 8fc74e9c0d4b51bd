// Rows between products: every set of kernels against the scalar one, fused against one by one, and
// any number of threads against one.

import Compute
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

/// The product of `rows` prepared rows with a matrix that shows every bit of them: Q8_0 for the
/// 8-bit blocks, F32 for the floats.
private func shown(
    _ input: borrowing ProductInput, rows: Int, columns: Int, by kernels: Kernels
) -> [Float] {
    var random = SplitMix(seed: 0x55_0000)
    var results: [Float] = []
    for format in [WeightFormat.q8_0, .f32] where columns % format.blockElements == 0 {
        let bytes = random.blocks(format, rows: 16, columns: columns, .ordinary)
        let matrix = TestMatrix(
            format: format, rows: 16, columns: columns, rowMajor: bytes,
            tiles: RowTiles.interleave(bytes, format: format, rows: 16, columns: columns))
        results += matrix.product(kernels, by: input, tokens: rows)
    }
    return results
}

extension ProductInput {
    /// An input of its own arena, all zero.
    fileprivate static func fresh(rows: Int, columns: Int) throws -> ProductInput {
        let bytes = footprint(tokensMax: rows, columnsMax: columns)
        return ProductInput(
            tokensMax: rows, columnsMax: columns, in: try MemoryArena(byteCount: bytes))
    }
}

struct RowTests {
    private static let shapes = [(1, 64), (3, 33), (20, 96), (1, 4160), (9, 1024)]

    @Test(arguments: [false, true]) func fusedNormEqualsItsSteps(isLayerNorm: Bool) throws {
        var random = SplitMix(seed: 0x55_0001)
        let team = ComputeTeam(memberCount: 3)
        for (rows, columns) in Self.shapes {
            for nature in Nature.allCases {
                let x = random.floats(rows * columns, nature)
                let added = random.floats(rows * columns, nature)
                let weights = random.floats(columns, .ordinary)
                let bias = isLayerNorm ? random.floats(columns, .ordinary) : nil
                let norm = Norm(weights: weights, bias: bias, epsilon: 1e-5)
                for kernels in Kernels.available {
                    var expected = try ProductInput.fresh(rows: rows + 2, columns: columns)
                    var sums = zip(x, added).map { $0 + $1 }
                    var floats = expected.floats.mutableSpan(
                        in: 2 * columns..<(rows + 2) * columns)
                    kernels.normalize(sums.span, rows: rows, by: norm, into: &floats)
                    kernels.prepare(&expected, tokens: rows + 2, columns: columns, team: alone)

                    var fused = try ProductInput.fresh(rows: rows + 2, columns: columns)
                    kernels.prepare(&fused, tokens: 2, columns: columns, team: alone)
                    var hidden = x
                    var span = hidden.mutableSpan
                    kernels.normalize(
                        &span, adding: added.span, rows: rows, by: norm, into: &fused, firstRow: 2,
                        team: team)
                    #expect(differences(hidden, sums).isEmpty)
                    let found = shown(fused, rows: rows + 2, columns: columns, by: kernels)
                    let wanted = shown(expected, rows: rows + 2, columns: columns, by: kernels)
                    #expect(differences(found, wanted).isEmpty, "\(kernels.name) \(nature)")
                    sums.removeAll()
                }
            }
        }
    }

    @Test(arguments: Activation.ofAnyNetwork)
    func fusedActivationEqualsItsSteps(activation: Activation) throws {
        var random = SplitMix(seed: 0x55_0002)
        let team = ComputeTeam(memberCount: 3)
        for (rows, columns) in Self.shapes {
            let gate = random.floats(rows * columns, .ordinary)
            let up = random.floats(rows * columns, .ordinary)
            for kernels in Kernels.available {
                for isGated in [true, false] {
                    var expected = try ProductInput.fresh(rows: rows, columns: columns)
                    var fused = try ProductInput.fresh(rows: rows, columns: columns)
                    if isGated {
                        var floats = expected.floats.mutableSpan
                        kernels.activate(
                            activation, gate: gate.span, up: up.span, into: &floats,
                            count: gate.count)
                        kernels.activate(
                            activation, gate: gate.span, up: up.span, rows: rows, columns: columns,
                            into: &fused, team: team)
                    } else {
                        var activated = gate
                        var span = activated.mutableSpan
                        kernels.activate(activation, &span, count: gate.count)
                        for index in gate.indices { expected.floats[index] = activated[index] }
                        kernels.activate(
                            activation, gate: gate.span, up: nil, rows: rows, columns: columns,
                            into: &fused, team: team)
                    }
                    kernels.prepare(&expected, tokens: rows, columns: columns, team: alone)
                    let found = shown(fused, rows: rows, columns: columns, by: kernels)
                    let wanted = shown(expected, rows: rows, columns: columns, by: kernels)
                    #expect(differences(found, wanted).isEmpty, "\(kernels.name) \(activation)")
                }
            }
        }
    }

    @Test func expertSumsKeepTheRankingsOrder() {
        var random = SplitMix(seed: 0x55_0003)
        let team = ComputeTeam(memberCount: 3)
        for (tokens, columns) in Self.shapes {
            for nature in Nature.allCases {
                let used = 3
                let rows = random.floats(tokens * used * columns, nature)
                let indices = (0..<Int32(tokens * used)).shuffled(using: &random)
                let weights = random.floats(tokens * used, .ordinary)
                let (shared, y) = (
                    random.floats(tokens * columns, nature), random.floats(tokens * columns, nature)
                )
                for hasShared in [true, false] {
                    let expected = y.indices.map { index in
                        let token = index / columns
                        let sum = (0..<used).reduce(hasShared ? shared[index] : 0) { sum, rank in
                            let row = Int(indices[token * used + rank])
                            return sum.addingProduct(
                                weights[token * used + rank], rows[row * columns + index % columns])
                        }
                        return y[index] + sum
                    }
                    for kernels in Kernels.available {
                        var found = y
                        var span = found.mutableSpan
                        let sums = ExpertSums(
                            rows: rows.span, indices: indices.span, weights: weights.span,
                            used: used)
                        if hasShared {
                            kernels.add(
                                sums, shared: shared.span, tokens: tokens, columns: columns,
                                to: &span, team: team)
                        } else {
                            kernels.add(
                                sums, shared: nil, tokens: tokens, columns: columns, to: &span,
                                team: team)
                        }
                        #expect(differences(found, expected).isEmpty, "\(kernels.name) \(nature)")
                    }
                }
            }
        }
    }

    @Test func sharedGatesAgreeAndAreRight() {
        var random = SplitMix(seed: 0x55_0004)
        for nature in Nature.allCases {
            for (tokens, columns) in Self.shapes {
                let x = random.floats(tokens * columns, nature)
                let weights = random.floats(columns, .ordinary).map { $0 / 64 }
                var first: [Float]?
                for kernels in Kernels.available {
                    var y = [Float](repeating: 1, count: tokens * columns)
                    var span = y.mutableSpan
                    kernels.gate(
                        &span, by: x.span, weights: weights.span, tokens: tokens, columns: columns)
                    #expect(differences(first ?? y, y).isEmpty, "\(kernels.name) \(nature)")
                    first = first ?? y
                }
                guard nature == .ordinary, let first else { continue }
                for token in 0..<tokens {
                    let score = (0..<columns).reduce(0.0) {
                        $0 + Double(weights[$1]) * Double(x[token * columns + $1])
                    }
                    let exact = 1 / (1 + exponential(-score))
                    #expect(abs(Double(first[token * columns]) - exact) < 1e-5)
                }
            }
        }
    }

    private func exponential(_ x: Double) -> Double { Mathematics.exponential(x) }
}
