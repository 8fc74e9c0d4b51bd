// Pages are set aside whole, handed back whole, and never belong to two sequences.

import Compute
import Inference
import ModelFormat
import Testing

@Suite struct KVCacheTests {
    private static let shape = Hyperparameters(
        architecture: .llama, contextLength: 512, layerCount: 3, width: 64, headCount: 4,
        keyValueHeadCount: 2, keyHeadWidth: 16, valueHeadWidth: 8, feedForwardWidth: 64,
        vocabularySize: 100, normEpsilon: 1e-5, rope: RotaryEmbedding(base: 10000, rotatedWidth: 16)
    )

    @Test(arguments: KVElement.allCases) func bytesFollowFromTheShape(element: KVElement) {
        let layout = KVLayout(Self.shape, element: element)
        let tokenBytes = 2 * (16 + 8) * element.byteCount
        #expect(layout.pageBytes == 64 * tokenBytes)
        #expect(layout.pageCount(tokens: 1) == 3 && layout.pageCount(tokens: 65) == 6)
        #expect(layout.byteCount(tokens: 128) == 6 * 64 * tokenBytes)
    }

    @Test func sequencesTakeAndReturnPages() throws {
        let layout = KVLayout(Self.shape, element: .half)
        let cache = try KVCache(layout: layout, byteCount: layout.byteCount(tokens: 256))
        #expect(cache.tokensFree == 256)
        let first = try #require(cache.open(tokensMax: 65))
        let second = try #require(cache.open(tokensMax: 64))
        #expect(cache.tokensMax(first) == 128 && cache.tokensMax(second) == 64)
        #expect(cache.byteCount(first) == layout.byteCount(tokens: 65))
        #expect(cache.tokensFree == 64)
        #expect(cache.open(tokensMax: 65) == nil)
        cache.close(first)
        cache.close(first)
        #expect(cache.tokensFree == 192)
        let third = try #require(cache.open(tokensMax: 192))
        #expect(third != first && cache.tokensFree == 0)
        cache.close(second)
        cache.close(third)
        #expect(cache.tokensFree == 256)
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
