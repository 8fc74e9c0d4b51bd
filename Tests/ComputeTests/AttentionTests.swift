// Attention: every set of kernels against the scalar one, and against softmax attention in double
// precision, over scattered pages.

import Compute
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

struct AttentionTests {
    private static func shape(
        _ heads: Int, _ groups: Int, _ key: Int, _ value: Int, _ bits: KVBits = .half,
        values: KVBits? = nil, window: Int? = nil, cap: Float? = nil, hasSinks: Bool = false,
        scoresValues: Bool = false
    ) -> AttentionShape {
        var shape = AttentionShape(
            headCount: heads, keyValueHeadCount: groups, keyHeadWidth: key, valueHeadWidth: value,
            scale: 1 / Float(key).squareRoot(), window: window,
            format: KVFormat(keys: bits, values: values ?? bits))
        shape.scoreCap = cap
        shape.scoresValues = scoresValues
        // Below and beyond what heads have of their own.
        if hasSinks { shape.sinks = (0..<heads).map { Float($0 % 3) * 8 - 6 } }
        return shape
    }

    /// Single and grouped heads, odd widths, one page, a full page, several and a partial one,
    /// several spans, a head wider than a strip of values; windows within a page, of a page, that
    /// begin in a later span, and longer than what there is.
    private static let cases: [(AttentionShape, tokens: Int, firstPosition: Int)] = [
        (shape(1, 1, 16, 16), 1, 0), (shape(4, 1, 32, 32, .float), 1, 63),
        (shape(4, 2, 64, 64), 1, 200), (shape(6, 2, 24, 40, .float), 3, 62),
        (shape(5, 5, 80, 80), 9, 60), (shape(8, 2, 64, 64, .float), 21, 0),
        (shape(14, 2, 20, 12), 2, 127), (shape(3, 3, 128, 128, .float), 70, 0),
        (shape(2, 1, 5, 3), 6, 61), (shape(7, 1, 8, 16, .float), 1, 1300),
        (shape(4, 4, 8, 24), 19, 505), (shape(2, 2, 16, 300, .float), 5, 510),
        (shape(4, 2, 16, 16, window: 8), 21, 0), (shape(6, 2, 24, 40, .float, window: 1), 70, 3),
        (shape(4, 1, 16, 20, window: 64), 1, 190), (shape(2, 1, 8, 8, window: 100), 90, 480),
        (shape(7, 1, 8, 16, .float, window: 600), 1, 1300),
        (shape(8, 2, 16, 16, window: 1000), 33, 60),
        (shape(2, 1, 5, 3, .eight, values: .four), 6, 61), (shape(6, 2, 24, 40, .eight), 3, 62),
        (shape(14, 2, 20, 12, .eight, values: .four), 2, 127),
        (shape(7, 1, 8, 16, .half, values: .four), 1, 1300),
        (shape(2, 2, 16, 300, .eight), 5, 510),
        (shape(2, 1, 8, 8, .eight, values: .four, window: 100), 90, 480),
        (shape(7, 1, 8, 16, .eight, values: .four, window: 600), 1, 1300),
        (shape(4, 2, 64, 64, cap: 2), 1, 200), (shape(6, 2, 24, 40, .eight, cap: 1), 3, 62),
        (shape(8, 2, 16, 16, window: 100, hasSinks: true), 33, 60),
        (shape(7, 1, 8, 16, .float, hasSinks: true), 1, 1300),
        (shape(2, 2, 16, 300, hasSinks: true), 5, 510),
        (shape(4, 4, 8, 24, cap: 3, hasSinks: true), 19, 505),
        (shape(5, 1, 8, 32, scoresValues: true), 1, 130),
        (shape(8, 1, 64, 512, scoresValues: true), 3, 62),
        (shape(11, 1, 16, 48, .float, scoresValues: true), 1, 1300),
        (shape(4, 2, 8, 16, .eight, cap: 3, scoresValues: true), 19, 505),
        (shape(3, 1, 8, 1024, .half, values: .four, scoresValues: true), 6, 61),
        (shape(6, 1, 16, 64, .eight, values: .two, window: 100, scoresValues: true), 1, 190),
        (shape(4, 1, 8, 48, .four, values: .two, scoresValues: true), 2, 200),
        // These take whole pages: all tokens are in one page.
        (shape(2, 1, 300, 33, .two), 3, 187), (shape(8, 1, 64, 64, .two), 2, 200),
        (shape(4, 4, 8, 24, .two, values: .half), 4, 505),
        (shape(3, 1, 40, 72, .float, values: .two), 3, 130),
        (shape(5, 1, 16, 16, .four, cap: 2, hasSinks: true), 1, 640),
        (shape(5, 1, 16, 16, .four, values: .two), 1, 640),
        (shape(4, 1, 16, 20, .two, window: 64), 1, 190),
        (shape(4, 2, 64, 64, .four), 1, 200), (shape(2, 1, 5, 3, .four), 6, 58),
        (shape(2, 2, 16, 300, .four, values: .eight), 5, 505),
        (shape(2, 1, 300, 8, .four, window: 100), 30, 482),
        (shape(8, 2, 16, 16, .four, values: .float, window: 1000), 33, 70)
    ]

