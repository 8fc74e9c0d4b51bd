// Pages are set aside whole, handed back whole, and never belong to two sequences.

import Compute
import Inference
import ModelFormat
import TestSupport
import Testing

@Suite struct KVCacheTests {
    private static let shape = ModelShape.alike(
        layerCount: 3, width: 64,
        attention: .rotating(heads: 4, keyValueHeads: 2, width: 16, valueWidth: 8),
        feedForward: FeedForwardShape(DenseShape(width: 64, activation: .silu, isGated: true)))

    @Test(arguments: KVElement.allCases) func bytesFollowFromTheShape(element: KVElement) {
        let layout = KVLayout(Self.shape, element: element, tokensAtOnceMax: 16)
        let tokenBytes = 2 * (16 + 8) * element.byteCount
        #expect(layout.pageBytes == 64 * tokenBytes)
        #expect(layout.pageCount(tokens: 1) == 3 && layout.pageCount(tokens: 65) == 6)
        #expect(layout.byteCount(tokens: 128) == 6 * 64 * tokenBytes)
        #expect(layout.tokenCount(bytesMax: 7 * layout.pageBytes, tokensMax: 300) == 128)
        #expect(layout.tokenCount(bytesMax: 6 * layout.pageBytes, tokensMax: 100) == 100)
        #expect(layout.tokenCount(bytesMax: layout.pageBytes, tokensMax: 100) == 0)
    }

    /// The first of 16 tokens that are stored together sees 199 back: wherever those 215 positions
    /// begin, five pages hold them.
    @Test func windowsKeepOnlyTheirPages() throws {
        var shape = Self.shape
        guard case .attention(var attention) = shape.layers[1].mixer else {
            Issue.record("no attention")
            return
        }
        attention.window = 200
        shape.layers[1].mixer = .attention(attention)
        let layout = KVLayout(shape, element: .float, tokensAtOnceMax: 16)
        #expect(layout.ringPages == [nil, 5, nil])
        #expect(layout.pageCount(tokens: 320) == 15 && layout.pageCount(tokens: 321) == 17)
        let bytes = layout.byteCount(tokens: 4_096)
        let cache = try KVCache(
            layout: layout, byteCount: bytes, memory: try .unlimited(bytes))
        let all = cache.pagesFree
        let sequence = try #require(cache.open(tokensMax: 4_096))
        #expect(cache.pagesFree == 0 && cache.byteCount(sequence) == all * layout.pageBytes)
        let pages = (0..<3).map { cache.pageOffsets(sequence, layer: $0) }
        #expect(pages.map(\.count) == [64, 64, 64])
        #expect(Set(pages.joined()).count == 64 + 5 + 64)
        for first in 0..<60 { #expect(Set(pages[1][first..<first + 5]).count == 5) }
        cache.close(sequence)
        #expect(cache.pagesFree == all)
    }

    @Test func sequencesTakeAndReturnPages() throws {
        let layout = KVLayout(Self.shape, element: .half, tokensAtOnceMax: 16)
        let bytes = layout.byteCount(tokens: 256)
        let cache = try KVCache(
            layout: layout, byteCount: bytes, memory: try .unlimited(bytes))
        #expect(cache.pagesFree == 12)
        let first = try #require(cache.open(tokensMax: 65))
        let second = try #require(cache.open(tokensMax: 64))
        #expect(cache.tokensMax(first) == 128 && cache.tokensMax(second) == 64)
        #expect(cache.byteCount(first) == layout.byteCount(tokens: 65))
        #expect(cache.pagesFree == 3)
        #expect(cache.open(tokensMax: 65) == nil)
        cache.close(first)
        cache.close(first)
        #expect(cache.pagesFree == 9)
        let third = try #require(cache.open(tokensMax: 192))
        #expect(third != first && cache.pagesFree == 0)
        cache.close(second)
        cache.close(third)
        #expect(cache.pagesFree == 12)
    }

    @Test func samplingAndStepsCountWhatTheyHold() {
        let id = SequenceID(rawValue: 0)
        func chunk(_ count: Int, _ logits: SequenceChunk.Logits) -> SequenceChunk {
            SequenceChunk(
                sequence: id, tokens: Array(repeating: TokenID(1), count: count), firstPosition: 0,
                logits: logits)
        }
        let plan = StepPlan(chunks: [chunk(5, .none), chunk(1, .last), chunk(7, .all)])
        #expect(plan.tokenCount == 13)
        #expect(plan.logitsRowCount == 8)
    }
}
