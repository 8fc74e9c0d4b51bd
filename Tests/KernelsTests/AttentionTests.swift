// Attention: every set of kernels against the scalar one, and against softmax attention in double
// precision, over scattered pages.

import Glibc
import Kernels
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

/// A filled KV cache and queries.
private struct AttentionCase {
    let shape: AttentionShape
    let tokens: Int
    let firstPosition: Int
    let queries: [Float]
    let pool: [UInt8]
    let pageOffsets: [Int]

    init(
        _ shape: AttentionShape, tokens: Int, firstPosition: Int, nature: Nature,
        using random: inout SplitMix
    ) {
        self.shape = shape
        self.tokens = tokens
        self.firstPosition = firstPosition
        queries = random.floats(tokens * shape.headCount * shape.keyHeadWidth, nature)
        let pages = (firstPosition + tokens + 63) / 64
        // Pages in any order, with gaps, at odd multiples of two bytes.
        let order = Array(0..<pages).shuffled(using: &random)
        pageOffsets = order.map { $0 * (shape.pageBytes + 34) + 2 }
        var bytes = [UInt8](repeating: 0xFF, count: pages * (shape.pageBytes + 34) + 2)
        for offset in pageOffsets {
            let values = random.floats(shape.pageBytes / 2, nature)
            for (index, value) in values.enumerated() {
                let half = Float16(nature == .extreme ? value / 1e16 : value).bitPattern
                bytes[offset + 2 * index] = UInt8(truncatingIfNeeded: half)
                bytes[offset + 2 * index + 1] = UInt8(half >> 8)
            }
        }
        pool = bytes
    }

    func result(_ kernels: Kernels, tokens range: Range<Int>, team: ComputeTeam = alone) -> [Float]
    {
        let queryWidth = shape.headCount * shape.keyHeadWidth
        let part = Array(queries[range.lowerBound * queryWidth..<range.upperBound * queryWidth])
        let count = range.count * shape.headCount * shape.valueHeadWidth
        var y = [Float](repeating: 3, count: count)
        var span = y.mutableSpan
        unsafe kernels.attend(
            shape, queries: part.span, tokens: range.count,
            firstPosition: firstPosition + range.lowerBound, pool: pool.span.bytes,
            pageOffsets: pageOffsets.span, into: &span, team: team)
        return y
    }

    private func half(_ offset: Int) -> Double {
        Double(Float16(bitPattern: UInt16(pool[offset]) | UInt16(pool[offset + 1]) << 8))
    }

    /// Softmax attention of one token's head in double precision, and the error to allow: scores
    /// round in proportion to their size, and a score's error scales its weight.
    func exact(token: Int, head: Int) -> (values: [Double], bound: Double) {
        let (keyWidth, valueWidth) = (shape.keyHeadWidth, shape.valueHeadWidth)
        let keyHead = head / (shape.headCount / shape.keyValueHeadCount)
        let query = (token * shape.headCount + head) * keyWidth
        let positions = 0...(firstPosition + token)
        let scores = positions.map { position in
            let keys = pageOffsets[position / 64] + (keyHead * 64 + position % 64) * keyWidth * 2
            return (0..<keyWidth).reduce(0.0) { sum, index in
                sum + Double(queries[query + index]) * half(keys + 2 * index)
            } * Double(shape.scale)
        }
        let largest = scores.max() ?? 0
        let weights = scores.map { exp($0 - largest) }
        let sum = weights.reduce(0, +)
        var result = [Double](repeating: 0, count: valueWidth)
        var largestValue = 0.0
        for position in positions {
            let first = shape.keyValueHeadCount * 64 * keyWidth
            let row = first + (keyHead * 64 + position % 64) * valueWidth
            for index in 0..<valueWidth {
                let value = half(pageOffsets[position / 64] + 2 * (row + index))
                result[index] += weights[position] / sum * value
                largestValue = max(largestValue, abs(value))
            }
        }
        let largestScore = scores.reduce(0) { max($0, abs($1)) }
        return (result, 2e-7 * (1 + largestScore) * largestValue)
    }
}

struct AttentionTests {
    private static func shape(_ heads: Int, _ groups: Int, _ key: Int, _ value: Int)
        -> AttentionShape
    {
        AttentionShape(
            headCount: heads, keyValueHeadCount: groups, keyHeadWidth: key, valueHeadWidth: value,
            scale: 1 / Float(key).squareRoot())
    }

    /// Single and grouped heads, odd widths, one page, a full page, several and a partial one.
    private static let cases: [(AttentionShape, tokens: Int, firstPosition: Int)] = [
        (shape(1, 1, 16, 16), 1, 0), (shape(4, 1, 32, 32), 1, 63), (shape(4, 2, 64, 64), 1, 200),
        (shape(6, 2, 24, 40), 3, 62), (shape(5, 5, 80, 80), 9, 60), (shape(8, 2, 64, 64), 21, 0),
        (shape(14, 2, 20, 12), 2, 127), (shape(3, 3, 128, 128), 70, 0), (shape(2, 1, 5, 3), 6, 61)
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
            for batch in [1, 5, 16] {
                var parts: [Float] = []
                for first in stride(from: 0, to: tokens, by: batch) {
                    parts += attention.result(kernels, tokens: first..<min(first + batch, tokens))
                }
                #expect(whole == parts, "batches of \(batch)")
            }
        }
    }

    /// What lies in a page beyond the visible positions must not matter, not even NaN.
    @Test func theFutureDoesNotMatter() {
        var random = SplitMix(seed: 0x54_0004)
        let shape = Self.shape(4, 2, 32, 32)
        let full = AttentionCase(
            shape, tokens: 6, firstPosition: 66, nature: .ordinary, using: &random)
        var poisoned = full.pool
        for position in 72..<128 {
            for head in 0..<2 {
                for index in 0..<32 {
                    let key = (head * 64 + position % 64) * 32 + index
                    for element in [key, 2 * 64 * 32 + key] {
                        poisoned[full.pageOffsets[1] + 2 * element] = 0xFF
                        poisoned[full.pageOffsets[1] + 2 * element + 1] = 0x7F
                    }
                }
            }
        }
        let other = AttentionCase(full, pool: poisoned)
        for kernels in Kernels.available {
            let found = other.result(kernels, tokens: 0..<6)
            #expect(found == full.result(kernels, tokens: 0..<6))
            #expect(found.allSatisfy { $0.isFinite })
        }
    }
}

extension AttentionCase {
    fileprivate init(_ other: AttentionCase, pool: [UInt8]) {
        shape = other.shape
        tokens = other.tokens
        firstPosition = other.firstPosition
        queries = other.queries
        pageOffsets = other.pageOffsets
        self.pool = pool
    }
}
