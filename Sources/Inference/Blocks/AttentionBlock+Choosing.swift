// Attention that reads of what is on flash only the pages where a token's query can find most: the
// pages whose keys' bounds allow the greatest products (LeoAM; Quest, arXiv 2406.10774). They are
// read ahead of need by a guess at the next layer's query (InfiniGen, arXiv 2406.19707). Lossy.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import Memory
internal import ModelFormat
internal import SequenceState

extension BufferName {
    fileprivate static let bounds = Self("attention, bounds of pages on flash")
    fileprivate static let guess = Self("attention, queries that are guessed")
}

/// What choosing pages works in.
enum PageChoosing {
    /// Tokens whose next layer's queries are guessed together.
    static let guessedTokensMax = 8

    static func declare(_ sizes: ActivationShape, in buffers: inout DeclaredBuffers) {
        let attention = sizes.model.attention
        let pages = pagesMax(sizes)
        let tokens = pages > 0 ? min(guessedTokensMax, sizes.tokensMax) : 0
        buffers.add(
            .bounds, .floats(attention.headCount * pages), [.mixing, .feedForward])
        buffers.add(.guess, .floats(tokens * attention.queryWidth), .feedForward)
    }

    /// Pages of a layer that are on flash, at most.
    static func pagesMax(_ sizes: ActivationShape) -> Int {
        sizes.hasColdSpans ? sizes.contextTokens / KVLayout.pageTokens + KVLayout.spanPages : 0
    }
}

extension Workspace {
    /// Heads × pages that may be on flash.
    var bounds: Buffer<Float> { floats(.bounds) }
    /// Tokens × heads × head width.
    var guess: Buffer<Float> { floats(.guess) }
}

extension AttentionBlock {
    /// A chunk's queries, over the pages on flash that matter most to each of its tokens.
    ///
    /// - Parameter pagesMax: of them, for each token.
    func attendToChosen(
        _ chunk: SequenceChunk, layer: Int, _ shape: AttentionShape,
        _ attention: LayerGraph.Attention, _ rows: ChunkRows, pagesMax: Int
    ) throws(ReadFailure) {
        executor.finishHeads(
            shape, attention.treatment, rows, .queries, query: &query, key: &key, value: &value,
            angles: angles.rows)
        for token in rows.tokens {
            let pages = choosePages(
                chunk.sequence, layer: layer, shape, query, row: token, pagesMax: pagesMax)
            try attend(to: pages, chunk.sequence, layer: layer, shape, rows, token: token)
        }
    }

    /// One token, over whole spans of pages as if they followed each other: where in a text a page
    /// is, its keys say themselves.
    private func attend(
        to pages: [Int], _ sequence: SequenceID, layer: Int, _ shape: AttentionShape,
        _ rows: ChunkRows, token: Int
    ) throws(ReadFailure) {
        let most = cache.coldPagesAtOnce
        var rest = pages[...]
        while !rest.isEmpty {
            let part = rest.prefix(most)
            let first = rest.startIndex / KVLayout.spanPages
            var rows = rows
            rows.tokens = token..<token + 1
            rows.openPage = nil
            rows.firstPosition = pages.count * KVLayout.pageTokens
            rows.pageOffsets =
                Array(repeating: -1, count: rest.startIndex)
                + (try cache.pageOffsets(ofCold: part, sequence, layer: layer))
            rest = rest.dropFirst(part.count)
            try cache.readAhead(cold: rest.prefix(most), sequence, layer: layer)
            executor.attend(
                shape,
                spans: SpanRange(first: first, end: first + part.count / KVLayout.spanPages),
                rows, queries: query, latent.queries, states: &states, into: &attended.floats)
        }
    }

    /// Of the pages on flash, those whose bounds are greatest beside the greatest of some head, in
    /// order; the first one, which holds the sinks, is among them.
    ///
    /// - Parameters:
    ///   - queries: `[tokens][heads][width]`, of which `row` is asked for.
    ///   - pagesMax: rounded up to whole spans.
    private func choosePages(
        _ sequence: SequenceID, layer: Int, _ shape: AttentionShape,
        _ queries: borrowing Buffer<Float>, row: Int, pagesMax: Int
    ) -> [Int] {
        let count = cache.coldPageCount(sequence, layer: layer)
        let wanted =
            max(1, (pagesMax + KVLayout.spanPages - 1) / KVLayout.spanPages) * KVLayout.spanPages
        guard wanted < count else { return Array(0..<count) }
        executor.boundScores(
            cache, cache.summaries(sequence, layer: layer), queries,
            (row..<row + 1).scaled(shape.headCount * shape.keyHeadWidth), stride: boundPagesMax,
            into: &bounds)
        return PageChoice.pages(
            bounds, heads: shape.headCount, stride: boundPagesMax, count: count,
            wanted: wanted)
    }

