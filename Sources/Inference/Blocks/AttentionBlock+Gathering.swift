// A prompt that keeps some of its tokens alone (SnapKV, arXiv 2404.14469): when a layer has
// computed its last ones, it sees which of the others these look at.

internal import Compute
internal import LinuxSystem
internal import SequenceState

extension AttentionBlock {
    /// Keeps as many of a chunk's sequence as the chunk says: those that its last tokens look at
    /// most, for each head its own, and these tokens.
    ///
    /// - Parameter tokens: the chunk's rows of `query`.
    /// - Precondition: the sequence was opened to stay in memory.
    func gather(
        _ chunk: SequenceChunk, _ tokens: Range<Int>, _ shape: AttentionShape, layer: Int
    ) {
        let end = chunk.firstPosition + tokens.count
        guard let kept = chunk.keptTokens, kept < end else { return }
        let pages = (end - kept) / KVLayout.pageTokens
        if cache.seesAll(layer, tokens: cache.tokensMax(chunk.sequence)) {
            precondition(
                cache.coldSpanCount(chunk.sequence, layer: layer) == 0, "some of it is on flash")
            keep(kept, chunk, tokens, shape, layer: layer)
        }
        cache.dropPages(chunk.sequence, layer: layer, pages: pages)
    }

    /// A layer that sees all: its first pages have what is kept.
    private func keep(
        _ kept: Int, _ chunk: SequenceChunk, _ tokens: Range<Int>, _ shape: AttentionShape,
        layer: Int
    ) {
        let end = chunk.firstPosition + tokens.count
        let asking = min(tokens.count, PromptSelection.queryTokens)
        let openPage = cache.openPage(chunk.sequence, layer: layer, position: end - 1)
        let rows = ChunkRows(
            tokens: tokens.upperBound - asking..<tokens.upperBound, firstAngle: 0,
            firstPosition: end - asking, pool: cache.pool.arena,
            pageOffsets: cache.pageOffsets(chunk.sequence, layer: layer), openPage: openPage)
        var whole = shape
        whole.window = nil
        executor.sumAttention(whole, .weights, rows, queries: query, into: &looks)
        for head in 0..<shape.keyValueHeadCount {
            var sums = looks.mutableSpan(in: head * end..<(head + 1) * end - asking)
            var chosen = places.mutableSpan(in: head * kept..<(head + 1) * kept)
            PromptSelection.pool(&sums)
            PromptSelection.choose(kept - asking, of: sums.span, into: &chosen)
            for index in 0..<asking { chosen[kept - asking + index] = Int32(end - asking + index) }
        }
        cache.ownPages(chunk.sequence, layer: layer, tokens: kept)
        executor.gather(
            shape.page, rows: places, count: kept, in: cache.pool.arena,
            pageOffsets: cache.pageOffsets(chunk.sequence, layer: layer), openPage)
    }
}
