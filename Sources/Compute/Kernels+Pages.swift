// From projections to attention: biases, head norms, rotary embedding, and keys and values into
// their pages of the KV cache, token by token while they are in cache.

internal import CKernels
package import LinuxSystem
package import ModelFormat

/// What a layer does to its projections before attention.
package struct HeadTreatment: Sendable {
    package var queryBias: [Float]?
    package var keyBias: [Float]?
    package var valueBias: [Float]?
    /// As wide as a head, or as the whole projection.
    package var queryNorm: [Float]?
    package var keyNorm: [Float]?
    package var normEpsilon: Float
    /// Whether heads are normed after they turned, not before.
    package var normsRotated = false
    /// How queries grow with the position; nil is not.
    package var temperature: PositionTemperature?
    /// Elements of each head that turn with the position.
    package var rotatedWidth: Int
    package var pairing: RotaryPairing

    package init(normEpsilon: Float, rotatedWidth: Int, pairing: RotaryPairing) {
        self.normEpsilon = normEpsilon
        self.rotatedWidth = rotatedWidth
        self.pairing = pairing
    }

    fileprivate func check(_ shape: AttentionShape) {
        let query = shape.headCount * shape.keyHeadWidth
        let key = shape.keyValueHeadCount * shape.keyHeadWidth
        let value = shape.keyValueHeadCount * shape.valueHeadWidth
        precondition(queryBias.map { $0.count == query } ?? true)
        precondition(keyBias.map { $0.count == key } ?? true)
        precondition(valueBias.map { $0.count == value } ?? true)
        precondition(queryNorm.map { !$0.isEmpty && query % $0.count == 0 } ?? true)
        precondition(keyNorm.map { !$0.isEmpty && key % $0.count == 0 } ?? true)
    }
}

/// The angles of consecutive tokens: `[tokens][rotatedWidth / 2]` each.
package struct RotaryAngles: ~Escapable {
    let cosines: Span<Float>
    let sines: Span<Float>

    @_lifetime(copy cosines, copy sines)
    package init(cosines: Span<Float>, sines: Span<Float>) {
        self.cosines = cosines
        self.sines = sines
    }
}

/// Which of a layer's projections are finished.
package enum FinishedHeads: Sendable {
    case all
    case queries
    case keysAndValues
}

extension Kernels {
    /// Finishes the projections of consecutive tokens of one sequence: adds biases, norms heads,
    /// turns queries and keys by their positions' angles, and stores keys and values.
    ///
    /// - Parameters:
    ///   - positionOffset: how far tokens' positions are beyond their places in the pages.
    ///   - finished: queries may be finished before, and of more tokens together.
    ///   - query: `[tokens][headCount][keyHeadWidth]`; `key` and `value` alike for theirs.
    ///   - pool: memory that holds the pages.
    ///   - pageOffsets: the byte in `pool` where the page of each 64 positions starts.
    ///   - openPage: where all tokens are stored if the format takes whole pages only; nil else.
    package func finishHeads(
        _ shape: AttentionShape, _ treatment: HeadTreatment, query: inout MutableSpan<Float>,
        key: inout MutableSpan<Float>, value: inout MutableSpan<Float>,
        angles: borrowing RotaryAngles, firstPosition: Int, positionOffset: Int = 0, tokens: Int,
        pool: inout MutableRawSpan, pageOffsets: Span<Int>, openPage: OpenPage? = nil,
        finished: FinishedHeads = .all, team: ComputeTeam
    ) {
        guard tokens > 0 else { return }
        let heads = shape.keyValueHeadCount
        precondition(firstPosition >= 0 && heads > 0)
        precondition(query.count >= tokens * shape.headCount * shape.keyHeadWidth)
        precondition(key.count >= tokens * heads * shape.keyHeadWidth)
        precondition(value.count >= tokens * heads * shape.valueHeadWidth)
        let pairs = treatment.rotatedWidth / 2
        precondition(treatment.rotatedWidth % 2 == 0 && 2 * pairs <= shape.keyHeadWidth)
        precondition(min(angles.cosines.count, angles.sines.count) >= tokens * pairs)
        treatment.check(shape)
        let page = AttentionShape.pageTokens
        let pages = firstPosition / page...(firstPosition + tokens - 1) / page
        let places = PagePlaces(shape: shape.page, open: openPage)
        if finished != .queries {
            places.check(
                pages, new: pages.lowerBound, offsets: pageOffsets, byteCount: pool.byteCount)
        }
        let job = unsafe HeadsJob(
            table: table, shape: shape, treatment: treatment, finished: finished,
            firstPosition: firstPosition, positionOffset: positionOffset, tokens: tokens,
            query: query.start, key: key.start, value: value.start,
            cosines: angles.cosines.start, sines: angles.sines.start, pool: pool.start,
            pageOffsets: pageOffsets.start, places: places)
        unsafe team.run(pieces: job.pieceCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: HeadsJob.self).pointee.run(piece: piece)
        }
    }
}

