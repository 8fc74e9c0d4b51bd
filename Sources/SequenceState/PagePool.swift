// Pages of one size in one arena, counted by whoever has them. A page that several have is
// read-only; it is free when the last one lets go.

package import LinuxSystem

/// A page of the pool.
package typealias PageID = Int32

/// The memory of all pages, and how many have each.
package final class PagePool {
    package let arena: MemoryArena
    package private(set) var pageBytes = 1
    private var free: [PageID] = []
    private var references: [Int32] = []

    /// The part of the arena that is cut.
    private var range = 0..<0

    /// Cuts `range` of `arena` into as many pages as fit.
    package init(arena: MemoryArena, range: Range<Int>, pageBytes: Int) {
        self.arena = arena
        cut(range, pageBytes: pageBytes)
    }

    /// Cuts memory of the arena anew; without a size, into none.
    ///
    /// - Precondition: nobody has a page.
    package func cut(_ range: Range<Int>, pageBytes: Int) {
        precondition(free.count == references.count, "pages are in use")
        self.range = range
        self.pageBytes = pageBytes
        let count = pageBytes > 0 ? range.count / pageBytes : 0
        references = Array(repeating: 0, count: count)
        free = (0..<PageID(count)).reversed()
    }

    package var pageCount: Int { references.count }
    package var freeCount: Int { free.count }

    /// A free page, which the caller has alone; nil when there is none.
    package func take() -> PageID? {
        guard let page = free.popLast() else { return nil }
        references[Int(page)] = 1
        return page
    }

    /// One more has `page`.
    package func retain(_ page: PageID) {
        precondition(references[Int(page)] > 0, "page \(page) is free")
        references[Int(page)] += 1
    }

    /// One less has `page`.
    package func release(_ page: PageID) {
        precondition(references[Int(page)] > 0, "page \(page) is free")
        references[Int(page)] -= 1
        if references[Int(page)] == 0 { free.append(page) }
    }

    /// Whether more than one have it.
    package func isShared(_ page: PageID) -> Bool { references[Int(page)] > 1 }

    /// Where it begins in the arena.
    package func offset(of page: PageID) -> Int { range.lowerBound + Int(page) * pageBytes }

    /// Copies the bytes of one page to another.
    package func copy(_ source: PageID, to target: PageID) {
        arena.copy(byteCount: pageBytes, from: offset(of: source), to: offset(of: target))
    }
}
