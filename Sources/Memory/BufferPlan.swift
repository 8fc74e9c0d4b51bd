// One region of memory as named pieces, one after the other: the sum that is reserved and the
// places where pieces are cut come from the same plan. Holds numbers, never memory.

/// Pieces of a region by their names.
package struct BufferPlan<Name: Hashable & Sendable>: Sendable {
    /// What every piece begins at a multiple of.
    package static var alignment: Int { 64 }

    /// Bytes of the region.
    package private(set) var byteCount = 0
    private var ranges: [Name: Range<Int>] = [:]

    package init() {}

    /// Appends a piece of `byteCount` bytes; the next one begins aligned.
    ///
    /// - Precondition: the name is new, the size not negative.
    package mutating func add(_ name: Name, byteCount: Int) {
        precondition(byteCount >= 0 && ranges[name] == nil, "\(name) is there already")
        let start = self.byteCount
        let end = (start + byteCount + Self.alignment - 1) / Self.alignment * Self.alignment
        ranges[name] = start..<end
        self.byteCount = end
    }

    /// Where a piece is.
    ///
    /// - Precondition: it was added.
    package func range(of name: Name) -> Range<Int> {
        guard let range = ranges[name] else { preconditionFailure("\(name) is not planned") }
        return range
    }
}
