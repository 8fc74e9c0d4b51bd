// What is kept in memory of keys that are not: each page's least and greatest number of each
// channel. A query's products with those bound what it can find in the page (the summaries of
// LeoAM and Quest, arXiv 2406.10774).

internal import CKernels
internal import ModelFormat

/// What is kept of one page's keys.
package struct KeySummaryShape: Sendable, Equatable {
    package let headCount: Int
    package let keyHeadWidth: Int

    package init(headCount: Int, keyHeadWidth: Int) {
        self.headCount = headCount
        self.keyHeadWidth = keyHeadWidth
    }

    /// Of one head: 16 bits for each bound of a channel.
    fileprivate var headBytes: Int { 2 * 2 * keyHeadWidth }
    package var byteCount: Int { headCount * headBytes }
}

/// Summaries of consecutive pages.
package struct KeySummaries: ~Escapable {
    let bytes: RawSpan
    let pageCount: Int

    /// - Parameter bytes: `[pageCount]`, each as ``KeySummaryShape`` says.
    @_lifetime(copy bytes)
    package init(_ bytes: RawSpan, pageCount: Int) {
        self.bytes = bytes
        self.pageCount = pageCount
    }
}

extension Kernels {
    /// Writes what is kept of a page's keys.
    ///
    /// - Parameters:
    ///   - source: the byte in `pool` where the page starts.
    ///   - target: the byte in `pool` where its summary starts.
    package static func summarizeKeys(
        _ page: KVPageShape, at source: Int, to target: Int, in pool: inout MutableRawSpan
    ) {
        let shape = KeySummaryShape(headCount: page.headCount, keyHeadWidth: page.keyHeadWidth)
        precondition(source >= 0 && source + page.byteCount <= pool.byteCount)
        precondition(target >= 0 && target + shape.byteCount <= pool.byteCount)
        precondition(source % page.alignment == 0)
        let bytes = unsafe pool.start
        let (tokens, width) = (AttentionShape.pageTokens, page.keyHeadWidth)
        unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: tokens * width) { floats in
            guard let keys = floats.baseAddress else { return }
            for head in 0..<page.headCount {
                unsafe ckernels_unpack_keys(
                    bytes + source + head * page.keyBytes, width, page.format.keys.rawValue, keys)
                unsafe ckernels_summarize_keys(
                    keys, tokens, width, bytes + target + head * shape.headBytes)
            }
        }
    }

    /// Upper bounds of one token's dot products with the keys of pages.
    ///
    /// - Parameters:
    ///   - queries: `[heads][keyHeadWidth]`; neighbours share a head of the keys.
    ///   - bounds: `[heads][boundsStride]`, the pages' first ones side by side.
    ///   - first: of each head's bounds, the first that is written.
    package static func boundScores(
        _ summaries: borrowing KeySummaries, _ shape: KeySummaryShape, queries: Span<Float>,
        into bounds: inout MutableSpan<Float>, boundsStride: Int, first: Int
    ) {
        let heads = queries.count / shape.keyHeadWidth
        let group = heads / shape.headCount
        precondition(group > 0 && queries.count == group * shape.headCount * shape.keyHeadWidth)
        precondition(summaries.bytes.byteCount >= summaries.pageCount * shape.byteCount)
        precondition(first >= 0 && first + summaries.pageCount <= boundsStride)
        precondition(bounds.count >= heads * boundsStride)
        for head in 0..<shape.headCount {
            var arguments = unsafe ckernels_bounds(
                summaries: summaries.bytes.start + head * shape.headBytes,
                stride: shape.byteCount, count: summaries.pageCount, width: shape.keyHeadWidth,
                queries: queries.start + head * group * shape.keyHeadWidth, heads: group,
                y: bounds.start + head * group * boundsStride + first, y_stride: boundsStride)
            unsafe ckernels_bound_scores(&arguments)
        }
    }
}
