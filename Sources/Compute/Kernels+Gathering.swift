// Which tokens of a prompt its last ones look at, and pages that keep those alone.

internal import CKernels
package import LinuxSystem
internal import ModelFormat

/// How it is said how much a query looks at a position.
package enum Looking: Sendable {
    /// The weight after the softmax.
    case weights
    /// The score before it.
    case scores
}

extension Kernels {
    /// For each key-value head, how much the given queries look at each position, summed over the
    /// queries and the heads that share it: `[keyValueHeadCount][positions]`.
    ///
    /// - Parameters:
    ///   - looking: what is summed.
    ///   - queries: of the sequence's last tokens, `[tokens][headCount][keyHeadWidth]`.
    ///   - source: the tokens, and pages of all positions up to the last.
    package func sumAttention(
        _ shape: AttentionShape, _ looking: Looking, queries: Span<Float>,
        source: borrowing AttentionSource, into sums: inout MutableSpan<Float>, team: ComputeTeam
    ) {
        let positions = source.firstPosition + source.tokens
        precondition(source.tokens > 0 && shape.window == nil)
        precondition(sums.count >= shape.keyValueHeadCount * positions)
        PagePlaces(shape: shape.page, open: source.openPage).check(
            0...(positions - 1) / AttentionShape.pageTokens,
            new: (positions - 1) / AttentionShape.pageTokens, offsets: source.pageOffsets,
            byteCount: source.pool.byteCount)
        let job = unsafe SumJob(
            attention: Self.attention(shape, queries, nil, source, y: nil), looking: looking,
            positions: positions, sums: sums.start)
        unsafe team.run(pieces: shape.keyValueHeadCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: SumJob.self).pointee.run(head: piece)
        }
    }
}

/// The pointers live as long as the call that made it.
@safe
private struct SumJob: @unchecked Sendable {
    let attention: ckernels_attention
    let looking: Looking
    let positions: Int
    let sums: UnsafeMutablePointer<Float>

    func run(head: Int) {
        var attention = unsafe attention
        let group = unsafe attention.head_count / attention.kv_head_count
        let room =
            unsafe 2 * AttentionShape.pageTokens * attention.key_width
            + 2 * attention.tokens * group
        unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: room) { floats in
            guard let start = floats.baseAddress else { return }
            let sums = unsafe sums + head * positions
            switch looking {
            case .weights: unsafe ckernels_sum_attention(&attention, head, start, sums)
            case .scores: unsafe ckernels_sum_scores(&attention, head, start, sums)
            }
        }
    }
}

extension Kernels {
    /// Keeps some rows of a sequence's pages of one layer, each head its own, in place.
    ///
    /// - Parameters:
    ///   - rows: the places that are kept, `[heads][count]`, ascending for each head.
    ///   - pageOffsets: the byte in `pool` where the page of each 64 places starts.
    ///   - openPage: the sequence's last page, where the format takes whole pages only; what is
    ///     left over from whole pages of what is kept goes there too.
    package func gather(
        _ page: KVPageShape, rows: Span<Int32>, count: Int, pool: inout MutableRawSpan,
        pageOffsets: Span<Int>, openPage: OpenPage?, team: ComputeTeam
    ) {
        guard count > 0 else { return }
        precondition(rows.count >= page.headCount * count)
        var last = 0
        for head in 0..<page.headCount {
            for index in 0..<count {
                let row = Int(rows[head * count + index])
                precondition(
                    row >= index && (index == 0 || row > Int(rows[head * count + index - 1])))
                last = max(last, row)
            }
        }
        let pages = 0...last / AttentionShape.pageTokens
        precondition(pages.upperBound < pageOffsets.count)
        let places = PagePlaces(shape: page, open: openPage)
        places.check(
            pages, new: pages.upperBound, offsets: pageOffsets, byteCount: pool.byteCount)
        let job = unsafe GatherRowsJob(
            table: table, places: places, rows: rows.start, count: count, pool: pool.start,
            pageOffsets: pageOffsets.start)
        unsafe team.run(pieces: page.headCount, job: job) { job, piece in
            unsafe job.assumingMemoryBound(to: GatherRowsJob.self).pointee.run(head: piece)
        }
    }
}

/// The pointers live as long as the call that made it.
@safe
private struct GatherRowsJob: @unchecked Sendable {
    let table: UnsafePointer<ckernels_table>
    let places: PagePlaces
    let rows: UnsafePointer<Int32>
    let count: Int
    let pool: UnsafeMutablePointer<UInt8>
    let pageOffsets: UnsafePointer<Int>

    private static let page = AttentionShape.pageTokens

    /// Rows of one head, of a page as it was and of the one that is made.
    @safe
    private struct Room {
        let keys: UnsafeMutablePointer<Float>
        let values: UnsafeMutablePointer<Float>
        let keptKeys: UnsafeMutablePointer<Float>
        let keptValues: UnsafeMutablePointer<Float>
    }

    func run(head: Int) {
        let (keyWidth, valueWidth) = (places.shape.keyHeadWidth, places.shape.valueHeadWidth)
        let (keys, values) = (Self.page * keyWidth, Self.page * valueWidth)
        unsafe withUnsafeTemporaryAllocation(
            of: Float.self, capacity: 2 * (keys + values)
        ) { floats in
            guard let start = floats.baseAddress else { return }
            let room = unsafe Room(
                keys: start, values: start + keys, keptKeys: start + keys + values,
                keptValues: start + 2 * keys + values)
            // Rows ascend, and none is before its new place: a page is read before it is written.
            var loaded = -1
            for first in stride(from: 0, to: count, by: Self.page) {
                let tokens = min(Self.page, count - first)
                for index in 0..<tokens {
                    let row = unsafe Int(rows[head * count + first + index])
                    if row / Self.page != loaded {
                        loaded = row / Self.page
                        load(loaded, head: head, room)
                    }
                    let place = row % Self.page
                    unsafe (room.keptKeys + index * keyWidth).update(
                        from: room.keys + place * keyWidth, count: keyWidth)
                    unsafe (room.keptValues + index * valueWidth).update(
                        from: room.values + place * valueWidth, count: valueWidth)
                }
                store(first / Self.page, tokens: tokens, head: head, room)
            }
        }
    }

    private func load(_ index: Int, head: Int, _ room: Room) {
        let (offset, shape) = unsafe places.place(index, offset: pageOffsets[index])
        let part = unsafe pool + offset
        unsafe ckernels_unpack_keys(
            part + head * shape.keyBytes, shape.keyHeadWidth, shape.format.keys.rawValue,
            room.keys)
        unsafe ckernels_unpack_values(
            part + shape.headCount * shape.keyBytes + head * shape.valueBytes,
            shape.valueHeadWidth, shape.format.values.rawValue, room.values)
    }

    private func store(_ index: Int, tokens: Int, head: Int, _ room: Room) {
        var (offset, shape) = unsafe (pageOffsets[index], places.shape)
        if let open = places.open, tokens < Self.page {
            (offset, shape) = (open.offset, shape.open)
        }
        let part = unsafe pool + offset
        let keys = unsafe part + head * shape.keyBytes
        let values = unsafe part + shape.headCount * shape.keyBytes + head * shape.valueBytes
        unsafe PageRows(
            table: table, width: shape.keyHeadWidth, bits: shape.format.keys.rawValue,
            tokens: tokens
        ).storeKeys(room.keptKeys, in: keys)
        unsafe PageRows(
            table: table, width: shape.valueHeadWidth, bits: shape.format.values.rawValue,
            tokens: tokens
        ).storeValues(room.keptValues, in: values)
    }
}
