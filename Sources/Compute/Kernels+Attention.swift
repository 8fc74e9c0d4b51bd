// Causal attention over the paged KV cache. One pass, online softmax; the order of its sums is in
// CKernels/include/ckernels.h.

internal import CKernels
package import LinuxSystem
package import ModelFormat

/// The shape of a layer's attention.
package struct AttentionShape: Sendable {
    /// Tokens in a page of the KV cache.
    package static let pageTokens = 64
    /// Positions whose sums are made apart, and joined in order.
    package static let spanTokens = 512

    package var headCount: Int
    /// A divisor of `headCount`: heads `g * n ..< (g + 1) * n` share key-value head `g`.
    package var keyValueHeadCount: Int
    package var keyHeadWidth: Int
    package var valueHeadWidth: Int
    /// Whether queries have a part that meets values, which are then keys too (latent attention).
    package var scoresValues = false
    /// Factor on the dot products, usually `1 / sqrt(keyHeadWidth)`.
    package var scale: Float
    /// Positions that a token sees at most, its own included; nil is all before it.
    package var window: Int?
    /// `cap * tanh(score / cap)`; nil is no cap.
    package var scoreCap: Float?
    /// Of each head, a score without a value, which takes part in the softmax; nil is none.
    package var sinks: [Float]?
    package var format: KVFormat

    package init(
        headCount: Int, keyValueHeadCount: Int, keyHeadWidth: Int, valueHeadWidth: Int,
        scale: Float, window: Int? = nil, format: KVFormat = KVFormat(.half)
    ) {
        precondition(window.map { $0 > 0 } ?? true)
        self.window = window
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.keyHeadWidth = keyHeadWidth
        self.valueHeadWidth = valueHeadWidth
        self.scale = scale
        self.format = format
    }

    /// One layer's page.
    package var page: KVPageShape {
        KVPageShape(
            format: format, headCount: keyValueHeadCount, keyHeadWidth: keyHeadWidth,
            valueHeadWidth: valueHeadWidth)
    }

    package var pageBytes: Int { page.byteCount }

    /// The first position that the token at `position` sees.
    package func begin(of position: Int) -> Int {
        window.map { max(0, position + 1 - $0) } ?? 0
    }

    /// Floats that one token's attention to `positions` needs to be split over spans.
    package func partialCount(positions: Int) -> Int {
        let spans = (positions + Self.spanTokens - 1) / Self.spanTokens
        return spans * headCount * (2 + valueHeadWidth)
    }
}

/// What attention reads of the KV cache, for consecutive tokens of one sequence.
package struct AttentionSource: ~Escapable {
    /// Position of the first token.
    package let firstPosition: Int
    package let tokens: Int
    /// Memory that holds the pages.
    let pool: RawSpan
    /// The byte in `pool` where the page of each 64 positions starts.
    let pageOffsets: Span<Int>
    /// The page of all these tokens, where the format takes whole pages only.
    let openPage: OpenPage?

    @_lifetime(copy pool, copy pageOffsets)
    package init(
        firstPosition: Int, tokens: Int, pool: RawSpan, pageOffsets: Span<Int>,
        openPage: OpenPage? = nil
    ) {
        self.firstPosition = firstPosition
        self.tokens = tokens
        self.pool = pool
        self.pageOffsets = pageOffsets
        self.openPage = openPage
    }

    /// - Parameter spans: those that are read; what the tokens see of the others need not be there.
    fileprivate func check(_ shape: AttentionShape, spans: SpanRange) {
        precondition(shape.keyValueHeadCount > 0 && firstPosition >= 0)
        precondition(shape.headCount % shape.keyValueHeadCount == 0)
        precondition(shape.keyHeadWidth > 0 && shape.valueHeadWidth > 0)
        precondition(spans.first <= spans.end ?? spans.first && spans.end != 0)
        precondition((spans.end ?? spans.first) * AttentionShape.spanTokens <= firstPosition)
        let spanPages = AttentionShape.spanTokens / AttentionShape.pageTokens
        let lastPage =
            spans.end.map { $0 * spanPages - 1 }
            ?? (firstPosition + tokens - 1) / AttentionShape.pageTokens
        precondition(lastPage < pageOffsets.count)
        let firstPage = max(
            shape.begin(of: firstPosition) / AttentionShape.pageTokens, spans.first * spanPages)
        guard firstPage <= lastPage else { return }
        PagePlaces(shape: shape.page, open: openPage).check(
            firstPage...lastPage,
            new: spans.end == nil ? firstPosition / AttentionShape.pageTokens : nil,
            offsets: pageOffsets, byteCount: pool.byteCount)
    }
}

