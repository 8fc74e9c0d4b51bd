// The rotary angles against the papers' own formulas, looked for instead of solved.

import Glibc
import Inference
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

@Suite struct RotaryTableTests {
    private static func isNear(_ value: Double, _ expected: Double) -> Bool {
        abs(value - expected) <= 1e-9 * max(abs(expected), 1e-30)
    }

    @Test func plainAndLinearFrequencies() {
        let plain = RotaryTable(
            RotaryEmbedding(base: 10000, rotatedWidth: 4, pairing: .halves), factors: nil)
        #expect(plain.pairCount == 2 && plain.magnitude == 1)
        #expect(plain.frequencies[0] == 1 && Self.isNear(plain.frequencies[1], 0.01))
        let linear = RotaryTable(
            RotaryEmbedding(
                base: 10000, rotatedWidth: 4, pairing: .halves, scaling: .linear(factor: 4)),
            factors: [1, 2])
        #expect(Self.isNear(linear.frequencies[0], 0.25))
        #expect(Self.isNear(linear.frequencies[1], 0.01 / 8))
    }

    /// YaRN keeps what turns often within the original context, and divides what hardly turns.
    @Test func yarnKeepsFastPairsAndDividesSlowOnes() {
        let yarn = RotaryEmbedding.Yarn(factor: 8, originalContextLength: 2048)
        let rope = RotaryEmbedding(
            base: 10000, rotatedWidth: 128, pairing: .halves, scaling: .yarn(yarn))
        let table = RotaryTable(rope, factors: nil)
        let plain = RotaryTable(
            RotaryEmbedding(base: 10000, rotatedWidth: 128, pairing: .halves), factors: nil)
        #expect(table.frequencies[0] == plain.frequencies[0])
        #expect(Self.isNear(table.frequencies[63], plain.frequencies[63] / 8))
        #expect(Self.isNear(table.magnitude, 1 + 0.1 * log(8)))
    }

    @Test func randomTablesEqualTheFormulas() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for round in 0..<400 {
            let pairs = Int.random(in: 1...64, using: &random)
            let scaling = Self.scaling(&random)
            let rope = RotaryEmbedding(
                base: Float.random(in: 100...1e6, using: &random), rotatedWidth: 2 * pairs,
                pairing: .halves,
                scaling: scaling)
            let factors: [Float]? =
                Bool.random(using: &random)
                ? (0..<pairs).map { _ in Float.random(in: 0.5...8, using: &random) } : nil
            let table = RotaryTable(rope, factors: factors)
            let formulas = RotaryFormulas(rope: rope, factors: factors)
            #expect(table.pairCount == pairs)
            for pair in 0..<pairs {
                guard !Self.isNear(table.frequencies[pair], formulas.frequency(pair)) else {
                    continue
                }
                Issue.record("seed \(seed), round \(round), pair \(pair) of \(rope)")
                return
            }
            #expect(Self.isNear(table.magnitude, formulas.magnitude), "seed \(seed), \(rope)")
        }
    }

    private static func scaling(_ random: inout SplitMix) -> RotaryEmbedding.Scaling {
        let factor = Float.random(in: 1...40, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return .none
        case 1: return .linear(factor: factor)
        default:
            return .yarn(
                RotaryEmbedding.Yarn(
                    factor: factor,
                    originalContextLength: Int.random(in: 64...100_000, using: &random),
                    extrapolationFactor: Bool.random(using: &random) ? 1 : 0,
                    attentionFactor: Float.random(in: 0.5...2, using: &random),
                    betaFast: Float.random(in: 16...64, using: &random),
                    betaSlow: Float.random(in: 0.5...4, using: &random)))
        }
    }

    /// A position's angles, and nothing beside them.
    @Test func aPositionIsFilled() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        let arena = try MemoryArena(byteCount: 1 << 16)
        var cosines = Buffer<Float>(count: 100, in: arena)
        var sines = Buffer<Float>(count: 100, in: arena)
        let yarn = RotaryEmbedding.Yarn(
            factor: 4, originalContextLength: 512, attentionFactor: 0.7)
        let rope = RotaryEmbedding(
            base: 10000, rotatedWidth: 24, pairing: .halves, scaling: .yarn(yarn))
        let table = RotaryTable(rope, factors: nil)
        for _ in 0..<200 {
            let position = Int.random(in: 0..<200_000, using: &random)
            let start = Int.random(in: 0...88, using: &random)
            for index in 0..<100 { (cosines[index], sines[index]) = (7, 7) }
            table.fill(position: position, cosines: &cosines, sines: &sines, at: start)
            for index in 0..<100 {
                let pair = index - start
                guard (0..<12).contains(pair) else {
                    #expect(cosines[index] == 7 && sines[index] == 7, "seed \(seed)")
                    continue
                }
                let angle = Double(position) * table.frequencies[pair]
                let error = max(
                    abs(Double(cosines[index]) - cos(angle) * table.magnitude),
                    abs(Double(sines[index]) - sin(angle) * table.magnitude))
                #expect(error < 1e-6, "seed \(seed), position \(position), pair \(pair)")
            }
        }
    }
}

/// RoFormer's and YaRN's formulas, one pair at a time.
private struct RotaryFormulas {
    let rope: RotaryEmbedding
    let factors: [Float]?

    /// Radians for each position, at a place between pairs, too.
    private func radians(_ pair: Double) -> Double {
        pow(Double(rope.base), -2 * pair / Double(rope.rotatedWidth))
    }

    func frequency(_ pair: Int) -> Double {
        let plain = radians(Double(pair)) / Double(factors?[pair] ?? 1)
        switch rope.scaling {
        case .none: return plain
        case .linear(let factor): return plain / Double(factor)
        case .yarn(let yarn):
            let first = max(0, place(turns: yarn.betaFast, yarn).rounded(.down))
            let last = min(
                Double(rope.rotatedWidth) - 1, place(turns: yarn.betaSlow, yarn).rounded(.up))
            let ramp = (Double(pair) - first) / max(0.001, last - first)
            let divided = min(1, max(0, ramp))
            guard yarn.extrapolationFactor != 0 else { return plain / Double(yarn.factor) }
            return plain * (1 - divided) + plain / Double(yarn.factor) * divided
        }
    }

    /// The place of the pair that turns so many times within the original context.
    private func place(turns: Float, _ yarn: RotaryEmbedding.Yarn) -> Double {
        func turnsOf(_ pair: Double) -> Double {
            radians(pair) * Double(yarn.originalContextLength) / (2 * Double.pi)
        }
        var (low, high) = (-1e4, 1e4)
        for _ in 0..<100 {
            let middle = (low + high) / 2
            if turnsOf(middle) > Double(turns) { low = middle } else { high = middle }
        }
        return low
    }

    var magnitude: Double {
        guard case .yarn(let yarn) = rope.scaling else { return 1 }
        let grows = yarn.extrapolationFactor != 0
        return Double(yarn.attentionFactor) * (grows ? 1 + 0.1 * log(Double(yarn.factor)) : 1)
    }
}
