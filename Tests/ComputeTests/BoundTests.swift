// What is kept of keys bounds their products with any query.

import Compute
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

struct BoundTests {
    private static let pages = 5
    private static let formats: [KVBits] = [.float, .half, .eight, .four, .two]

    private static func shape(_ bits: KVBits) -> AttentionShape {
        AttentionShape(
            headCount: 6, keyValueHeadCount: 2, keyHeadWidth: 40, valueHeadWidth: 24, scale: 1,
            format: KVFormat(bits))
    }

    /// A cache of whole pages and what is kept of each, side by side behind them.
    private struct Summarized {
        let attention: AttentionCase
        let bytes: [UInt8]
        let first: Int

        init(_ attention: AttentionCase) {
            let summary = BoundTests.summary(attention.shape)
            var bytes = attention.pool
            let first = bytes.count
            bytes += [UInt8](repeating: 0xFF, count: pages * summary.byteCount)
            var span = bytes.mutableSpan
            var pool = unsafe span.mutableBytes
            for page in 0..<pages {
                Kernels.summarizeKeys(
                    attention.shape.page, at: attention.pageOffsets[page],
                    to: first + page * summary.byteCount, in: &pool)
            }
            self.attention = attention
            self.bytes = bytes
            self.first = first
        }

        /// `[heads][8]`, of which the pages' are from 1 on.
        func bounds() -> [Float] {
            let shape = attention.shape
            var bounds = [Float](repeating: 7, count: shape.headCount * 8)
            var span = bounds.mutableSpan
            unsafe Kernels.boundScores(
                KeySummaries(
                    bytes.span.bytes.extracting(first..<bytes.count), pageCount: pages),
                BoundTests.summary(shape), queries: attention.queries.span, into: &span,
                boundsStride: 8, first: 1)
            return bounds
        }
    }

    private static func summary(_ shape: AttentionShape) -> KeySummaryShape {
        KeySummaryShape(headCount: shape.keyValueHeadCount, keyHeadWidth: shape.keyHeadWidth)
    }

    private static func summarized(_ bits: KVBits, seed: UInt64) -> Summarized {
        var random = SplitMix(seed: seed)
        // The last page is still being filled.
        return Summarized(
            AttentionCase(
                shape(bits), tokens: 1, firstPosition: 64 * pages, nature: .ordinary,
                using: &random))
    }

    @Test(arguments: formats) func noKeyIsBeyondItsBound(bits: KVBits) {
        let summarized = Self.summarized(bits, seed: 91)
        let (attention, bounds) = (summarized.attention, summarized.bounds())
        let (shape, width) = (attention.shape, attention.shape.keyHeadWidth)
        for head in 0..<shape.headCount {
            let query = attention.queries[head * width..<(head + 1) * width].map { Double($0) }
            for page in 0..<Self.pages {
                let part = attention.keys(64 * page, head: head / 3)
                let keys = (0..<64).map { slot in
                    query.indices.map {
                        part.number(slot: slot, index: $0, in: attention.pool).value
                    }
                }
                let exact = query.indices.reduce(0.0) { sum, channel in
                    let products = keys.map { query[channel] * $0[channel] }
                    return sum + (products.max() ?? 0)
                }
                let greatest = keys.map { zip($0, query).reduce(0) { $0 + $1.0 * $1.1 } }.max()
                let bound = Double(bounds[head * 8 + page + 1])
                let size = query.indices.reduce(0.0) { sum, channel in
                    sum + (keys.map { abs(query[channel] * $0[channel]) }.max() ?? 0)
                }
                // Rounded outwards by less than 1 / 128 of a number.
                #expect(bound >= exact - 1e-5 * size && bound <= exact + size / 100)
                #expect(bound >= (greatest ?? .infinity) - 1e-5 * size)
            }
            #expect(bounds[head * 8] == 7 && bounds[head * 8 + Self.pages + 1] == 7)
        }
    }

    /// A page with a number that is none is not passed over.
    @Test func whatIsNoNumberHasNoBound() {
        var attention = Self.summarized(.half, seed: 92).attention
        attention.spoil(64 * 2 + 5)
        let bounds = Summarized(attention).bounds()
        for head in 0..<attention.shape.headCount {
            for page in 0..<Self.pages {
                #expect(bounds[head * 8 + page + 1].isFinite == (page != 2))
            }
        }
    }
}
