// One sequence's page tables: of each layer, the pages that hold its keys and values.

/// A sequence of tokens on its way.
package final class SequenceState {
    /// `[layer][page]`: where each begins in the pool; -1 where there is none (any more).
    package internal(set) var offsets: [[Int]]
    var pages: [[PageID]]
    /// Pages of all layers together, first ones that were moved included.
    package internal(set) var pageCount = 0
    /// Positions that it has room for.
    package private(set) var tokensMax: Int
    private(set) var pagesPromised: Int
    /// Those that it fills, of another pool: `[layer][2]`, or none.
    var openPages: [PageID]
    /// What layers without keys and values know; nil where all have some.
    var state: TextState?
    /// The same as it was earlier, for those that will begin like it.
    var keptState: TextState?
    /// Pages that it may have of each layer that sees all; nil where all of them are in memory.
    let hotPagesMax: Int?
    /// `[layer]`: pages with what is kept of keys that are on flash; nil where nothing is.
    var summaryPages: [[PageID]]?
    /// `[layer]`: where its first spans are, which are not in memory any more.
    private(set) var coldPlaces: [[ColdPlace]]
    /// By how much the position of what it has next is beyond its place in the tables.
    package internal(set) var positionOffset = 0
    /// Of each layer, the first page as it was computed, where what the table has is a copy that
    /// moved along: see ``slide(pages:layer:keepsFirst:in:takingBy:)``.
    var firstPages: [PageID?]

    static let none = PageID(-1)

    package init(
        layerCount: Int, tokensMax: Int, pagesPromised: Int, openPages: [PageID] = [],
        hotPagesMax: Int? = nil, summarizes: Bool = false
    ) {
        offsets = Array(repeating: [], count: layerCount)
        pages = offsets.map { _ in [] }
        firstPages = offsets.map { _ in nil }
        self.tokensMax = tokensMax
        self.pagesPromised = pagesPromised
        self.openPages = openPages
        self.hotPagesMax = hotPagesMax
        coldPlaces = offsets.map { _ in [] }
        summaryPages = summarizes ? offsets.map { _ in [] } : nil
    }

    /// The layer's page of that number, where there is one.
    package func page(_ index: Int, layer: Int) -> PageID? {
        guard pages[layer].indices.contains(index), pages[layer][index] != Self.none else {
            return nil
        }
        return pages[layer][index]
    }

    /// Sees that page `index` of a layer is there and nobody else's: takes one, or a copy of one
    /// that is shared.
    package func own(_ index: Int, layer: Int, in pool: PagePool, takingBy take: () -> PageID) {
        guard let page = page(index, layer: layer) else {
            return put(take(), at: index, layer: layer, in: pool)
        }
        guard pool.isShared(page) else { return }
        let copy = take()
        pool.copy(page, to: copy)
        pool.release(page)
        pageCount -= 1
        put(copy, at: index, layer: layer, in: pool)
    }

    /// Takes a page over that is the caller's to give.
    package func put(_ page: PageID, at index: Int, layer: Int, in pool: PagePool) {
        while pages[layer].count <= index {
            pages[layer].append(Self.none)
            offsets[layer].append(-1)
        }
        pages[layer][index] = page
        offsets[layer][index] = pool.offset(of: page)
        pageCount += 1
    }

    /// Gives back all of a layer's pages but these. Looks at what goes alone: this is asked before
    /// every token.
    package func keep(pages kept: Range<Int>, layer: Int, in pool: PagePool) {
        let count = pages[layer].count
        for index in min(kept.upperBound, count)..<count {
            _ = giveBack(index, layer: layer, to: pool)
        }
        var index = min(kept.lowerBound, count) - 1
        // What is further back went before.
        while index >= 0, giveBack(index, layer: layer, to: pool) { index -= 1 }
    }

    /// Gives back the pages of the span after those that are on flash, which is there now.
    func leave(_ span: Range<Int>, at place: ColdPlace, layer: Int, in pool: PagePool) {
        for index in span { _ = giveBack(index, layer: layer, to: pool) }
        coldPlaces[layer].append(place)
    }

    /// Takes the places on flash of a layer's spans after the first so many from it.
    func dropCold(after spans: Int, layer: Int) -> [ColdPlace] {
        let dropped = coldPlaces[layer].dropFirst(spans)
        coldPlaces[layer].removeLast(dropped.count)
        return Array(dropped)
    }

    /// Whether any of it is on flash.
    var isCold: Bool { coldPlaces.contains { !$0.isEmpty } }

    /// It may have so many pages and tokens from now on.
    func promise(pages: Int, tokensMax: Int) {
        pagesPromised = pages
        self.tokensMax = tokensMax
    }

    /// - Returns: false where there was none.
    private func giveBack(_ index: Int, layer: Int, to pool: PagePool) -> Bool {
        guard let page = page(index, layer: layer) else { return false }
        pool.release(page)
        pageCount -= 1
        pages[layer][index] = Self.none
        offsets[layer][index] = -1
        return true
    }
}
