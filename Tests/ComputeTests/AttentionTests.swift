// Attention: every set of kernels against the scalar one, and against softmax attention in double
// precision, over scattered pages.

import Compute
import Glibc
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
    var pool: [UInt8]
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
        // Pages in any order, with gaps, at odd multiples of an element.
        let element = shape.format.keys.rawValue / 8
        let gap = 17 * element
        let order = Array(0..<pages).shuffled(using: &random)
        pageOffsets = order.map { $0 * (shape.pageBytes + gap) + element }
        pool = [UInt8](repeating: 0xFF, count: pages * (shape.pageBytes + gap) + element)
        for offset in pageOffsets {
            let values = random.floats(shape.pageBytes / element, nature)
            for (index, value) in values.enumerated() {
                store(nature == .extreme ? value / 1e16 : value, at: offset + element * index)
            }
        }
    }

    private mutating func store(_ value: Float, at offset: Int) {
        let bits =
            shape.format.keys == .half ? UInt32(Float16(value).bitPattern) : value.bitPattern
        for byte in 0..<(shape.format.keys.rawValue / 8) {
            pool[offset + byte] = UInt8(truncatingIfNeeded: bits >> (8 * byte))
        }
    }

    func result(
        _ kernels: Kernels, tokens range: Range<Int>, partialCount: Int = 0,
        team: ComputeTeam = alone
    ) -> [Float] {
        let queryWidth = shape.headCount * shape.keyHeadWidth
        let part = Array(queries[range.lowerBound * queryWidth..<range.upperBound * queryWidth])
        let count = range.count * shape.headCount * shape.valueHeadWidth
        var y = [Float](repeating: 3, count: count)
        var span = y.mutableSpan
        var partials = [Float](repeating: .nan, count: partialCount)
        var room = partials.mutableSpan
        let source = unsafe AttentionSource(
            firstPosition: firstPosition + range.lowerBound, tokens: range.count,
            pool: pool.span.bytes, pageOffsets: pageOffsets.span)
        kernels.attend(
            shape, queries: part.span, source: source, partials: &room, into: &span, team: team)
        return y
    }

    /// The byte of a position's key or value element.
    func keyOffset(_ position: Int, head: Int, index: Int) -> Int {
        let element = (head * shape.keyHeadWidth + index) * 64 + position % 64
        return pageOffsets[position / 64] + element * (shape.format.keys.rawValue / 8)
    }

    func valueOffset(_ position: Int, head: Int, index: Int) -> Int {
        let first = shape.keyValueHeadCount * 64 * shape.keyHeadWidth
        let element = first + (head * 64 + position % 64) * shape.valueHeadWidth + index
        return pageOffsets[position / 64] + element * (shape.format.keys.rawValue / 8)
    }

    /// Makes a position's keys and values NaN.
    mutating func spoil(_ position: Int) {
        for head in 0..<shape.keyValueHeadCount {
            for index in 0..<shape.keyHeadWidth {
                store(.nan, at: keyOffset(position, head: head, index: index))
            }
            for index in 0..<shape.valueHeadWidth {
                store(.nan, at: valueOffset(position, head: head, index: index))
            }
        }
    }

    private func number(_ offset: Int) -> Double {
        let bits = (0..<(shape.format.keys.rawValue / 8)).reduce(UInt32(0)) { bits, byte in
            bits | UInt32(pool[offset + byte]) << (8 * byte)
        }
        return shape.format.keys == .half
            ? Double(Float16(bitPattern: UInt16(bits))) : Double(Float(bitPattern: bits))
    }

    /// Softmax attention of one token's head in double precision, and the error to allow as
    /// ckernels.h states it.
    func exact(token: Int, head: Int) -> (values: [Double], bound: Double) {
        let keyHead = head / (shape.headCount / shape.keyValueHeadCount)
        let query = (token * shape.headCount + head) * shape.keyHeadWidth
        let last = firstPosition + token
        let positions = shape.begin(of: last)...last
        var largestSum = 0.0
        let scores = positions.map { position in
            let products = (0..<shape.keyHeadWidth).map { index in
                Double(queries[query + index])
                    * number(keyOffset(position, head: keyHead, index: index))
            }
            largestSum = max(largestSum, products.reduce(0) { $0 + abs($1) })
            return products.reduce(0, +) * Double(shape.scale)
        }
        let largest = scores.max() ?? 0
        let weights = scores.map { exp($0 - largest) }
        let sum = weights.reduce(0, +)
        var result = [Double](repeating: 0, count: shape.valueHeadWidth)
        var largestValue = 0.0
        for position in positions {
            for index in 0..<shape.valueHeadWidth {
                let value = number(valueOffset(position, head: keyHead, index: index))
                result[index] += weights[position - positions.lowerBound] / sum * value
                largestValue = max(largestValue, abs(value))
            }
        }
        let scoreError =
            Double(shape.keyHeadWidth) * 0x1p-24 * Double(shape.scale) * largestSum
        return (result, (2 * scoreError + 2e-6) * largestValue)
    }
}

struct AttentionTests {
    private static func shape(
        _ heads: Int, _ groups: Int, _ key: Int, _ value: Int, _ bits: KVBits = .half,
        window: Int? = nil
    ) -> AttentionShape {
        AttentionShape(
            headCount: heads, keyValueHeadCount: groups, keyHeadWidth: key, valueHeadWidth: value,
            scale: 1 / Float(key).squareRoot(), window: window, format: KVFormat(bits))
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
        (shape(8, 2, 16, 16, window: 1000), 33, 60)
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

    /// Pages before the window may be gone, and what lies before it in its first page must not
    /// matter, not even NaN.
    @Test func whatLeftTheWindowDoesNotMatter() {
        var random = SplitMix(seed: 0x54_0005)
        let shape = Self.shape(4, 2, 32, 32, window: 70)
        let full = AttentionCase(
            shape, tokens: 6, firstPosition: 160, nature: .ordinary, using: &random)
        expectNothingChanges(full, withNaNAt: 0..<91)
    }

    /// What lies in a page beyond the visible positions must not matter, not even NaN.
    @Test func theFutureDoesNotMatter() {
        var random = SplitMix(seed: 0x54_0004)
        let shape = Self.shape(4, 2, 32, 32)
        let full = AttentionCase(
            shape, tokens: 6, firstPosition: 66, nature: .ordinary, using: &random)
        expectNothingChanges(full, withNaNAt: 72..<128)
    }

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
