// Keys and values of all sequences, in pages of 64 tokens from one pool. A page belongs to one
// layer; sequences take pages as they grow, up to what they were promised when they began. What no
// sequence was promised, prefixes of earlier ones may have.

package import Compute
package import FlashStorage
package import LinuxSystem
package import Memory
package import ModelFormat

/// Names a sequence's timeline in the KV cache.
package struct SequenceID: Hashable, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
}

/// The pool, and who has which page. Lives on the thread that computes.
package final class KVCache {
    package private(set) var layout: KVLayout
    package let pool: PagePool
    /// Pages that sequences fill, where the format takes whole pages only.
    let openPool: PagePool
    /// States of sequences, where layers have any: a page is a sequence's.
    package let statePool: PagePool
    /// What is remembered of earlier sequences; nil where nothing is.
    package var prefixes: PrefixCache?
    /// Spans of long sequences that are on flash; nil where none may be.
    var cold: ColdSpans?
    /// The last long one that ended.
    var parked: ParkedSequence?
    private var sequences: [SequenceID: SequenceState] = [:]
    private var nextSequence = 0
    /// Pages that open sequences may have together.
    private var pagesPromised = 0
    /// What the pool was made for.
    private let ownLayout: KVLayout

    /// Maps a pool of `byteCount` bytes.
    package init(
        layout: KVLayout, byteCount: Int, memory: consuming MemoryReservation
    ) throws(SystemError) {
        self.layout = layout
        ownLayout = layout
        let arena = try MemoryArena(byteCount: byteCount, of: memory)
        pool = PagePool(arena: arena, range: 0..<0, pageBytes: layout.pageBytes)
        openPool = PagePool(arena: arena, range: 0..<0, pageBytes: layout.openPageBytes)
        statePool = PagePool(arena: arena, range: 0..<0, pageBytes: layout.states.byteCount)
        cut()
    }

    /// - Precondition: no sequence is open.
    func cut() {
        let states = min(layout.stateBytes, pool.arena.byteCount)
        statePool.cut(0..<states, pageBytes: layout.states.byteCount)
        let open = min(layout.fixedBytes, pool.arena.byteCount)
        openPool.cut(states..<open, pageBytes: layout.openPageBytes)
        var start = layout.blockBytes(open)
        if let cold {
            cold.file.cut(pageBytes: layout.pageBytes)
            let staging = start..<start + layout.stagingRoom
            cold.reads.cut(staging, pageBytes: layout.pageBytes)
            start = staging.upperBound
        }
        pool.cut(
            min(start, pool.arena.byteCount)..<pool.arena.byteCount, pageBytes: layout.pageBytes)
    }

    /// Pages that no open sequence was promised.
    package var pagesFree: Int { pool.pageCount - pagesPromised }

    /// Keeps keys and values otherwise from now on, in the same memory. Prefixes in memory are
    /// forgotten, and none is remembered until the format is the first one again.
    ///
    /// - Throws: `ReadFailure` when the drive still has not answered an earlier sequence: nothing
    ///   has changed then.
    /// - Precondition: no sequence is open.
    package func change(to format: KVFormat) throws(ReadFailure) {
        guard format != layout.format else { return }
        try finishReads()
        forgetParked()
        precondition(sequences.isEmpty, "sequences are open")
        prefixes?.suspend(unless: format)
        layout = ownLayout
        if format != layout.format {
            layout = layout.with(format, sequencesMaxIn: pool.arena.byteCount)
        }
        cut()
    }

    /// Begins a sequence that will hold at most `tokensMax`, or more once that is promised: it is
    /// promised their pages, so that it cannot fail half-way, and takes each when it gets there.
    ///
    /// - Parameters:
    ///   - slides: whether it goes on when it is full: see ``slide(_:pages:keepsFirst:)``.
    ///   - summarizes: whether it keeps what tells which of its pages on flash matter.
    ///   - staysInMemory: whether none of it may be on flash; nothing that slides is.
    /// - Returns: nil when the pool cannot promise so many, or all states are in use.
    package func open(
        tokensMax: Int, slides: Bool = false, summarizes: Bool = false,
        staysInMemory: Bool = false
    ) -> SequenceID? {
        let tokens = max(tokensMax, 1)
        var needed = pageCount(tokens: tokens, slides: slides)
        var hotPagesMax: Int?
        if needed > pagesFree, cold != nil, !slides, !staysInMemory {
            let summaries = layout.summaryPageCount(tokens: tokens, summarizes: summarizes)
            let bounded = layout.pageCount(tokens: tokens, hotPagesMax: 0) + summaries
            let most = (pagesFree - bounded) / max(1, layout.unboundedLayerCount)
            guard most >= layout.hotPagesMin else { return nil }
            hotPagesMax = most
            needed = layout.pageCount(tokens: tokens, hotPagesMax: most) + summaries
        }
        guard needed <= pagesFree, layout.openPageCount <= openPool.freeCount else { return nil }
        let textState = layout.hasStates ? takeState() : nil
        guard textState != nil || !layout.hasStates else { return nil }
        pagesPromised += needed
        let id = SequenceID(rawValue: nextSequence)
        nextSequence += 1
        let sequence = SequenceState(
            layerCount: layout.ringPages.count, tokensMax: layout.wholePages(tokens),
            pagesPromised: needed,
            openPages: (0..<layout.openPageCount).compactMap { _ in openPool.take() },
            hotPagesMax: hotPagesMax, summarizes: summarizes && hotPagesMax != nil)
        sequence.state = textState
        sequences[id] = sequence
        return id
    }

    /// Gives a sequence that has nothing yet what is remembered of `prompt`'s beginning, but for
    /// its last token, whose logits are wanted.
    package func resume(
        _ id: SequenceID, prompt: [TokenID], owner: PrefixOwner
    ) -> FoundPrefix {
        guard let prefixes else { return FoundPrefix() }
        var usable = prompt[...]
        if let most = state(id).hotPagesMax {
            // What of it would have to go to flash before anything is computed is not taken up.
            usable = prompt.prefix((most - layout.hotPagesMin) * KVLayout.pageTokens + 1)
        }
        return prefixes.find(Array(usable), owner: owner, into: state(id), takingBy: takePage)
    }

    /// Lets a sequence that is open grow to `tokensMax`.
    ///
    /// - Returns: false when the pool cannot promise so much.
    package func extend(_ id: SequenceID, tokensMax: Int) -> Bool {
        let sequence = state(id)
        let tokens = max(tokensMax, 1)
        let needed =
            layout.pageCount(tokens: tokens, hotPagesMax: sequence.hotPagesMax ?? .max)
            + layout.summaryPageCount(
                tokens: tokens, summarizes: sequence.summaryPages != nil)
        guard needed - sequence.pagesPromised <= pagesFree else { return false }
        pagesPromised += needed - sequence.pagesPromised
        sequence.promise(pages: needed, tokensMax: layout.wholePages(tokens))
        return true
    }

    /// Remembers a sequence whose first `tokens` are computed, for those that will begin like it.
    ///
    /// - Parameter isEnded: whether nothing follows: what is no whole page is remembered too.
    package func remember(
        _ id: SequenceID, tokens: [TokenID], owner: PrefixOwner, isEnded: Bool
    ) {
        let sequence = state(id)
        prefixes?.remember(tokens, owner: owner, of: sequence, isEnded: isEnded)
        dropKeptState(of: sequence)
    }

    /// Remembers a sequence that ended as far as can be, and ends it.
    package func finish(_ id: SequenceID, tokens: [TokenID], owner: PrefixOwner) {
        guard sequences[id] != nil else { return }
        if park(id, tokens: tokens, owner: owner) { return }
        remember(id, tokens: tokens, owner: owner, isEnded: true)
        close(id)
    }

    /// Ends a sequence, and what it was promised. One that has ended already is left alone.
    package func close(_ id: SequenceID) {
        guard let sequence = sequences.removeValue(forKey: id) else { return }
        for layer in layout.ringPages.indices {
            sequence.keep(pages: 0..<0, layer: layer, in: pool)
        }
        closeCold(sequence)
        if let state = sequence.state { statePool.release(state.page) }
        dropKeptState(of: sequence)
        sequence.giveBackSummaries(to: pool)
        sequence.giveBackFirstPages(to: pool)
        for page in sequence.openPages { openPool.release(page) }
        pagesPromised -= sequence.pagesPromised
    }

    /// Makes room in a layer for tokens that are about to be computed at `positions`: their pages
    /// are there, and the sequence's alone; those that no window reaches any more are given back,
    /// and those that are more than it may have in memory go to flash.
    ///
    /// - Throws: `ReadFailure` when the drive does not take them.
    /// - Precondition: the positions are within what the sequence was promised, and follow on those
    ///   that it has.
    package func prepare(
        _ id: SequenceID, layer: Int, positions: Range<Int>
    ) throws(ReadFailure) {
        let sequence = state(id)
        precondition(positions.upperBound <= sequence.tokensMax, "more than was promised")
        let end = (positions.upperBound - 1) / KVLayout.pageTokens + 1
        sequence.keep(
            pages: layout.firstPageSeen(from: positions.lowerBound, layer: layer)..<Int.max,
            layer: layer, in: pool)
        let first = positions.lowerBound / KVLayout.pageTokens
        try makeRoom(sequence, layer: layer, first: first, end: end)
        for page in first..<end {
            sequence.own(page, layer: layer, in: pool, takingBy: takePage)
        }
    }

    /// The pieces of `positions` that are computed one after the other: pages, where what is stored
    /// in one is read otherwise from the next.
    package func pieces(of positions: Range<Int>) -> [Range<Int>] {
        guard layout.format.takesWholePages else { return [positions] }
        let pages =
            positions.lowerBound / KVLayout.pageTokens...(positions.upperBound - 1)
            / KVLayout.pageTokens
        return pages.map {
            positions.clamped(to: $0 * KVLayout.pageTokens..<($0 + 1) * KVLayout.pageTokens)
        }
    }

    /// The page in halves that a sequence fills at `position`; nil where it fills its page itself.
    package func openPage(_ id: SequenceID, layer: Int, position: Int) -> OpenPage? {
        guard layout.format.takesWholePages else { return nil }
        let index = position / KVLayout.pageTokens
        let own = state(id).openPages[
            layer * KVLayout.openPagesPerLayer + index % KVLayout.openPagesPerLayer]
        return OpenPage(index: index, offset: openPool.offset(of: own))
    }

    /// Forgets what follows the first `tokens` of a sequence, and gives their pages back.
    ///
    /// - Precondition: where layers have states, the sequence's is of these tokens.
    package func truncate(_ id: SequenceID, to tokens: Int) {
        if layout.hasStates {
            let known = state(id).state?.tokenCount
            precondition(known == tokens + positionOffset(id), "a state is not taken back")
        }
        let end = layout.wholePages(tokens) / KVLayout.pageTokens
        for layer in layout.ringPages.indices {
            let cold = coldSpanCount(id, layer: layer) * KVLayout.spanPages
            precondition(cold <= end, "what is on flash is not forgotten in part")
            state(id).keep(pages: 0..<end, layer: layer, in: pool)
        }
    }

    /// A page that was promised: a free one, or a prefix's that was not used for longest.
    func takePage() -> PageID {
        while true {
            if let page = pool.take() { return page }
            guard prefixes?.evict() == true else {
                preconditionFailure("a promised page is not there")
            }
        }
    }

    func state(_ id: SequenceID) -> SequenceState {
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
            + sequence.openPages.count * layout.openPageBytes
    }
}
