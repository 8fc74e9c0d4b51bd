// How page tables move on when a sequence goes on beyond them.

extension SequenceState {
    /// Gives back the layer's first `count` pages, or, with `keepsFirst`, as many after the first
    /// one; what follows moves up. A first page that is kept is kept as it is, out of the table;
    /// the table has a page of the sequence's own in its place, for what the first one holds moved
    /// along.
    func slide(
        pages count: Int, layer: Int, keepsFirst: Bool, in pool: PagePool,
        takingBy take: () -> PageID
    ) {
        if keepsFirst, firstPages[layer] == nil {
            guard let first = page(0, layer: layer) else {
                preconditionFailure("a first page that is not there")
            }
            firstPages[layer] = first
            put(take(), at: 0, layer: layer, in: pool)
        }
        let start = keepsFirst ? 1 : 0
        precondition(pages[layer].count >= start + count, "pages that are not there")
        for index in start..<start + count {
            // A window may have given it back before.
            guard let page = page(index, layer: layer) else { continue }
            pool.release(page)
            pageCount -= 1
        }
        pages[layer].removeSubrange(start..<start + count)
        offsets[layer].removeSubrange(start..<start + count)
    }

    /// Forgets the layer's last `count` places, which have no pages any more.
    func dropEmpty(pages count: Int, layer: Int) {
        pages[layer].removeLast(count)
        offsets[layer].removeLast(count)
    }

    /// What follows in all layers comes so many pages earlier in the tables than it did.
    func noteSlide(pages count: Int) {
        positionOffset += count * KVLayout.pageTokens
        guard count % KVLayout.openPagesPerLayer != 0 else { return }
        for first in stride(from: 0, to: openPages.count, by: KVLayout.openPagesPerLayer) {
            openPages.swapAt(first, first + 1)
        }
    }

    /// Gives back the first pages that were kept out of the tables.
    func giveBackFirstPages(to pool: PagePool) {
        for layer in firstPages.indices {
            guard let page = firstPages[layer] else { continue }
            pool.release(page)
            pageCount -= 1
            firstPages[layer] = nil
        }
    }
}
