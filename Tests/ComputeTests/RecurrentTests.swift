// Layers with a state: every set of kernels and every way to cut a text against the scalar set on
// the whole text, and that against double precision.

import Compute
import Glibc
import LinuxSystem
import TestSupport
import Testing

struct RecurrentTests {
    private let team = ComputeTeam(memberCount: 3)

    /// Runs `body` over pieces of `tokens` tokens with each set, a state of `stateBytes` going
    /// along; all results and states must have the same bits.
    private func everySet(
        tokens: Int, rowCount: Int, stateBytes: Int,
        _ body: (Kernels, Range<Int>, inout MutableRawSpan, inout MutableSpan<Float>) -> Void
    ) -> [Float] {
        var expected: [Float] = []
        for kernels in Kernels.available {
            for step in [tokens, 1, 3] {
                var state = [Float](repeating: 0, count: stateBytes / 4)
                var y: [Float] = []
                for first in stride(from: 0, to: tokens, by: step) {
                    let range = first..<min(first + step, tokens)
                    var piece = [Float](repeating: .nan, count: range.count * rowCount)
                    var floats = state.mutableSpan
                    var bytes = unsafe floats.mutableBytes
                    var rows = piece.mutableSpan
                    body(kernels, range, &bytes, &rows)
                    y += piece
                }
                if expected.isEmpty { expected = y + state }
                #expect(
                    differences(expected, y + state).isEmpty, "\(kernels.name), \(step) at once")
            }
        }
        return Array(expected.prefix(tokens * rowCount))
    }

    @Test(arguments: [(3, 48, false), (4, 130, true), (2, 33, false), (8, 64, true)])
    func convolutionMatchesDoublePrecision(length: Int, channels: Int, activates: Bool) {
        var random = SplitMix(seed: 0xC0_0001)
        let tokens = 11
        let weights = random.floats(length * channels, .ordinary)
        let all = (0..<3).map { _ in random.floats(tokens * channels, .ordinary) }
        let (x, before, after) = (all[0], all[1], all[2])
        let convolution = ShortConvolution(
            weights: weights, length: length, activates: activates)
        let found = everySet(
            tokens: tokens, rowCount: channels, stateBytes: convolution.stateBytes
        ) { kernels, range, state, y in
            let rows = range.lowerBound * channels..<range.upperBound * channels
            let inputs = ConvolutionInputs(
                x: x.span.extracting(rows),
                before: activates ? nil : before.span.extracting(rows),
                after: activates ? nil : after.span.extracting(rows), tokens: range.count)
            kernels.convolve(inputs, by: convolution, state: &state, into: &y, team: team)
        }
        for token in 0..<tokens {
            for channel in 0..<channels {
                var sum = 0.0
                var size = 0.0
                for place in 0..<length where token - (length - 1) + place >= 0 {
                    let index = (token - (length - 1) + place) * channels + channel
                    let input = Double(x[index]) * (activates ? 1 : Double(before[index]))
                    let term = Double(weights[channel * length + place]) * input
                    sum += term
                    size += abs(term)
                }
                let index = token * channels + channel
                let exact = activates ? sum / (1 + exp(-sum)) : sum * Double(after[index])
                let scale = activates ? 1 : abs(Double(after[index]))
                let bound = 2e-6 * (size * scale + abs(exact)) + 1e-9
                #expect(abs(Double(found[index]) - exact) <= bound, "\(token), \(channel)")
            }
        }
    }

    @Test(
        arguments: [(2, 4, 16, true), (2, 4, 16, false), (1, 3, 40, true), (2, 2, 128, false)],
        [false, true])
    func deltaRuleMatchesDoublePrecision(
        sizes: (keyHeads: Int, heads: Int, width: Int, alternates: Bool), decaysApart: Bool
    ) {
        let (keyHeads, heads, width, alternates) = sizes
        var random = SplitMix(seed: 0xDE_0001)
        let tokens = 9
        let shape = StateRule(
            .delta, keyHeadCount: keyHeads, valueHeadCount: heads, keyWidth: width,
            valueWidth: width, alternates: alternates, decaysApart: decaysApart)
        let inputs = random.floats(tokens * shape.inputCount, .ordinary).map {
            $0 / Float(width).squareRoot()
        }
        let gates = [shape.decayCount, heads].map { count in
            (0..<tokens * count).map { _ in Float.random(in: 0...1, using: &random) }
        }
        let (decays, steps) = (gates[0], gates[1])
        let found = everySet(
            tokens: tokens, rowCount: shape.valueCount, stateBytes: shape.stateBytes
        ) { kernels, range, state, y in
            func rows(_ values: [Float], _ count: Int) -> Range<Int> {
                range.lowerBound * count..<range.upperBound * count
            }
            kernels.apply(
                shape, inputs: inputs.span.extracting(rows(inputs, shape.inputCount)),
                decays: decays.span.extracting(rows(decays, shape.decayCount)),
                steps: steps.span.extracting(rows(steps, heads)), state: &state,
                tokens: range.count, into: &y, team: team)
        }
        for head in 0..<heads {
            let keyHead = alternates ? head % keyHeads : head / (heads / keyHeads)
            var state = [[Double]](
                repeating: [Double](repeating: 0, count: width), count: width)
            for token in 0..<tokens {
                let row = inputs[(token * shape.inputCount)...].prefix(shape.inputCount)
                    .map(Double.init)
                let query = row[(keyHead * width)...].prefix(width).map(\.self)
                let key = row[(shape.keyCount + keyHead * width)...].prefix(width).map(\.self)
                let value = row[(2 * shape.keyCount + head * width)...].prefix(width).map(\.self)
                let step = Double(steps[token * heads + head])
                let own = token * shape.decayCount + head * (decaysApart ? width : 1)
                for column in 0..<width {
                    for k in 0..<width {
                        state[k][column] *= Double(decays[own + (decaysApart ? k : 0)])
                    }
                    let known = (0..<width).reduce(0) { $0 + state[$1][column] * key[$1] }
                    let error = step * (value[column] - known)
                    for k in 0..<width { state[k][column] += key[k] * error }
                    let exact = (0..<width).reduce(0) { $0 + state[$1][column] * query[$1] }
                    let index = token * shape.valueCount + head * width + column
                    #expect(abs(Double(found[index]) - exact) < 2e-5 * (1 + abs(exact)))
                }
            }
        }
    }

    @Test(arguments: [(2, 4, 16, 24), (1, 3, 40, 16), (2, 2, 128, 64)])
    func stateSpaceMatchesDoublePrecision(groups: Int, heads: Int, keyWidth: Int, width: Int) {
        var random = SplitMix(seed: 0x55_0001)
        let tokens = 9
        let skips = random.floats(heads, .ordinary)
        let rule = StateRule(
            .adding(skips: skips), keyHeadCount: groups, valueHeadCount: heads,
            keyWidth: keyWidth, valueWidth: width)
        let inputs = random.floats(tokens * rule.inputCount, .ordinary).map {
            $0 / Float(keyWidth).squareRoot()
        }
        let gates = (0..<2).map { _ in
            (0..<tokens * heads).map { _ in Float.random(in: 0...1, using: &random) }
        }
        let (decays, steps) = (gates[0], gates[1])
        let found = everySet(
            tokens: tokens, rowCount: rule.valueCount, stateBytes: rule.stateBytes
        ) { kernels, range, state, y in
            func rows(_ count: Int) -> Range<Int> {
                range.lowerBound * count..<range.upperBound * count
            }
            kernels.apply(
                rule, inputs: inputs.span.extracting(rows(rule.inputCount)),
                decays: decays.span.extracting(rows(heads)),
                steps: steps.span.extracting(rows(heads)), state: &state, tokens: range.count,
                into: &y, team: team)
        }
        for head in 0..<heads {
            let group = head / (heads / groups)
            for column in 0..<width {
                var state = [Double](repeating: 0, count: keyWidth)
                for token in 0..<tokens {
                    let row = inputs[(token * rule.inputCount)...].prefix(rule.inputCount)
                        .map(Double.init)
                    let key = row[(rule.valueCount + group * keyWidth)...].prefix(keyWidth)
                    let query = row[(rule.valueCount + rule.keyCount + group * keyWidth)...]
                        .prefix(keyWidth)
                    let value = row[head * width + column]
                    let (decay, step) = (
                        Double(decays[token * heads + head]), Double(steps[token * heads + head])
                    )
                    state = zip(state, key).map { $0 * decay + $1 * step * value }
                    let exact =
                        zip(state, query).reduce(0) { $0 + $1.0 * $1.1 }
                        + Double(skips[head]) * value
                    let index = token * rule.valueCount + head * width + column
                    #expect(abs(Double(found[index]) - exact) < 2e-5 * (1 + abs(exact)))
                }
            }
        }
    }

    @Test func boundedDecaysMatchDoublePrecision() {
        var random = SplitMix(seed: 0xDE_0003)
        let (tokens, heads, width) = (12, 3, 20)
        let x = (0..<tokens * heads * width).map { _ in Float.random(in: -30...30, using: &random) }
        let bias = random.floats(heads * width, .ordinary)
        let factors = (0..<heads).map { _ in Float.random(in: 0.01...4, using: &random) }
        for kernels in Kernels.available {
            var found = x
            var span = found.mutableSpan
            kernels.decays(
                &span, bias: bias.span, factors: factors.span, bound: -5, tokens: tokens)
            for index in x.indices {
                let factor = Double(factors[index / width % heads])
                let sum = factor * (Double(x[index]) + Double(bias[index % (heads * width)]))
                let exact = exp(-5 / (1 + exp(-sum)))
                #expect(abs(Double(found[index]) - exact) <= 4e-6 * exact * (1 + abs(sum)))
            }
        }
    }

    @Test func decaysMatchDoublePrecision() {
        var random = SplitMix(seed: 0xDE_0002)
        let (tokens, heads) = (40, 7)
        let x = (0..<tokens * heads).map { _ in Float.random(in: -30...30, using: &random) }
        let bias = random.floats(heads, .ordinary)
        let factors = (0..<heads).map { _ in -Float.random(in: 0.01...4, using: &random) }
        for kernels in Kernels.available {
            var found = x
            var span = found.mutableSpan
            kernels.decays(&span, bias: bias.span, factors: factors.span, tokens: tokens)
            for index in x.indices {
                let sum = Double(x[index]) + Double(bias[index % heads])
                let exact = exp(Double(factors[index % heads]) * log1p(exp(sum)))
                // What rounds in the exponent is as large as that is.
                let bound = 1e-6 * exact * (1 + abs(log(exact))) + 1e-37
                #expect(abs(Double(found[index]) - exact) <= bound, "\(index)")
            }
            var (steps, kept) = (x, x)
            var learnt = steps.mutableSpan
            var left = kept.mutableSpan
            kernels.timeSteps(
                &learnt, decays: &left, bias: bias.span, factors: factors.span, tokens: tokens)
            #expect(kept == found, "what is forgotten follows from what is learnt")
            for index in x.indices {
                let sum = Double(x[index]) + Double(bias[index % heads])
                let exact = log1p(exp(sum))
                let bound = 1e-6 * exact * (1 + abs(sum)) + 1e-37
                #expect(abs(Double(steps[index]) - exact) <= bound, "\(index)")
            }
        }
    }
}
