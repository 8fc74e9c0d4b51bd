// What a sequence needs in memory at least where its oldest spans may be on flash.

internal import LinuxSystem

extension KVLayout {
    /// What goes to flash and comes back together: 512 tokens, whose sums attention makes apart.
    package static let spanPages = 8
    static let spanTokens = spanPages * pageTokens
    /// Of the memory for keys and values, what is on flash passes through at most this share, but
    /// for two spans, and no more than a drive needs to be busy.
    private static let stagingDivisor = 8
    private static let stagingBytesMax = 16 << 20

    /// The same with what a pool of `bytes` does not hold on flash.
    ///
    /// - Parameter summarizes: whether sequences keep what tells which of it matters.
    package func withColdSpans(poolBytes bytes: Int, summarizes: Bool = false) -> Self {
        var layout = self
        layout.summarizesCold = summarizes
        // With any, pages are whole blocks of the drive: so large is a span.
        layout.stagingBytes = 1
        let span = Self.spanPages * layout.pageBytes
        let wanted = min(bytes / Self.stagingDivisor, Self.stagingBytesMax)
        layout.stagingBytes = max(1, wanted / (2 * span)) * 2 * span
        return layout
    }

    /// The same with all of a sequence in memory.
    package var withoutColdSpans: Self {
        var layout = self
        layout.stagingBytes = 0
        layout.summarizesCold = false
        return layout
    }

    /// Whether spans of a long sequence go to flash.
    package var hasColdSpans: Bool { stagingBytes > 0 }

    /// Memory that what is on flash is read to, in whole pairs of spans of the format in use.
    var stagingRoom: Int {
        guard stagingBytes > 0 else { return 0 }
        let pair = 2 * Self.spanPages * pageBytes
        return max(1, stagingBytes / pair) * pair
    }

    /// Pages of a layer that are in memory at least: those that are written to, and what of their
    /// span is before them.
    package var hotPagesMin: Int {
        (tokensAtOnceMax + Self.pageTokens - 2) / Self.pageTokens + Self.spanPages
    }

    /// Of a sequence of `tokens`, those whose keys and values a pool of `bytes` bytes has in memory
    /// at once: the latest.
    package func hotTokens(_ tokens: Int, poolBytes bytes: Int) -> Int {
        guard stagingBytes > 0, bytes < byteCount(tokens: tokens) else { return tokens }
        return hotTokens(
            tokens, pages: (bytes - blockBytes(fixedBytes) - stagingRoom) / pageBytes,
            summarizes: summarizesCold)
    }

    /// The same of a pool of so many pages.
    func hotTokens(_ tokens: Int, pages: Int, summarizes: Bool) -> Int {
        guard unboundedLayerCount > 0 else { return tokens }
        let bounded =
            pageCount(tokens: tokens, hotPagesMax: 0)
            + summaryPageCount(tokens: tokens, summarizes: summarizes)
        return min(tokens, max(0, pages - bounded) / unboundedLayerCount * Self.pageTokens)
    }

    /// The same where any may be on flash; nil where all are in memory.
    package func hotTokensMax(_ tokens: Int, poolBytes bytes: Int) -> Int? {
        hasColdSpans ? hotTokens(tokens, poolBytes: bytes) : nil
    }

    /// Pages of all layers that a sequence of `tokens` has in memory, with at most so many of each
    /// that sees all.
    func pageCount(tokens: Int, hotPagesMax: Int) -> Int {
        ringPages.indices.reduce(0) {
            let pages = pageCount(tokens: tokens, layer: $1)
            return $0 + (ringPages[$1] == nil ? min(pages, hotPagesMax) : pages)
        }
    }

    /// Layers that see all.
    var unboundedLayerCount: Int { ringPages.count { $0 == nil } }

    /// Bytes of a pool that is enough for one sequence of `tokens`.
    package func bytesNeeded(tokens: Int) -> Int {
        let whole = byteCount(tokens: tokens)
        guard stagingBytes > 0 else { return whole }
        let least =
            pageCount(tokens: tokens, hotPagesMax: hotPagesMin)
            + summaryPageCount(tokens: tokens, summarizes: summarizesCold)
        return min(whole, blockBytes(fixedBytes) + stagingRoom + least * pageBytes)
    }

    /// `bytes` in whole blocks of the drive, where that matters.
    func blockBytes(_ bytes: Int) -> Int {
        stagingBytes > 0
            ? MemoryArena.footprint(bytes, alignment: MemoryArena.pageBytes) : bytes
    }
}
