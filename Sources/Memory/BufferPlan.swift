// One region of memory as named pieces: the sum that is reserved and the places where pieces are
// cut come from the same plan. Pieces that never live at once may lie over each other. Holds
// numbers, never memory.

/// Stages of a computation in which a piece holds something that is still wanted. What stages there
/// are is the computation's to say.
package struct BufferLifetime: OptionSet, Sendable {
    package let rawValue: UInt32
    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// In every stage, and from one computation to the next.
    package static let always = Self(rawValue: .max)
}

/// A piece of a region.
package struct BufferPiece<Name: Hashable & Sendable>: Sendable {
    package let name: Name
    package let byteCount: Int
    package let lifetime: BufferLifetime

    /// - Precondition: the size is not negative.
    package init(_ name: Name, byteCount: Int, lifetime: BufferLifetime) {
        precondition(byteCount >= 0, "\(name) has a negative size")
        self.name = name
        self.byteCount = byteCount
        self.lifetime = lifetime
    }
}

/// Pieces of a region by their names.
package struct BufferPlan<Name: Hashable & Sendable>: Sendable {
    /// What every piece begins at a multiple of.
    package static var alignment: Int { 64 }

    package let pieces: [BufferPiece<Name>]
    /// Bytes of the region.
    package private(set) var byteCount = 0
    private var ranges: [Name: Range<Int>] = [:]

    /// Lays `pieces` out, each aligned, those that live at once apart from each other: together at
    /// most the sum of all, at least the largest sum of those that live in one stage.
    ///
    /// What lives longest comes first, then what is largest, each at the first place where nothing
    /// that lives with it lies. Every place is 0 or the end of a piece, so no byte is unused.
    ///
    /// - Precondition: their names differ.
    package init(_ pieces: [BufferPiece<Name>]) {
        self.pieces = pieces
        var placed: [(range: Range<Int>, lifetime: BufferLifetime)] = []
        for piece in Self.order(pieces) {
            precondition(ranges[piece.name] == nil, "\(piece.name) is there already")
            let count = Self.aligned(piece.byteCount)
            var start = 0
            for other in placed where !other.lifetime.isDisjoint(with: piece.lifetime) {
                if other.range.lowerBound >= start + count { break }
                start = max(start, other.range.upperBound)
            }
            ranges[piece.name] = start..<start + count
            byteCount = max(byteCount, start + count)
            let index = placed.firstIndex { $0.range.lowerBound > start } ?? placed.count
            placed.insert((start..<start + count, piece.lifetime), at: index)
        }
    }

    /// Pieces in the order in which they find their places.
    private static func order(_ pieces: [BufferPiece<Name>]) -> [BufferPiece<Name>] {
        let keys = pieces.map { ($0.lifetime.rawValue.nonzeroBitCount, $0.byteCount) }
        return pieces.indices.sorted { keys[$0] == keys[$1] ? $0 < $1 : keys[$0] > keys[$1] }
            .map { pieces[$0] }
    }

    private static func aligned(_ byteCount: Int) -> Int {
        (byteCount + alignment - 1) / alignment * alignment
    }

    /// Where a piece is.
    ///
    /// - Precondition: it is one of the plan's.
    package func range(of name: Name) -> Range<Int> {
        guard let range = ranges[name] else { preconditionFailure("\(name) is not planned") }
        return range
    }

    /// Where nothing lives in `stage`: ascending, apart from each other.
    package func ranges(deadIn stage: BufferLifetime) -> [Range<Int>] {
        let living = pieces.filter { !$0.lifetime.isDisjoint(with: stage) }
            .map { range(of: $0.name) }.sorted { $0.lowerBound < $1.lowerBound }
        var dead: [Range<Int>] = []
        var end = 0
        for range in living {
            if range.lowerBound > end { dead.append(end..<range.lowerBound) }
            end = max(end, range.upperBound)
        }
        if end < byteCount { dead.append(end..<byteCount) }
        return dead
    }
}
