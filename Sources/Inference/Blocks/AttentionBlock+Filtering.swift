// A prompt of which some tokens alone are computed (GemFilter, arXiv 2409.17422): the first layers
// see all of it, and the last of them says what its last token looks at.

internal import Compute
internal import LinuxSystem
internal import SequenceState

extension AttentionBlock {
    /// Chooses as many tokens of a chunk's sequence as the chunk says, where this is the layer to
    /// do so.
    ///
    /// - Parameter tokens: the chunk's rows of `query`.
    func choose(
        _ chunk: SequenceChunk, _ tokens: Range<Int>, _ shape: AttentionShape, layer: Int
    ) {
        guard let filter = chunk.filter, filter.layer == layer, let count = filter.chosenCount
        else { return }
        let end = chunk.firstPosition + tokens.count
        precondition(count > 0 && count <= end, "more than there are")
        precondition(cache.coldSpanCount(chunk.sequence, layer: layer) == 0, "some is on flash")
        let last = tokens.upperBound - 1..<tokens.upperBound
        let rows = ChunkRows(
            tokens: last, firstAngle: 0, firstPosition: end - 1, pool: cache.pool.arena,
            pageOffsets: cache.pageOffsets(chunk.sequence, layer: layer),
            openPage: cache.openPage(chunk.sequence, layer: layer, position: end - 1))
        executor.sumAttention(shape, .scores, rows, queries: query, into: &looks)
        var sums = looks.mutableSpan(in: 0..<shape.keyValueHeadCount * end)
        for head in 1..<max(1, shape.keyValueHeadCount) {
            for place in 0..<end { sums[place] += sums[head * end + place] }
        }
        var others = looks.mutableSpan(in: 0..<end)
        PromptSelection.pool(&others)
        var places = places.mutableSpan(in: 0..<count)
        // What follows is computed from the last token.
        PromptSelection.choose(
            count - 1, of: others.span.extracting(0..<end - 1), into: &places)
        places[count - 1] = Int32(end - 1)
        chosenPlaces = (0..<count).map { Int(places[$0]) }
    }
}