extension Kernels {
    /// Packs a page that is full, from halves into the format that takes whole pages only.
    ///
    /// - Parameters:
    ///   - page: what the packed page is laid out as.
    ///   - open: the byte in `pool` where the page in halves starts.
    ///   - offset: the byte in `pool` where the packed page goes; the two do not overlap.
    package func seal(
        _ page: KVPageShape, from open: Int, to offset: Int, pool: inout MutableRawSpan,
        team: ComputeTeam
    ) {
        let openBytes = page.open.byteCount
        precondition(open >= 0 && open + openBytes <= pool.byteCount)
        precondition(offset >= 0 && offset + page.byteCount <= pool.byteCount)
        precondition(open % page.open.alignment == 0 && offset % page.alignment == 0)
        precondition(open + openBytes <= offset || offset + page.byteCount <= open)
        let job = unsafe SealJob(page: page, open: pool.start + open, packed: pool.start + offset)
        unsafe team.run(pieces: page.headCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: SealJob.self).pointee.run(head: piece)
        }
    }
}

/// What the team's members need to pack a page. The pointers live as long as the call that made it.
@safe
private struct SealJob: @unchecked Sendable {
    let page: KVPageShape
    let open: UnsafeMutablePointer<UInt8>
    let packed: UnsafeMutablePointer<UInt8>

    func run(head: Int) {
        let from = page.open
        unsafe ckernels_pack_keys(
            open + head * from.keyBytes, page.keyHeadWidth, page.format.keys.rawValue,
            packed + head * page.keyBytes)
        unsafe ckernels_pack_values(
            open + page.headCount * from.keyBytes + head * from.valueBytes, page.valueHeadWidth,
            page.format.values.rawValue,
            packed + page.headCount * page.keyBytes + head * page.valueBytes)
    }
}

/// What the team's members need to finish heads. The pointers live as long as the call that made
/// it.
@safe
private struct HeadsJob: @unchecked Sendable {
    /// Half a page's positions of a key element fill whole cache lines.
    static let tokensPerPiece = 32

    let table: UnsafePointer<ckernels_table>
    let shape: AttentionShape
    let treatment: HeadTreatment
    let finished: FinishedHeads
    let firstPosition: Int
    let positionOffset: Int
    let tokens: Int
    let query: UnsafeMutablePointer<Float>
    let key: UnsafeMutablePointer<Float>
    let value: UnsafeMutablePointer<Float>
    let cosines: UnsafePointer<Float>
    let sines: UnsafePointer<Float>
    let pool: UnsafeMutablePointer<UInt8>
    let pageOffsets: UnsafePointer<Int>
    let places: PagePlaces

    private var firstOffset: Int { firstPosition % Self.tokensPerPiece }

    var pieceCount: Int {
        (firstOffset + tokens + Self.tokensPerPiece - 1) / Self.tokensPerPiece
    }