/// Some of the spans of positions that tokens see, for one of several calls that share the work.
package struct SpanRange: Sendable {
    package static let all = Self(first: 0, end: nil)

    /// What is before was in earlier calls.
    package let first: Int
    /// What is from here on is for later calls; nil is nothing.
    package let end: Int?

    package init(first: Int, end: Int?) {
        self.first = first
        self.end = end
    }
}

extension Kernels {
    /// Attends from each token to positions `0...firstPosition + token`, or those of them that are
    /// within the window, whose keys and values are in the pages already.
    ///
    /// - Parameters:
    ///   - queries: `[tokens][headCount][keyHeadWidth]`.
    ///   - valueQueries: `[tokens][headCount][valueHeadWidth]` where the shape scores values.
    ///   - partials: room to split a single token's work over spans of positions; with less than
    ///     `AttentionShape.partialCount(positions:)` it is split over key-value heads only.
    ///   - y: `[tokens][headCount][valueHeadWidth]`.
    package func attend(
        _ shape: AttentionShape, queries: Span<Float>, valueQueries: Span<Float>? = nil,
        source: borrowing AttentionSource, partials: inout MutableSpan<Float>,
        into y: inout MutableSpan<Float>, team: ComputeTeam
    ) {
        let tokens = source.tokens
        guard tokens > 0, shape.headCount > 0 else { return }
        source.check(shape, spans: .all)
        precondition(y.count >= tokens * shape.headCount * shape.valueHeadWidth)
        let attention = unsafe Self.attention(
            shape, queries, valueQueries, source, y: y.start)
        let positions = source.firstPosition + 1
        let begin = shape.begin(of: source.firstPosition)
        let needed = shape.partialCount(positions: positions)
        let isShort = positions - begin <= AttentionShape.spanTokens
        let hasHeads = shape.keyValueHeadCount >= AttentionJob.headsPerMember * team.memberCount
        if tokens > 1 || isShort || hasHeads || partials.count < needed {
            let job = unsafe AttentionJob(table: table, attention: attention)
            unsafe team.run(pieces: job.pieceCount, job: job) { job, piece in
                unsafe job.assumingMemoryBound(to: AttentionJob.self).pointee.run(piece: piece)
            }
        } else {
            let job = unsafe SpanJob(
                table: table, attention: attention,
                firstSpan: begin / AttentionShape.spanTokens, partials: partials.start)
            unsafe team.run(pieces: job.pieceCount, job: job) { job, piece in
                unsafe job.assumingMemoryBound(to: SpanJob.self).pointee.run(piece: piece)
            }
            for head in 0..<shape.keyValueHeadCount { job.join(head) }
        }
    }

