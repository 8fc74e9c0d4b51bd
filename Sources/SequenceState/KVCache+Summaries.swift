// Which pages on flash matter to a token: of each, what bounds its keys is kept in memory, in pages
// of the sequence's own. Only those whose bounds are greatest are read (LeoAM, and the summaries of
// Quest, arXiv 2406.10774). Lossy, and asked for by name.

package import Compute
package import FlashStorage
internal import LinuxSystem
internal import ModelFormat

extension KVLayout {
    /// What is kept of a page that is on flash. All layers' heads of keys are then alike.
    package var summary: KeySummaryShape {
        KeySummaryShape(headCount: layers[0].headCount, keyHeadWidth: layers[0].keyHeadWidth)
    }

    /// Those that a page of the pool holds.
    package var summariesPerPage: Int { pageBytes / summary.byteCount }

    /// Pages that hold what is kept of a sequence of `tokens`.
    func summaryPageCount(tokens: Int, summarizes: Bool) -> Int {
        guard summarizes else { return 0 }
        let pages = tokens / Self.spanTokens * Self.spanPages
        return unboundedLayerCount * ((pages + summariesPerPage - 1) / summariesPerPage)
    }
}

/// Summaries of a layer's pages that lie side by side.
package struct SummaryRun: Sendable {
    /// Of the layer's pages, those that they are of.
    package let pages: Range<Int>
    /// The byte in the pool where the first one starts.
    package let offset: Int
}

extension KVCache {
    /// Whether a sequence keeps what tells which of its pages on flash matter.
    package func summarizes(_ id: SequenceID) -> Bool { state(id).summaryPages != nil }

    /// Bytes of the pool that a sequence of `tokens` needs alone, where it keeps that.
    package func bytesNeeded(tokens: Int, summarizes: Bool) -> Int {
        var layout = layout
        layout.summarizesCold = summarizes
        return layout.bytesNeeded(tokens: tokens)
    }

    /// Pages of a layer that are on flash: the first so many.
    package func coldPageCount(_ id: SequenceID, layer: Int) -> Int {
        coldSpanCount(id, layer: layer) * KVLayout.spanPages
    }

    /// What is kept of them, in order.
    package func summaries(_ id: SequenceID, layer: Int) -> [SummaryRun] {
        guard let pages = state(id).summaryPages?[layer] else { return [] }
        let (count, most) = (coldPageCount(id, layer: layer), layout.summariesPerPage)
        return stride(from: 0, to: count, by: most).map {
            SummaryRun(
                pages: $0..<min($0 + most, count), offset: pool.offset(of: pages[$0 / most]))
        }
    }

    /// Keeps what bounds the keys of pages that are about to leave.
    func summarize(_ sequence: SequenceState, layer: Int, _ pages: Range<Int>) {
        guard sequence.summaryPages != nil else { return }
        let most = layout.summariesPerPage
        let arena = pool.arena
        var bytes = arena.mutableBytes(at: 0, byteCount: arena.byteCount)
        for page in pages {
            let target = sequence.summaryPage(page / most, layer: layer, takingBy: takePage)
            Kernels.summarizeKeys(
                layout.page(of: layer), at: sequence.offsets[layer][page],
                to: pool.offset(of: target) + page % most * layout.summary.byteCount, in: &bytes)
        }
    }

    /// Byte offsets in the pool of pages of a layer that are on flash, which are in memory until
    /// others are asked for, of this layer or another.
    ///
    /// - Parameter pages: at most ``coldPagesAtOnce``.
    /// - Throws: `ReadFailure` when they do not come.
    package func pageOffsets(
        ofCold pages: ArraySlice<Int>, _ id: SequenceID, layer: Int
    ) throws(ReadFailure) -> [Int] {
        guard let cold else { preconditionFailure("nothing is on flash") }
        return try cold.reads.demand(pages: pages.map { coldPage($0, id, layer: layer) })
    }

    /// Begins to read pages of a layer that will be wanted soon, where there is room.
    package func readAhead(
        cold pages: ArraySlice<Int>, _ id: SequenceID, layer: Int
    ) throws(ReadFailure) {
        try cold?.reads.readAhead(pages: pages.map { coldPage($0, id, layer: layer) })
    }

    /// Pages on flash that can be asked for together: as many again are read meanwhile.
    package var coldPagesAtOnce: Int { cold?.reads.pagesAtOnce ?? 0 }

    private func coldPage(_ page: Int, _ id: SequenceID, layer: Int) -> ColdPage {
        ColdPage(
            place: state(id).coldPlaces[layer][page / KVLayout.spanPages],
            index: page % KVLayout.spanPages)
    }
}

extension SequenceState {
    /// The page with summaries of that number, which is the last one there is or the one after.
    fileprivate func summaryPage(
        _ index: Int, layer: Int, takingBy take: () -> PageID
    ) -> PageID {
        if let pages = summaryPages?[layer], index < pages.count { return pages[index] }
        let page = take()
        summaryPages?[layer].append(page)
        pageCount += 1
        return page
    }

    /// Gives the pages with summaries back.
    func giveBackSummaries(to pool: PagePool) {
        for page in (summaryPages ?? []).joined() {
            pool.release(page)
            pageCount -= 1
        }
        summaryPages = summaryPages?.map { _ in [] }
    }
}
