// How keys and values of a model are laid out in pages, and how much sequences take.

package import Compute
internal import LinuxSystem
package import ModelFormat

/// How keys and values of a model are laid out.
///
/// A page holds 64 tokens of one layer, as ckernels.h says; layers are those that have any, by
/// their number among these. Where the format takes whole pages
/// only, a sequence has two more of each layer, in halves: the one that it fills, and the one
/// before, in case it steps back.
package struct KVLayout: Sendable, Equatable {
    package static let pageTokens = 64

    package internal(set) var format: KVFormat
    package let layers: [CacheLayer]
    /// One layer of each size of page: what a page takes is asked often.
    private let sizes: [CacheLayer]
    /// Of each layer, the positions that a token sees at most; nil where it sees all.
    package let windows: [Int?]
    /// Of each layer, the pages that hold all that its window sees; nil where it sees all.
    package let ringPages: [Int?]

    /// What layers without keys and values keep of a sequence.
    package internal(set) var states: StateLayout
    /// Sequences that are open at once, at most: each has pages that it fills, and a state.
    package internal(set) var sequencesMax = 1
    /// Tokens of a sequence that a layer computes together, at most.
    package let tokensAtOnceMax: Int
    /// Memory that what is on flash is read to; 0 where all of a sequence is in memory.
    package internal(set) var stagingBytes = 0
    /// Whether sequences that nobody says more of keep what tells which pages on flash matter.
    package internal(set) var summarizesCold = false

    /// - Parameter tokensAtOnceMax: tokens of a sequence that a layer computes together, at most.
    package init(_ shape: ModelShape, format: KVFormat, tokensAtOnceMax: Int) {
        self.format = format
        self.tokensAtOnceMax = tokensAtOnceMax
        states = StateLayout(shape)
        layers = shape.cacheLayers
        sizes = layers.reduce(into: []) { list, layer in
            if !list.contains(where: { $0.hasHeads(of: layer) }) { list.append(layer) }
        }
        windows = layers.map(\.window)
        ringPages = windows.map {
            // The first of the tokens sees back over its window while the last is stored. Wherever
            // that begins in a page, one more holds it.
            $0.map { ($0 + tokensAtOnceMax - 3) / Self.pageTokens + 2 }
        }
    }

    /// A layer's page.
    package func page(of layer: Int) -> KVPageShape { page(of: layers[layer]) }

    private func page(of heads: CacheLayer) -> KVPageShape {
        KVPageShape(
            format: format, headCount: heads.headCount, keyHeadWidth: heads.keyHeadWidth,
            valueHeadWidth: heads.valueHeadWidth)
    }

    /// Bytes that the largest layer's page takes.
    private func pageBytesMax(_ byteCount: (KVPageShape) -> Int) -> Int {
        sizes.reduce(0) { max($0, byteCount(page(of: $1))) }
    }

    /// Bits that a number takes in the mean, steps and minima included.
    package var bitsEffective: Double {
        let numbers = layers.reduce(0) { $0 + $1.headCount * ($1.keyHeadWidth + $1.valueHeadWidth) }
        let bytes = layers.indices.reduce(0) { $0 + page(of: $1).byteCount }
        return Double(bytes * 8) / Double(Self.pageTokens * numbers)
    }

    /// Bytes of a page that a sequence fills; 0 where the format takes tokens one by one.
    var openPageBytes: Int {
        format.takesWholePages ? MemoryArena.footprint(pageBytesMax(\.open.byteCount)) : 0
    }

    /// Of those, how many a sequence has of each layer.
    static let openPagesPerLayer = 2

    /// Pages that a sequence fills.
    var openPageCount: Int {
        format.takesWholePages ? ringPages.count * Self.openPagesPerLayer : 0
    }

    /// The bytes of all sequences' together.
    var openBytes: Int { sequencesMax * openPageCount * openPageBytes }

    /// Bytes from one page to the next: whole blocks where pages go to flash.
    package var pageBytes: Int {
        MemoryArena.footprint(
            pageBytesMax(\.byteCount), alignment: stagingBytes > 0 ? MemoryArena.pageBytes : 64)
    }

    /// Bytes of a page that mean something.
    var pageBytesUsed: Int { MemoryArena.footprint(pageBytesMax(\.byteCount)) }

    /// Pages of so many tokens, the last one whole.
    package static func pages(tokens: Int) -> Int { (tokens + pageTokens - 1) / pageTokens }

    /// Pages of one layer for a sequence of `tokens`.
    func pageCount(tokens: Int, layer: Int) -> Int {
        let all = Self.pages(tokens: tokens)
        return min(all, ringPages[layer] ?? all)
    }

    /// Pages of all layers for a sequence of `tokens`.
    package func pageCount(tokens: Int) -> Int {
        ringPages.indices.reduce(0) { $0 + pageCount(tokens: tokens, layer: $1) }
    }

    /// The first page that a token at `position` of a layer sees.
    func firstPageSeen(from position: Int, layer: Int) -> Int {
        guard let window = windows[layer] else { return 0 }
        return max(0, position + 1 - window) / Self.pageTokens
    }

    /// `tokens`, and what else is in the last one's page.
    func wholePages(_ tokens: Int) -> Int {
        Self.pages(tokens: tokens) * Self.pageTokens
    }

    /// Bytes that a sequence takes besides its pages: those that it fills, and its state.
    package var sequenceBytes: Int { openPageCount * openPageBytes + states.byteCount }

    /// The same for so many sequences at once.
    package func withSequences(_ count: Int) -> Self {
        var layout = self
        layout.sequencesMax = count
        return layout
    }

    /// Of a pool of `bytes`, pages that sequences fill take at most this share, but for one's.
    private static let openDivisor = 4

    /// The same in another format, for as many sequences as a pool of `bytes` has room for then.
    func with(_ format: KVFormat, sequencesMaxIn bytes: Int) -> Self {
        let layout = with(format)
        let one = max(1, layout.openPageCount * layout.openPageBytes)
        let fitting = bytes / Self.openDivisor / one
        return layout.withSequences(max(1, min(sequencesMax, fitting)))
    }

    /// Bytes of a pool that holds one sequence of `tokens`.
    package func byteCount(tokens: Int) -> Int {
        fixedBytes + pageCount(tokens: tokens) * pageBytes
    }

    /// The same in another format.
    package func with(_ format: KVFormat) -> Self {
        var layout = self
        layout.format = format
        return layout
    }

    /// Bytes that a token takes in all layers that see all.
    package var tokenBytes: Int {
        let layers = ringPages.count { $0 == nil }
        return layers * pageBytes / Self.pageTokens
    }

    /// Tokens of the longest sequence that a pool of `bytesMax` bytes is enough for, up to
    /// `tokensMax`: whole pages but for the last.
    package func tokenCount(bytesMax: Int, tokensMax: Int) -> Int {
        var (low, high) = (0, Self.pages(tokens: tokensMax))
        while low < high {
            let middle = (low + high + 1) / 2
            if bytesNeeded(tokens: middle * Self.pageTokens) <= bytesMax {
                low = middle
            } else {
                high = middle - 1
            }
        }
        return min(low * Self.pageTokens, tokensMax)
    }
}