    /// Begins to read what the next layer will want, by the queries that it would make of the
    /// residual stream as it is now. Where its weights are not in memory nothing is guessed.
    func readAhead(
        for next: LayerGraph, _ wave: Wave, _ residual: inout ResidualStream
    ) throws(ReadFailure) {
        guard case .attention(let attention) = next.mixer, products.areHeld,
            let layer = attention.cacheLayers.first,
            wave.tokenCount <= PageChoosing.guessedTokensMax,
            wave.chunks.contains(where: { chooses($0, layer: layer) != nil })
        else { return }
        residual.normalize(by: next.mixerNorm, wave)
        try products.multiply(
            attention.query, by: residual.normed, tokens: wave.tokenCount, into: &guess)
        let shape = AttentionShape(attention, format: cache.layout.format)
        var first = 0
        for chunk in wave.chunks {
            let tokens = first..<first + chunk.tokens.count
            first = tokens.upperBound
            guard let pagesMax = chooses(chunk, layer: layer) else { continue }
            let rows = ChunkRows(
                tokens: tokens,
                firstAngle: angles.place(
                    rope: attention.rope, token: wave.rows.lowerBound + tokens.lowerBound),
                firstPosition: chunk.firstPosition,
                positionOffset: cache.positionOffset(chunk.sequence), pool: cache.pool.arena,
                pageOffsets: [], openPage: nil)
            executor.finishHeads(
                shape, attention.treatment, rows, .queries, query: &guess, key: &key, value: &value,
                angles: angles.rows)
            for token in tokens {
                let start = MonotonicClock.nanoseconds
                let pages = choosePages(
                    chunk.sequence, layer: layer, shape, guess, row: token,
                    pagesMax: pagesMax)
                executor.count(since: start)
                try cache.readAhead(
                    cold: pages.prefix(cache.coldPagesAtOnce), chunk.sequence, layer: layer)
            }
        }
    }

    /// How many of a layer's pages on flash a chunk's tokens read; nil where they read all.
    func chooses(_ chunk: SequenceChunk, layer: Int) -> Int? {
        guard let most = chunk.coldPagesMax, cache.summarizes(chunk.sequence),
            cache.coldPageCount(chunk.sequence, layer: layer) > most
        else { return nil }
        return most
    }
}

extension Executor {
    /// Upper bounds of one token's products with the keys of pages on flash: `[heads][stride]`.
    fileprivate func boundScores(
        _ cache: KVCache, _ runs: [SummaryRun], _ queries: borrowing Buffer<Float>,
        _ range: Range<Int>, stride: Int, into bounds: inout Buffer<Float>
    ) {
        let (arena, summary) = (cache.pool.arena, cache.layout.summary)
        let queries = queries.span.extracting(range)
        var bounds = bounds.mutableSpan
        for run in runs {
            let bytes = arena.bytes(
                at: run.offset, byteCount: run.pages.count * summary.byteCount)
            Kernels.boundScores(
                KeySummaries(bytes, pageCount: run.pages.count), summary, queries: queries,
                into: &bounds, boundsStride: stride, first: run.pages.lowerBound)
        }
    }
}

/// Which pages matter.
enum PageChoice {
    /// The `wanted` pages whose bounds come closest to the greatest of some head, in order.
    ///
    /// - Parameters:
    ///   - bounds: `[heads][stride]`, of which `count` are pages. Those that are no numbers count
    ///     as the greatest.
    /// - Precondition: `0 < wanted <= count`.
    static func pages(
        _ bounds: borrowing Buffer<Float>, heads: Int, stride: Int, count: Int, wanted: Int
    ) -> [Int] {
        let bounds = bounds.span
        var nearest = [Float](repeating: -.infinity, count: count)
        for head in 0..<heads {
            var greatest = -Float.infinity
            for page in 0..<count { greatest = max(greatest, bounds[head * stride + page]) }
            for page in 0..<count {
                let distance = bounds[head * stride + page] - greatest
                nearest[page] = distance.isNaN ? 0 : max(nearest[page], distance)
            }
        }
        nearest[0] = .infinity
        var places = [Int32](repeating: 0, count: wanted)
        var chosen = places.mutableSpan
        PromptSelection.choose(wanted, of: nearest.span, into: &chosen)
        return places.map(Int.init)
    }
}
