// Keys and values of all sequences, in pages of 64 tokens from one pool. A page belongs to one
// layer; sequences take pages as they grow, up to what they were promised when they began.

package import LinuxSystem
package import Memory

/// Names a sequence's timeline in the KV cache.
package struct SequenceID: Hashable, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
}

/// The pool, and who has which page. Lives on the thread that computes.
package final class KVCache {
    package let layout: KVLayout
    package let pool: PagePool
    private var sequences: [SequenceID: SequenceState] = [:]
    private var nextSequence = 0
    /// Pages that open sequences may have together.
    private var pagesPromised = 0

    /// Maps a pool of `byteCount` bytes.
    package init(
        layout: KVLayout, byteCount: Int, memory: consuming MemoryReservation
    ) throws(SystemError) {
        self.layout = layout
        let arena = try MemoryArena(byteCount: byteCount, of: memory)
        pool = PagePool(arena: arena, range: 0..<byteCount, pageBytes: layout.pageBytes)
    }

    /// Pages that no open sequence was promised.
    package var pagesFree: Int { pool.pageCount - pagesPromised }

    /// Begins a sequence that will hold at most `tokensMax`: it is promised their pages, so that it
    /// cannot fail half-way, and takes each when it gets there.
    ///
    /// - Returns: nil when the pool cannot promise so many.
    package func open(tokensMax: Int) -> SequenceID? {
        let tokens = max(tokensMax, 1)
        let needed = layout.pageCount(tokens: tokens)
        guard needed <= pagesFree else { return nil }
        pagesPromised += needed
        let id = SequenceID(rawValue: nextSequence)
        nextSequence += 1
        sequences[id] = SequenceState(
            layerCount: layout.ringPages.count, tokensMax: layout.wholePages(tokens),
            pagesPromised: needed)
        return id
    }

    /// Ends a sequence, and what it was promised. One that has ended already is left alone.
    package func close(_ id: SequenceID) {
        guard let sequence = sequences.removeValue(forKey: id) else { return }
        for layer in layout.ringPages.indices {
            sequence.keep(pages: 0..<0, layer: layer, in: pool)
        }
        pagesPromised -= sequence.pagesPromised
    }

    /// Makes room in a layer for tokens that are about to be computed at `positions`: their pages
    /// are there, and the sequence's alone; those that no window reaches any more are given back.
    ///
    /// - Precondition: the positions are within what the sequence was promised, and follow on those
    ///   that it has.
    package func prepare(_ id: SequenceID, layer: Int, positions: Range<Int>) {
        let sequence = state(id)
        precondition(positions.upperBound <= sequence.tokensMax, "more than was promised")
        let end = (positions.upperBound - 1) / KVLayout.pageTokens + 1
        if let window = layout.windows[layer] {
            let begin = max(0, positions.lowerBound + 1 - window) / KVLayout.pageTokens
            sequence.keep(pages: begin..<Int.max, layer: layer, in: pool)
        }
        for page in positions.lowerBound / KVLayout.pageTokens..<end {
            sequence.own(page, layer: layer, in: pool, takingBy: takePage)
        }
    }

    /// Forgets what follows the first `tokens` of a sequence, and gives their pages back.
    package func truncate(_ id: SequenceID, to tokens: Int) {
        let end = layout.wholePages(tokens) / KVLayout.pageTokens
        for layer in layout.ringPages.indices {
            state(id).keep(pages: 0..<end, layer: layer, in: pool)
        }
    }

    /// A page that was promised.
    private func takePage() -> PageID {
        guard let page = pool.take() else { preconditionFailure("a promised page is not there") }
        return page
    }

    private func state(_ id: SequenceID) -> SequenceState {
        guard let sequence = sequences[id] else { preconditionFailure("unknown sequence") }
        return sequence
    }

    /// Byte offsets in the pool of a sequence's pages of one layer, in order; -1 for those that it
    /// has not.
    package func pageOffsets(_ id: SequenceID, layer: Int) -> [Int] { state(id).offsets[layer] }

    /// Bytes that a sequence has now.
    package func byteCount(_ id: SequenceID) -> Int {
        guard let sequence = sequences[id] else { return 0 }
        return sequence.pageCount * layout.pageBytes
    }

    /// Positions that a sequence has room for.
    package func tokensMax(_ id: SequenceID) -> Int { sequences[id]?.tokensMax ?? 0 }
}
