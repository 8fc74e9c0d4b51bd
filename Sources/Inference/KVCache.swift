// Keys and values of all sequences, in pages of 64 tokens from one pool that is sized at start. A
// page belongs to one layer of one sequence; sequences own pages, the pool owns memory.

package import Compute
package import LinuxSystem
package import Memory
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
    package let headCount: Int
    package let keyHeadWidth: Int
    package let valueHeadWidth: Int
    /// Of each layer, the pages that hold all that its window sees; nil where it sees all.
    package let ringPages: [Int?]

    /// - Parameter tokensAtOnceMax: tokens of a sequence that a layer computes together, at most.
    package init(_ shape: ModelShape, element: KVElement, tokensAtOnceMax: Int) {
        self.element = element
        ringPages = shape.attentions.map { attention in
            // The first of the tokens sees back over its window while the last is stored. Wherever
            // that begins in a page, one more holds it.
            attention.window.map {
                ($0 + tokensAtOnceMax - 3) / Self.pageTokens + 2
            }
        }
        headCount = shape.attention.keyValueHeadCount
        keyHeadWidth = shape.attention.keyHeadWidth
        valueHeadWidth = shape.attention.valueHeadWidth
    }

    package var pageBytes: Int {
        let tokenBytes = headCount * (keyHeadWidth + valueHeadWidth) * element.byteCount
        return MemoryArena.footprint(Self.pageTokens * tokenBytes)
    }

    /// Pages of one layer for a sequence of `tokens`.
    func pageCount(tokens: Int, layer: Int) -> Int {
        let all = (tokens + Self.pageTokens - 1) / Self.pageTokens
        return min(all, ringPages[layer] ?? all)
    }

    /// Pages of all layers for a sequence of `tokens`.
    package func pageCount(tokens: Int) -> Int {
        ringPages.indices.reduce(0) { $0 + pageCount(tokens: tokens, layer: $1) }
    }

    /// Bytes of a pool that holds one sequence of `tokens`.
    package func byteCount(tokens: Int) -> Int { pageCount(tokens: tokens) * pageBytes }

    /// Tokens of the longest sequence that a pool of `bytesMax` bytes holds, up to `tokensMax`:
    /// whole pages but for the last.
    package func tokenCount(bytesMax: Int, tokensMax: Int) -> Int {
        var (low, high) = (0, (tokensMax + Self.pageTokens - 1) / Self.pageTokens)
        while low < high {
            let middle = (low + high + 1) / 2
            if byteCount(tokens: middle * Self.pageTokens) <= bytesMax {
                low = middle
            } else {
                high = middle - 1
            }
        }
        return min(low * Self.pageTokens, tokensMax)
    }
}

/// The pool, and who has which page.
package final class KVCache {
    package let layout: KVLayout
    let pool: MemoryArena
    private var freePages: [Int]
    private var sequences: [SequenceID: Sequence] = [:]
    private var nextSequence = 0

    /// Maps a pool of `byteCount` bytes.
    package init(
        layout: KVLayout, byteCount: Int, memory: consuming MemoryReservation
    ) throws(SystemError) {
        self.layout = layout
        pool = try MemoryArena(byteCount: byteCount, of: memory)
        freePages = Array((0..<byteCount / layout.pageBytes).reversed())
    }

    /// Pages that no sequence has.
    package var pagesFree: Int { freePages.count }

    /// Begins a sequence that will hold at most `tokensMax`; its pages are set aside now, so that
    /// it cannot fail half-way.
    ///
    /// - Returns: nil when the pool has not enough free pages.
    package func open(tokensMax: Int) -> SequenceID? {
        let tokens = max(tokensMax, 1)
        let needed = layout.pageCount(tokens: tokens)
        guard needed <= freePages.count else { return nil }
        let pageCount = (tokens + KVLayout.pageTokens - 1) / KVLayout.pageTokens
        let offsets = layout.ringPages.indices.map { layer in
            let own = layout.pageCount(tokens: tokens, layer: layer)
            let pages = freePages.suffix(own)
            freePages.removeLast(own)
            // A ring: a page is taken again when all that it holds has left the window.
            let first = pages.startIndex
            return (0..<pageCount).map { pages[first + $0 % own] * layout.pageBytes }
        }
        let id = SequenceID(rawValue: nextSequence)
        nextSequence += 1
        sequences[id] = Sequence(
            offsets: offsets, pageCount: needed, tokensMax: pageCount * KVLayout.pageTokens)
        return id
    }

    /// Returns a sequence's pages.
    package func close(_ id: SequenceID) {
        guard let sequence = sequences.removeValue(forKey: id) else { return }
        for (layer, offsets) in sequence.offsets.enumerated() {
            let own = layout.pageCount(tokens: sequence.tokensMax, layer: layer)
            freePages += offsets.prefix(own).map { $0 / layout.pageBytes }
        }
    }

    /// Byte offsets in the pool of a sequence's pages of one layer, in order.
    package func pageOffsets(_ id: SequenceID, layer: Int) -> [Int] {
        guard let sequence = sequences[id] else { preconditionFailure("unknown sequence") }
        return sequence.offsets[layer]
    }

    /// Bytes set aside for a sequence.
    package func byteCount(_ id: SequenceID) -> Int {
        (sequences[id]?.pageCount ?? 0) * layout.pageBytes
    }

    /// Positions that a sequence has room for.
    package func tokensMax(_ id: SequenceID) -> Int { sequences[id]?.tokensMax ?? 0 }

    private struct Sequence {
        /// `[layer][page]`; in a ring, pages come again.
        let offsets: [[Int]]
        /// Of all layers together.
        let pageCount: Int
        let tokensMax: Int
    }
}
