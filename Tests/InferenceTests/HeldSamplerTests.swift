// Sampling among some tokens is sampling from logits in which the others' are minus infinity,
// whether the tokens are listed or asked for.

import GenerationAPI
import Inference
import ModelFormat
import TestSupport
import Testing

@Suite struct HeldSamplerTests {
    private static let count = 300

    private static var ways: [SamplingParameters] {
        var all = SamplingParameters()
        (all.temperature, all.topK, all.topP, all.minP) = (1.5, 0, 1, 0)
        var penalized = SamplingParameters()
        (penalized.repetitionPenalty, penalized.topK) = (1.3, 5)
        return [.greedy, SamplingParameters(), all, penalized]
    }

    @Test(arguments: ways.indices) func equalsLogitsOfMinusInfinity(_ way: Int) throws {
        let seed = UInt64(UInt32.random(in: 0 ... .max))
        var random = SplitMix(seed: seed)
        var parameters = Self.ways[way]
        parameters.seed = seed
        func sampler() throws -> Sampler {
            try Sampler(
                parameters, vocabularySize: Self.count, contextTokens: 64,
                suppressed: [TokenID(3), TokenID(77)])
        }
        var (plain, listed, asked) = (try sampler(), try sampler(), try sampler())
        for step in 0..<300 {
            let logits = (0..<Self.count).map { _ in Float(random.next() % 2048) / 128 }
            let part = UInt64.random(in: 1...40, using: &random)
            let allowed = (0..<Self.count).map { _ in random.next() % part == 0 }
            let masked = zip(logits, allowed).map { $1 ? $0 : -.infinity }
            let isNone = !allowed.indices.contains { allowed[$0] && $0 != 3 && $0 != 77 }
            let expected = isNone ? nil : plain.sample(masked.span)
            let tokens = allowed.indices.filter { allowed[$0] }.map { Int32($0) }
            let first = listed.sample(logits.span, among: tokens)
            let second = asked.sample(logits.span) { allowed[$0.index] }
            #expect(first == expected && second == expected, "seed \(seed), step \(step)")
            if let expected {
                plain.accept(expected)
                listed.accept(expected)
                asked.accept(expected)
            }
        }
    }
}
