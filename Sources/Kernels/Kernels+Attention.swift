// Causal attention over the paged KV cache. One pass, online softmax; the order of its sums is in
// CKernels/include/ckernels.h.

internal import CKernels
package import LinuxSystem

/// How the KV cache keeps a number.
package enum KVElement: Sendable, CaseIterable {
    /// 32-bit float, exact.
    case float
    /// IEEE half: half the memory, rounded.
    case half

    package var byteCount: Int { self == .float ? 4 : 2 }
}

/// The shape of a layer's attention.
package struct AttentionShape: Sendable {
    /// Tokens in a page of the KV cache.
    package static let pageTokens = 64

    package var headCount: Int
    /// A divisor of `headCount`: heads `g * n ..< (g + 1) * n` share key-value head `g`.
    package var keyValueHeadCount: Int
    package var keyHeadWidth: Int
    package var valueHeadWidth: Int
    /// Factor on the dot products, usually `1 / sqrt(keyHeadWidth)`.
    package var scale: Float
    package var element: KVElement

    package init(
        headCount: Int, keyValueHeadCount: Int, keyHeadWidth: Int, valueHeadWidth: Int,
        scale: Float, element: KVElement = .half
    ) {
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.keyHeadWidth = keyHeadWidth
        self.valueHeadWidth = valueHeadWidth
        self.scale = scale
        self.element = element
    }

    /// Bytes of one layer's page: keys `[kvHead][64][keyHeadWidth]`, then values
    /// `[kvHead][64][valueHeadWidth]`.
    package var pageBytes: Int {
        keyValueHeadCount * Self.pageTokens * (keyHeadWidth + valueHeadWidth)
            * element.byteCount
    }
}

extension Kernels {
    /// Attends from each token to positions `0...firstPosition + token`, whose keys and values are
    /// in the pages already.
    ///
    /// - Parameters:
    ///   - queries: `[tokens][headCount][keyHeadWidth]`.
    ///   - pool: memory that holds the pages.
    ///   - pageOffsets: the byte in `pool` where the page of each 64 positions starts.
    ///   - y: `[tokens][headCount][valueHeadWidth]`.
    package func attend(
        _ shape: AttentionShape, queries: Span<Float>, tokens: Int, firstPosition: Int,
        pool: RawSpan, pageOffsets: Span<Int>, into y: inout MutableSpan<Float>, team: ComputeTeam
    ) {
        guard tokens > 0, shape.headCount > 0 else { return }
        precondition(shape.keyValueHeadCount > 0 && firstPosition >= 0)
        precondition(shape.headCount % shape.keyValueHeadCount == 0)
        precondition(shape.keyHeadWidth > 0 && shape.valueHeadWidth > 0)
        precondition(queries.count >= tokens * shape.headCount * shape.keyHeadWidth)
        precondition(y.count >= tokens * shape.headCount * shape.valueHeadWidth)
        let lastPage = (firstPosition + tokens - 1) / AttentionShape.pageTokens
        precondition(lastPage < pageOffsets.count)
        for page in 0...lastPage {
            let offset = pageOffsets[page]
            precondition(offset >= 0 && offset + shape.pageBytes <= pool.byteCount)
        }
        unsafe queries.withUnsafeBufferPointer { queries in
            unsafe pool.withUnsafeBytes { pool in
                unsafe pageOffsets.withUnsafeBufferPointer { offsets in
                    unsafe y.withUnsafeMutableBufferPointer { y in
                        let attention = unsafe ckernels_attention(
                            head_count: shape.headCount,
                            kv_head_count: shape.keyValueHeadCount,
                            key_width: shape.keyHeadWidth, value_width: shape.valueHeadWidth,
                            scale: shape.scale, tokens: tokens, first_position: firstPosition,
                            queries: queries.baseAddress!,
                            pool: pool.baseAddress!.assumingMemoryBound(to: UInt8.self),
                            page_offsets: offsets.baseAddress!,
                            element_bytes: shape.element.byteCount, y: y.baseAddress!)
                        let job = unsafe AttentionJob(table: table, attention: attention)
                        team.run(pieces: job.pieceCount) { job.run(piece: $0) }
                    }
                }
            }
        }
    }
}

/// What the team's members need of attention. The pointers live as long as the call that made it.
@safe
private struct AttentionJob: @unchecked Sendable {
    /// Neighbouring tokens read the same pages: a piece takes some of them for one key-value head.
    static let tokensPerPiece = 8

    let table: UnsafePointer<ckernels_table>
    let attention: ckernels_attention

    private var tokenPieces: Int {
        unsafe (attention.tokens + Self.tokensPerPiece - 1) / Self.tokensPerPiece
    }

    var pieceCount: Int { unsafe tokenPieces * attention.kv_head_count }

    func run(piece: Int) {
        var attention = unsafe attention
        let first = piece % tokenPieces * Self.tokensPerPiece
        let end = unsafe min(first + Self.tokensPerPiece, attention.tokens)
        unsafe table.pointee.attend(&attention, piece / tokenPieces, first, end)
    }
}
