// Neurons' scores: every set against the scalar one, and that against its definition in double
// precision.

import Compute
import LinuxSystem
import TestSupport
import Testing

@Suite struct ScoreTests {
    private struct Case {
        let neurons: Int
        let fine: Int
        let coarse: Int
        let tokens: Int
        var rank: Int { fine + coarse }
    }

    private static let cases = [
        Case(neurons: 37, fine: 32, coarse: 0, tokens: 1),
        Case(neurons: 16, fine: 0, coarse: 64, tokens: 2),
        Case(neurons: 1000, fine: 128, coarse: 256, tokens: 3)
    ]

    @Test func scoresAreThoseOfTheDefinitionInEverySet() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for one in Self.cases {
            let tiles = Self.tiles(one, &random)
            let codes = random.floats(one.tokens * one.rank, .ordinary)
            let expected = Self.expected(one, tiles, codes)
            var first: [Float] = []
            for kernels in Kernels.available {
                let found = try Self.scores(one, tiles, codes, kernels)
                if first.isEmpty { first = found }
                #expect(
                    found.map(\.bitPattern) == first.map(\.bitPattern),
                    "\(kernels.name), seed \(seed)")
            }
            // Of the 8 bits that codes are rounded to: a 254th of a block's largest, 1.5 bits
            // of level a coordinate.
            for (found, right) in zip(first, expected) {
                #expect(abs(found - right.value) <= right.tolerance, "seed \(seed)")
            }
        }
    }

    private static func scores(
        _ one: Case, _ tiles: [UInt8], _ codes: [Float], _ kernels: Kernels
    ) throws -> [Float] {
        let team = ComputeTeam(memberCount: 2)
        let arena = try MemoryArena(
            byteCount: ProductInput.footprint(tokensMax: one.tokens, columnsMax: one.rank))
        var input = ProductInput(tokensMax: one.tokens, columnsMax: one.rank, in: arena)
        for (index, value) in codes.enumerated() { input.floats[index] = value }
        kernels.prepare(&input, tokens: one.tokens, columns: one.rank, team: team)
        var result = [Float](repeating: .nan, count: one.tokens * one.neurons)
        var span = result.mutableSpan
        kernels.score(
            unsafe ScoreTiles(
                tiles.span.bytes, neurons: one.neurons, fineRank: one.fine,
                coarseRank: one.coarse),
            by: input, tokens: one.tokens, into: &span, team: team)
        return result
    }

    /// Random codes, ordinary steps and biases.
    private static func tiles(_ one: Case, _ random: inout SplitMix) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<(one.neurons + 15) / 16 {
            bytes += random.bytes(16 * (one.fine / 2 + one.coarse / 4))
            for _ in 0..<32 {
                bytes += littleEndian(Float16.random(in: 0.01...0.1, using: &random).bitPattern)
            }
            for _ in 0..<16 {
                bytes += littleEndian(Float.random(in: -3...3, using: &random).bitPattern)
            }
        }
        return bytes
    }

    private static func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> Value(8 * $0)) }
    }

    private static func expected(
        _ one: Case, _ tiles: [UInt8], _ codes: [Float]
    ) -> [(value: Float, tolerance: Float)] {
        let tileBytes = 16 * (one.fine / 2 + one.coarse / 4 + 8)
        func word(_ at: Int, bytes: Int) -> UInt32 {
            (0..<bytes).reduce(0) { $0 | UInt32(tiles[at + $1]) << UInt32(8 * $1) }
        }
        func level(_ start: Int, _ lane: Int, _ index: Int, bits: Int) -> Double {
            let perWord = 32 / bits
            let packed = word(start + 4 * (16 * (index / perWord) + lane), bytes: 4)
            let shift = 8 * (index % 4) + bits * (index % perWord / 4)
            return Double(2 * Int(packed >> UInt32(shift) & (1 << UInt32(bits) - 1)))
                - Double(1 << bits - 1)
        }
        func step(_ at: Int) -> Double {
            Double(Float16(bitPattern: UInt16(word(at, bytes: 2))))
        }
        return (0..<one.tokens).flatMap { token in
            (0..<one.neurons).map { neuron in
                let lane = neuron % 16
                let start = neuron / 16 * tileBytes
                let coarse = start + 8 * one.fine
                let steps = coarse + 4 * one.coarse
                var sum = Double(Float(bitPattern: word(steps + 64 + 4 * lane, bytes: 4)))
                var tolerance = 1e-4
                for index in 0..<one.rank {
                    let isFine = index < one.fine
                    let value = Double(codes[token * one.rank + index])
                    let weight =
                        isFine
                        ? step(steps + 2 * lane) * level(start, lane, index, bits: 4)
                        : step(steps + 32 + 2 * lane)
                            * level(coarse, lane, index - one.fine, bits: 2)
                    let first = token * one.rank + index / 32 * 32
                    let largest = codes[first..<first + 32].reduce(0) { max($0, abs($1)) }
                    sum += weight * value
                    tolerance += abs(weight) * Double(largest) / 250
                }
                return (Float(sum), Float(tolerance))
            }
        }
    }
}
