// Pages are taken as sequences grow, up to what they were promised, and come back when they end.

import LinuxSystem
import Memory
import ModelFormat
import SequenceState
import TestSupport
import Testing

@Suite struct KVCacheTests {
    private static let shape = ModelShape.alike(
        layerCount: 3, width: 64,
        attention: .rotating(heads: 4, keyValueHeads: 2, width: 16, valueWidth: 8),
        feedForward: FeedForwardShape(DenseShape(width: 64, activation: .silu, isGated: true)))

    @Test(arguments: [KVBits.float, .half]) func bytesFollowFromTheShape(bits: KVBits) {
        let layout = KVLayout(Self.shape, format: KVFormat(bits), tokensAtOnceMax: 16)
        let tokenBytes = 2 * (16 + 8) * bits.rawValue / 8
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
        let layout = KVLayout(shape, format: KVFormat(.float), tokensAtOnceMax: 16)
        #expect(layout.ringPages == [nil, 5, nil])
        #expect(layout.pageCount(tokens: 320) == 15 && layout.pageCount(tokens: 321) == 17)
        let bytes = layout.byteCount(tokens: 4_096)
        let cache = try KVCache(
            layout: layout, byteCount: bytes, memory: try .unlimited(bytes))
        let all = cache.pagesFree
        let sequence = try #require(cache.open(tokensMax: 4_096))
        #expect(cache.pagesFree == 0 && cache.byteCount(sequence) == 0)
        for first in stride(from: 0, to: 4_096, by: 16) {
            for layer in 0..<3 {
                try cache.prepare(sequence, layer: layer, positions: first..<first + 16)
                let offsets = cache.pageOffsets(sequence, layer: layer)
                let seen = layer == 1 ? max(0, first - 199) / 64 : 0
                #expect(offsets.count == (first + 15) / 64 + 1)
                #expect(offsets[..<seen].allSatisfy { $0 == -1 })
                #expect(Set(offsets[seen...]).count == offsets.count - seen)
                #expect(offsets[seen...].allSatisfy { $0 >= 0 })
            }
        }
        #expect(cache.pool.freeCount <= 1 && cache.pool.pageCount == 64 + 5 + 64)
        cache.close(sequence)
        #expect(cache.pagesFree == all && cache.pool.freeCount == all)
    }

    @Test func sequencesTakeAndReturnPages() throws {
        let layout = KVLayout(Self.shape, format: KVFormat(.half), tokensAtOnceMax: 16)
        let bytes = layout.byteCount(tokens: 256)
        let cache = try KVCache(
            layout: layout, byteCount: bytes, memory: try .unlimited(bytes))
        #expect(cache.pagesFree == 12)
        let first = try #require(cache.open(tokensMax: 65))
        let second = try #require(cache.open(tokensMax: 64))
        #expect(cache.byteCount(first) == 0 && cache.pool.freeCount == 12)
        for layer in 0..<3 { try cache.prepare(first, layer: layer, positions: 0..<65) }
        #expect(cache.byteCount(first) == layout.byteCount(tokens: 65))
        #expect(cache.pagesFree == 3)
        #expect(cache.open(tokensMax: 65) == nil)
        cache.close(first)
        cache.close(first)
        #expect(cache.pagesFree == 9 && cache.pool.freeCount == 12)
        let third = try #require(cache.open(tokensMax: 192))
        #expect(third != first && cache.pagesFree == 0)
        cache.close(second)
        cache.close(third)
        #expect(cache.pagesFree == 12)
    }

    @Test func truncatedSequencesGiveBackWhatFollows() throws {
        let layout = KVLayout(Self.shape, format: KVFormat(.half), tokensAtOnceMax: 16)
        let bytes = layout.byteCount(tokens: 256)
        let cache = try KVCache(
            layout: layout, byteCount: bytes, memory: try .unlimited(bytes))
        let sequence = try #require(cache.open(tokensMax: 256))
        for layer in 0..<3 { try cache.prepare(sequence, layer: layer, positions: 0..<256) }
        let offsets = cache.pageOffsets(sequence, layer: 0)
        cache.truncate(sequence, to: 65)
        #expect(cache.pool.freeCount == 6 && cache.byteCount(sequence) == 6 * layout.pageBytes)
        #expect(cache.pageOffsets(sequence, layer: 0)[..<2] == offsets[..<2])
        for layer in 0..<3 { try cache.prepare(sequence, layer: layer, positions: 65..<200) }
        #expect(cache.pageOffsets(sequence, layer: 0)[..<2] == offsets[..<2])
        cache.truncate(sequence, to: 0)
        #expect(cache.pool.freeCount == 12 && cache.byteCount(sequence) == 0)
    }

    @Test func sharedPagesAreCopiedBeforeTheyChange() throws {
        let arena = try MemoryArena(byteCount: 4 * 64, of: try .unlimited(4 * 64))
        let pool = PagePool(arena: arena, range: 64..<4 * 64, pageBytes: 64)
        #expect(pool.pageCount == 3)
        let page = try #require(pool.take())
        let one = SequenceState(layerCount: 1, tokensMax: 64, pagesPromised: 1)
        let other = SequenceState(layerCount: 1, tokensMax: 64, pagesPromised: 1)
        pool.retain(page)
        one.put(page, at: 0, layer: 0, in: pool)
        other.put(page, at: 0, layer: 0, in: pool)
        var bytes = arena.mutableBytes(at: pool.offset(of: page), byteCount: 64)
        bytes.storeBytes(of: 7, toByteOffset: 60, as: UInt32.self)
        one.own(0, layer: 0, in: pool) { pool.take() ?? -1 }
        let copy = try #require(one.page(0, layer: 0))
        #expect(copy != page && other.page(0, layer: 0) == page && !pool.isShared(page))
        let copied = arena.bytes(at: pool.offset(of: copy), byteCount: 64)
        #expect(unsafe copied.unsafeLoad(fromByteOffset: 60, as: UInt32.self) == 7)
        one.own(0, layer: 0, in: pool) { preconditionFailure("it has the page alone") }
        for state in [one, other] { state.keep(pages: 0..<0, layer: 0, in: pool) }
        #expect(pool.freeCount == 3 && one.pageCount == 0)
    }
}