    /// The same in several calls, each for some spans: what is in no call's spans need not be in
    /// memory then. After the last call `y` has the same bits as after a single one; until then it
    /// holds sums.
    ///
    /// - Parameters:
    ///   - spans: follow those of the call before. All tokens are beyond them.
    ///   - states: `[tokens][headCount][2]`, from one call to the next.
    package func attend(
        _ shape: AttentionShape, spans: SpanRange, queries: Span<Float>,
        valueQueries: Span<Float>? = nil, source: borrowing AttentionSource,
        states: inout MutableSpan<Float>,
        into y: inout MutableSpan<Float>, team: ComputeTeam
    ) {
        guard source.tokens > 0, shape.headCount > 0 else { return }
        source.check(shape, spans: spans)
        precondition(states.count >= source.tokens * shape.headCount * 2)
        precondition(y.count >= source.tokens * shape.headCount * shape.valueHeadWidth)
        var attention = unsafe Self.attention(
            shape, queries, valueQueries, source, y: y.start)
        unsafe attention.first_span = spans.first
        unsafe attention.end_span = spans.end ?? 0
        unsafe attention.states = states.start
        let job = unsafe AttentionJob(table: table, attention: attention)
        unsafe team.run(pieces: job.pieceCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: AttentionJob.self).pointee.run(piece: piece)
        }
    }

    /// What the kernels are told of it. The pointers live as long as what it is made of.
    static func attention(
        _ shape: AttentionShape, _ queries: Span<Float>, _ valueQueries: Span<Float>?,
        _ source: borrowing AttentionSource, y: UnsafeMutablePointer<Float>?
    ) -> ckernels_attention {
        let rows = source.tokens * shape.headCount
        precondition(queries.count >= rows * shape.keyHeadWidth)
        let valueCount = valueQueries?.count
        precondition(
            valueCount.map { $0 >= rows * shape.valueHeadWidth }
                == (shape.scoresValues ? true : nil))
        precondition(!shape.scoresValues || shape.valueHeadWidth % 16 == 0)
        precondition(shape.sinks.map { $0.count == shape.headCount } ?? true)
        precondition(shape.scoreCap.map { $0 > 0 } ?? true)
        return unsafe ckernels_attention(
            head_count: shape.headCount, kv_head_count: shape.keyValueHeadCount,
            key_width: shape.keyHeadWidth, value_width: shape.valueHeadWidth, scale: shape.scale,
            tokens: source.tokens, first_position: source.firstPosition,
            window: shape.window ?? 0, score_cap: shape.scoreCap ?? 0,
            sinks: shape.sinks?.span.start, queries: queries.start,
            value_queries: valueQueries?.start, pool: source.pool.start,
            page_offsets: source.pageOffsets.start, key_bits: shape.format.keys.rawValue,
            value_bits: shape.format.values.rawValue,
            open_page: source.openPage.map { unsafe source.pool.start + $0.offset },
            open_index: source.openPage?.index ?? 0, first_span: 0, end_span: 0, states: nil,
            y: y)
    }
}

/// What the team's members need of attention. The pointers live as long as the call that made it.
@safe
private struct AttentionJob: @unchecked Sendable {
    /// Neighbouring tokens read the same pages: a piece takes some of them for one key-value head.
    static let tokensPerPiece = 16
    /// With so many key-value heads for each member, a token's heads alone share the work evenly.
    static let headsPerMember = 4

    let table: UnsafePointer<ckernels_table>
    let attention: ckernels_attention

    private var tokenPieces: Int {
        unsafe (attention.tokens + Self.tokensPerPiece - 1) / Self.tokensPerPiece
    }

    var pieceCount: Int { unsafe tokenPieces * attention.kv_head_count }

    /// Later tokens see more: they go first, so that what is left at the end is short.
    func run(piece: Int) {
        var attention = unsafe attention
        let heads = unsafe attention.kv_head_count
        let first = (tokenPieces - 1 - piece / heads) * Self.tokensPerPiece
        let end = unsafe min(first + Self.tokensPerPiece, attention.tokens)
        unsafe table.pointee.attend(&attention, piece % heads, first, end)
    }
}

/// One token's attention, each span of each key-value head apart. The pointers live as long as the
/// call that made it.
@safe
private struct SpanJob: @unchecked Sendable {
    let table: UnsafePointer<ckernels_table>
    let attention: ckernels_attention
    /// The first that the token sees.
    let firstSpan: Int
    /// `[kvHead][span][head of the group][2 + valueHeadWidth]`.
    let partials: UnsafeMutablePointer<Float>

    private var spanCount: Int {
        unsafe (attention.first_position + AttentionShape.spanTokens) / AttentionShape.spanTokens
            - firstSpan
    }

    private var floatsPerSpan: Int {
        unsafe attention.head_count / attention.kv_head_count * (2 + attention.value_width)
    }

    var pieceCount: Int { unsafe spanCount * attention.kv_head_count }

    func run(piece: Int) {
        var attention = unsafe attention
        unsafe table.pointee.attend_span(
            &attention, piece / spanCount, 0, firstSpan + piece % spanCount,
            partials + piece * floatsPerSpan)
    }

    func join(_ head: Int) {
        var attention = unsafe attention
        unsafe table.pointee.join_spans(
            &attention, head, 0, partials + head * spanCount * floatsPerSpan, floatsPerSpan)
    }
}