    @Test func everySetEqualsScalar() {
        var random = SplitMix(seed: 0x54_0001)
        for nature in Nature.allCases {
            for (shape, tokens, firstPosition) in Self.cases {
                let attention = AttentionCase(
                    shape, tokens: tokens, firstPosition: firstPosition, nature: nature,
                    using: &random)
                let results = Kernels.available.map { attention.result($0, tokens: 0..<tokens) }
                for (kernels, result) in zip(Kernels.available, results) {
                    #expect(
                        differences(results[0], result).isEmpty,
                        "\(kernels.name) \(nature) \(shape)")
                }
            }
        }
    }

    @Test func resultsMatchDoublePrecision() {
        var random = SplitMix(seed: 0x54_0002)
        for (shape, tokens, firstPosition) in Self.cases {
            let attention = AttentionCase(
                shape, tokens: tokens, firstPosition: firstPosition, nature: .ordinary,
                using: &random)
            let width = shape.valueHeadWidth
            for kernels in Kernels.available {
                let found = attention.result(kernels, tokens: 0..<tokens)
                for index in 0..<tokens * shape.headCount {
                    let exact = attention.exact(
                        token: index / shape.headCount, head: index % shape.headCount)
                    for (column, value) in exact.values.enumerated() {
                        let difference = abs(Double(found[index * width + column]) - value)
                        #expect(difference <= exact.bound, "\(kernels.name) \(shape) \(index)")
                    }
                }
            }
        }
    }

    @Test func resultsDependNeitherOnBatchNorOnTeam() {
        var random = SplitMix(seed: 0x54_0003)
        for (shape, tokens, firstPosition) in Self.cases {
            let attention = AttentionCase(
                shape, tokens: tokens, firstPosition: firstPosition, nature: .ordinary,
                using: &random)
            let kernels = Kernels.best
            let whole = attention.result(kernels, tokens: 0..<tokens)
            let team = ComputeTeam(memberCount: 3)
            #expect(whole == attention.result(kernels, tokens: 0..<tokens, team: team))
            let last = tokens - 1..<tokens
            let room = shape.partialCount(positions: firstPosition + tokens)
            let alone = attention.result(kernels, tokens: last)
            for kernels in Kernels.available {
                let split = attention.result(
                    kernels, tokens: last, partialCount: room, team: team)
                #expect(split == alone, "\(kernels.name): spans apart")
            }
            for batch in [1, 5, 16] {
                var parts: [Float] = []
                for first in stride(from: 0, to: tokens, by: batch) {
                    parts += attention.result(kernels, tokens: first..<min(first + batch, tokens))
                }
                #expect(whole == parts, "batches of \(batch)")
            }
        }
    }

    /// What lies on flash comes a few spans at a time.
    @Test func spansInSeveralCallsAreTheSameBits() {
        var random = SplitMix(seed: 0x54_0006)
        let team = ComputeTeam(memberCount: 2)
        let long: [(AttentionShape, tokens: Int, firstPosition: Int)] = [
            (Self.shape(4, 2, 32, 32), 70, 1600), (Self.shape(2, 1, 8, 300, .float), 3, 2047),
            (Self.shape(8, 2, 16, 16, .four), 20, 2048)
        ]
        for (shape, tokens, firstPosition) in Self.cases + long {
            let attention = AttentionCase(
                shape, tokens: tokens, firstPosition: firstPosition, nature: .ordinary,
                using: &random)
            for kernels in Kernels.available {
                let whole = attention.result(kernels, tokens: 0..<tokens)
                for spans in [1, 2] {
                    let parts = attention.resultInParts(kernels, spansPerCall: spans, team: team)
                    #expect(whole == parts, "\(kernels.name) \(shape) \(spans)")
                }
            }
        }
    }

    /// Pages before the window may be gone, and what lies before it in its first page must not
    /// matter, not even NaN.
    @Test(arguments: formats) func whatLeftTheWindowDoesNotMatter(format: KVFormat) {
        var random = SplitMix(seed: 0x54_0005)
        let shape = Self.shape(
            4, 2, 32, 32, format.keys, values: format.values, window: 70)
        let full = AttentionCase(
            shape, tokens: 6, firstPosition: 160, nature: .ordinary, using: &random)
        expectNothingChanges(full, withNaNAt: 0..<91)
    }

    /// What lies in a page beyond the visible positions must not matter, not even NaN.
    @Test(arguments: formats) func theFutureDoesNotMatter(format: KVFormat) {
        var random = SplitMix(seed: 0x54_0004)
        let shape = Self.shape(4, 2, 32, 32, format.keys, values: format.values)
        let full = AttentionCase(
            shape, tokens: 6, firstPosition: 66, nature: .ordinary, using: &random)
        expectNothingChanges(full, withNaNAt: 72..<128)
    }

    private static let formats =
        KVBits.allCases.map { KVFormat($0) } + [KVFormat(keys: .eight, values: .four)]

    /// Results are the same, and finite, whatever stands at `positions`.
    private func expectNothingChanges(_ full: AttentionCase, withNaNAt positions: Range<Int>) {
        var other = full
        for position in positions { other.spoil(position) }
        let tokens = 0..<full.tokens
        for kernels in Kernels.available {
            let found = other.result(kernels, tokens: tokens)
            #expect(found == full.result(kernels, tokens: tokens))
            #expect(found.allSatisfy { $0.isFinite })
        }
    }
}