    /// Pieces end where cache lines do, so all but the first begin at a multiple of their length.
    func run(piece: Int) {
        let first = max(0, piece * Self.tokensPerPiece - firstOffset)
        let end = min((piece + 1) * Self.tokensPerPiece - firstOffset, tokens)
        let (heads, keyHeads) = (shape.headCount, shape.keyValueHeadCount)
        if finished != .keysAndValues {
            unsafe finish(
                query, first..<end, heads: heads, bias: treatment.queryBias,
                norm: treatment.queryNorm)
            if let temperature = treatment.temperature { grow(first..<end, temperature) }
        }
        if finished == .queries { return }
        unsafe finish(
            key, first..<end, heads: keyHeads, bias: treatment.keyBias, norm: treatment.keyNorm)
        if let bias = treatment.valueBias {
            let width = keyHeads * shape.valueHeadWidth
            unsafe table.pointee.add_bias(
                bias.span.start, value + first * width, end - first, width)
        }
        for head in 0..<keyHeads { store(head, first..<end) }
    }

    private func finish(
        _ x: UnsafeMutablePointer<Float>, _ range: Range<Int>, heads: Int, bias: [Float]?,
        norm: [Float]?
    ) {
        let width = heads * shape.keyHeadWidth
        let x = unsafe x + range.lowerBound * width
        if let bias {
            unsafe table.pointee.add_bias(bias.span.start, x, range.count, width)
        }
        if treatment.normsRotated { unsafe turn(x, range, heads: heads) }
        if let norm {
            unsafe table.pointee.normalize(
                x, nil, range.count * width / norm.count, norm.count, norm.span.start,
                treatment.normEpsilon, x)
        }
        if !treatment.normsRotated { unsafe turn(x, range, heads: heads) }
    }

    /// Queries, by how far their positions are.
    private func grow(_ range: Range<Int>, _ temperature: PositionTemperature) {
        let width = shape.headCount * shape.keyHeadWidth
        for token in range {
            let intervals = (firstPosition + positionOffset + token) / temperature.interval
            let growth = Mathematics.logarithm(Double(1 + intervals))
            let factor = Float(1 + Double(temperature.scale) * growth)
            for index in token * width..<(token + 1) * width { unsafe query[index] *= factor }
        }
    }

    /// By the angles of the tokens' positions.
    private func turn(_ x: UnsafeMutablePointer<Float>, _ range: Range<Int>, heads: Int) {
        let pairs = treatment.rotatedWidth / 2
        guard pairs > 0 else { return }
        unsafe table.pointee.rotate(
            x, range.count, heads, shape.keyHeadWidth, treatment.rotatedWidth,
            cosines + range.lowerBound * pairs, sines + range.lowerBound * pairs,
            treatment.pairing == .halves ? 1 : 0)
    }

    /// A piece lies in one page.
    private func store(_ head: Int, _ range: Range<Int>) {
        let position = firstPosition + range.lowerBound
        let page = AttentionShape.pageTokens
        let index = position / page
        let (offset, pageShape) = unsafe places.place(index, offset: pageOffsets[index])
        let part = unsafe pool + offset
        let keyStride = shape.keyValueHeadCount * shape.keyHeadWidth
        let valueStride = shape.keyValueHeadCount * shape.valueHeadWidth
        var keys = unsafe ckernels_page_rows(
            x: key + range.lowerBound * keyStride + head * shape.keyHeadWidth, stride: keyStride,
            tokens: range.count, width: shape.keyHeadWidth, slot: position % page,
            bits: pageShape.format.keys.rawValue, part: part + head * pageShape.keyBytes)
        unsafe table.pointee.store_keys(&keys)
        var values = unsafe ckernels_page_rows(
            x: value + range.lowerBound * valueStride + head * shape.valueHeadWidth,
            stride: valueStride, tokens: range.count, width: shape.valueHeadWidth,
            slot: position % page, bits: pageShape.format.values.rawValue,
            part: part + shape.keyValueHeadCount * pageShape.keyBytes
                + head * pageShape.valueBytes)
        unsafe table.pointee.store_values(&values)
    }
}
