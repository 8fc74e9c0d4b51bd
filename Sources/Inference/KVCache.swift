// Keys and values of all sequences, in pages of 64 tokens from one pool that is sized at start. A
// page belongs to one layer of one sequence; sequences own pages, the pool owns memory.

package import Compute
package import LinuxSystem
package import ModelFormat

/// Names a sequence's timeline in the KV cache.
package struct SequenceID: Hashable, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
}

/// How keys and values of a model are laid out.
///
/// A page holds 64 tokens of one layer: keys `[kvHead][keyHeadWidth][64]`, then values
/// `[kvHead][64][valueHeadWidth]` (ckernels.h says why).
package struct KVLayout: Sendable, Equatable {
    package static let pageTokens = 64

    package let element: KVElement
    package let layerCount: Int
    package let headCount: Int
    package let keyHeadWidth: Int
    package let valueHeadWidth: Int

    package init(_ shape: Hyperparameters, element: KVElement) {
        self.element = element
        layerCount = shape.layerCount
        headCount = shape.keyValueHeadCount
        keyHeadWidth = shape.keyHeadWidth
        valueHeadWidth = shape.valueHeadWidth
    }

    package var pageBytes: Int {
        let tokenBytes = headCount * (keyHeadWidth + valueHeadWidth) * element.byteCount
        return MemoryArena.footprint(Self.pageTokens * tokenBytes)
    }

    /// Pages of all layers for a sequence of `tokens`.
    package func pageCount(tokens: Int) -> Int {
        (tokens + Self.pageTokens - 1) / Self.pageTokens * layerCount
    }

    /// Bytes of a pool that holds one sequence of `tokens`.
    package func byteCount(tokens: Int) -> Int { pageCount(tokens: tokens) * pageBytes }
}

/// The pool, and who has which page.
package final class KVCache {
    package let layout: KVLayout
    let pool: MemoryArena
    private var freePages: [Int]
    private var sequences: [SequenceID: Sequence] = [:]
    private var nextSequence = 0

    /// Maps a pool of `byteCount` bytes.
    package init(layout: KVLayout, byteCount: Int) throws(SystemError) {
        self.layout = layout
        pool = try MemoryArena(byteCount: byteCount)
        freePages = Array((0..<byteCount / layout.pageBytes).reversed())
    }

    /// Tokens that a new sequence could have.
    package var tokensFree: Int {
        freePages.count / max(layout.layerCount, 1) * KVLayout.pageTokens
    }

    /// Begins a sequence that will hold at most `tokensMax`; its pages are set aside now, so that
    /// it cannot fail half-way.
    ///
    /// - Returns: nil when the pool has not enough free pages.
    package func open(tokensMax: Int) -> SequenceID? {
        let needed = layout.pageCount(tokens: max(tokensMax, 1))
        guard needed <= freePages.count else { return nil }
        let pages = freePages.suffix(needed)
        freePages.removeLast(needed)
        let perLayer = needed / layout.layerCount
        let id = SequenceID(rawValue: nextSequence)
        nextSequence += 1
        let offsets = pages.map { $0 * layout.pageBytes }
        sequences[id] = Sequence(
            offsets: (0..<layout.layerCount).map {
                Array(offsets[$0 * perLayer..<($0 + 1) * perLayer])
            }, tokensMax: perLayer * KVLayout.pageTokens)
        return id
    }

    /// Returns a sequence's pages.
    package func close(_ id: SequenceID) {
        guard let sequence = sequences.removeValue(forKey: id) else { return }
        freePages += sequence.offsets.joined().map { $0 / layout.pageBytes }
    }

    /// Byte offsets in the pool of a sequence's pages of one layer, in order.
    func pageOffsets(_ id: SequenceID, layer: Int) -> [Int] {
        guard let sequence = sequences[id] else { preconditionFailure("unknown sequence") }
        return sequence.offsets[layer]
    }

    /// Bytes set aside for a sequence.
    package func byteCount(_ id: SequenceID) -> Int {
        (sequences[id]?.offsets.joined().count ?? 0) * layout.pageBytes
    }

    /// Positions that a sequence has room for.
    package func tokensMax(_ id: SequenceID) -> Int { sequences[id]?.tokensMax ?? 0 }

    private struct Sequence {
        /// `[layer][page]`.
        let offsets: [[Int]]
        let tokensMax: Int
    }
}
