// Products with the matrices that every token needs: extents as the store has them, several of them
// as one operation of the team.

internal import Compute
internal import FlashStorage
internal import LinuxSystem
internal import ModelFormat
internal import Weights

/// Multiplies by always-needed matrices. One for all of a model's blocks.
final class Products {
    private let store: WeightStore
    private let executor: Executor
    /// On their way to becoming one operation.
    private var group = ProductGroup()

    init(store: WeightStore, executor: Executor) {
        self.store = store
        self.executor = executor
    }

    /// Whether all of them are in memory, in whatever order they are asked for.
    var areHeld: Bool { !store.plan.streamsDense }

    /// Forgets what was collected for a pass that failed.
    func removeAll() { group.removeAll() }

    /// `output[t] = W · input[t]`; `matrix` is an index into the manifest's.
    func multiply(
        _ matrix: Int, by input: borrowing ProductInput, tokens: Int,
        into output: inout Buffer<Float>
    ) throws(ReadFailure) {
        try collect(matrix, by: input, tokens: tokens, into: &output)
        computeCollected()
    }

    /// The same, put off until ``computeCollected()``, so that several matrices are one operation
    /// of the team. Nothing may change `input` until then.
    ///
    /// - Parameters:
    ///   - firstRow: of `output`, the first token's.
    ///   - offset: where in rows of `output` the matrix's begin.
    ///   - stride: elements of such a row; nil is the matrix's alone.
    func collect(
        _ matrix: Int, by input: borrowing ProductInput, tokens: Int,
        into output: inout Buffer<Float>, firstRow: Int = 0, at offset: Int = 0,
        stride: Int? = nil
    ) throws(ReadFailure) {
        let record = store.manifest.matrices[matrix]
        let stride = stride ?? record.rows
        var extents = store.demand(matrix: matrix)
        while let extent = try extents.next() {
            group.add(
                ProductMatrix(
                    extent.bytes, format: record.format, rows: extent.rows.count,
                    rowOffset: offset + extent.rows.lowerBound, outputStride: stride),
                columns: record.columns, by: input, tokens: tokens, into: &output,
                at: firstRow * stride, memberCount: executor.team.memberCount)
            // What is in the ring leaves it with its lease.
            if store.plan.streamsDense { computeCollected() }
        }
    }

    /// The same in `parts` equal parts of the matrix's rows, whose results are one after the other:
    /// `output[part][t] = W[part] · input[t]`.
    func collect(
        _ matrix: Int, parts: Int, by input: borrowing ProductInput, tokens: Int,
        into output: inout Buffer<Float>
    ) throws(ReadFailure) {
        // One token's parts follow each other either way.
        guard parts > 1, tokens > 1 else {
            return try collect(matrix, by: input, tokens: tokens, into: &output)
        }
        let rows = rows(of: matrix) / parts
        try collect(matrix, parts: parts, by: input, tokens: tokens, into: &output) { part in
            PartPlace(firstRow: 0, start: part * tokens * rows, stride: rows)
        }
    }

    /// The products of a matrix for each of `heads` heads, equal parts of its rows, with rows of
    /// their own: row `head * tokens + t` of `input` gives part `head` of row t of `output`.
    func collect(
        _ matrix: Int, heads: Int, by input: borrowing ProductInput, tokens: Int,
        into output: inout Buffer<Float>
    ) throws(ReadFailure) {
        let all = rows(of: matrix)
        try collect(matrix, parts: heads, by: input, tokens: tokens, into: &output) { head in
            PartPlace(firstRow: head * tokens, start: head * (all / heads), stride: all)
        }
    }

    private func collect(
        _ matrix: Int, parts: Int, by input: borrowing ProductInput, tokens: Int,
        into output: inout Buffer<Float>, _ place: (Int) -> PartPlace
    ) throws(ReadFailure) {
        let record = store.manifest.matrices[matrix]
        let partRows = record.rows / parts
        var extents = store.demand(matrix: matrix)
        while let extent = try extents.next() {
            let last = (extent.rows.upperBound - 1) / partRows
            for part in extent.rows.lowerBound / partRows...last {
                let rows = extent.rows.clamped(to: part * partRows..<(part + 1) * partRows)
                let start = record.format.tiledBytes(
                    rows: rows.lowerBound - extent.rows.lowerBound, columns: record.columns)
                let byteCount = record.format.tiledBytes(rows: rows.count, columns: record.columns)
                let place = place(part)
                group.add(
                    ProductMatrix(
                        extent.bytes.extracting(start..<start + byteCount), format: record.format,
                        rows: rows.count, rowOffset: rows.lowerBound - part * partRows,
                        outputStride: place.stride),
                    columns: record.columns, by: input, firstRow: place.firstRow, tokens: tokens,
                    into: &output, at: place.start, memberCount: executor.team.memberCount)
            }
            if store.plan.streamsDense { computeCollected() }
        }
    }

    /// Rows of a matrix.
    func rows(of matrix: Int) -> Int { store.manifest.matrices[matrix].rows }

    func computeCollected() {
        let start = MonotonicClock.nanoseconds
        executor.multiply(&group)
        executor.count(since: start)
    }
}

/// Where a part of a matrix's rows reads and writes.
private struct PartPlace {
    /// Of the input.
    let firstRow: Int
    /// Of the output: the first token's first element, and elements from token to token.
    let start: Int
    let stride: Int
}
