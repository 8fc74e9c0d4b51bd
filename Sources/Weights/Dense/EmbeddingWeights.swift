// Embeddings of tokens, the model's and its layers' own: never resident, read from flash one row at
// a time, or one tile of the output matrix where the model ties them.

package import FlashStorage
internal import LinuxSystem
package import ModelFormat

/// Windows that rows of the embeddings are read into.
package final class EmbeddingWeights {
    private let directory: WeightDirectory
    private let reads: WeightReads
    private var readsLeft = 0
    private var failure: ReadFailure?
    /// Where in the arena each row of the present lease begins.
    private var places: [Int] = []
    private var isLeased = false

    init(_ directory: WeightDirectory, _ reads: WeightReads) {
        self.directory = directory
        self.reads = reads
    }

    /// Reads rows of a table, all at once: one for each token, by its number, or its position's.
    ///
    /// - Precondition: the model has that table; at most `plan.embeddingWindowCount` rows, all in
    ///   the table; the lease before is over.
    /// - Throws: `ReadFailure` when a row cannot be read or is damaged.
    package func demand(
        _ tokens: Span<TokenID>, of table: RowTable
    ) throws(ReadFailure) -> EmbeddingLease {
        precondition(
            !isLeased && tokens.count <= directory.plan.embeddingWindowCount,
            "a step's tokens fit the windows")
        guard let rows = directory.manifest[table] else {
            preconditionFailure("rows of no table")
        }
        readsLeft = tokens.count
        for index in 0..<tokens.count {
            let pages = rows.pages(row: tokens[index].index)
            try reads.submit(
                .embedding(row: index),
                fileOffset: rows.offset + UInt64(pages.lowerBound * PackedLayout.alignment),
                byteCount: pages.count * PackedLayout.alignment, arenaOffset: window(index))
        }
        while readsLeft > 0 { try reads.collect(waiting: true) }
        if let failure {
            self.failure = nil
            throw failure
        }
        places.removeAll(keepingCapacity: true)
        for index in 0..<tokens.count {
            let row = tokens[index].index
            let pages = rows.pages(row: row)
            try verify(pages, of: table, from: rows.offset, at: window(index))
            let place = rows.bytes(row: row).lowerBound - pages.lowerBound * PackedLayout.alignment
            places.append(
                rows.rowsPerExtent == nil
                    ? window(index) + place : untile(row, of: rows, window(index), tile: place))
        }
        isLeased = true
        return EmbeddingLease(self, rowBytes: rows.rowBytes)
    }

    /// Takes a row out of its tile.
    ///
    /// - Parameter tile: where the tile begins in the window.
    /// - Returns: where in the arena the row is: after what was read.
    private func untile(_ row: Int, of rows: PackedRows, _ window: Int, tile: Int) -> Int {
        let (arena, place) = (reads.arena, window + rows.lookupBytesMax)
        let bytes = arena.bytes(
            at: window + tile, byteCount: WeightFormat.tileRows * rows.rowBytes)
        var target = arena.mutableBytes(at: place, byteCount: rows.rowBytes)
        rows.format.copyRow(
            row % WeightFormat.tileRows, of: bytes, columns: rows.columns, into: &target)
        return place
    }

    func completed(failure: ReadFailure?) {
        readsLeft -= 1
        self.failure = self.failure ?? failure
    }

    /// Nothing is under way any more.
    func abandon() {
        readsLeft = 0
        failure = nil
    }

    fileprivate func endLease() { isLeased = false }

    fileprivate func place(ofRow index: Int) -> Int { places[index] }

    fileprivate var arena: MemoryArena { reads.arena }

    private func window(_ index: Int) -> Int {
        directory.plan.embeddingOffset + index * directory.plan.embeddingWindowBytes
    }

    private func verify(
        _ pages: Range<Int>, of table: RowTable, from start: UInt64, at arenaOffset: Int
    ) throws(ReadFailure) {
        let arena = reads.arena
        for page in pages {
            let place = arenaOffset + (page - pages.lowerBound) * PackedLayout.alignment
            let found = Checksum.of(arena.bytes(at: place, byteCount: PackedLayout.alignment))
            let expected = directory.checksum(of: table, page: page)
            guard found == expected else {
                throw ReadFailure(
                    file: directory.path,
                    fileOffset: start + UInt64(page * PackedLayout.alignment),
                    cause: .checksum(expected: expected, found: found))
            }
        }
    }
}

/// Rows of the embeddings in memory, for as long as this lives.
package struct EmbeddingLease: ~Copyable {
    private let weights: EmbeddingWeights
    private let rowBytes: Int

    fileprivate init(_ weights: EmbeddingWeights, rowBytes: Int) {
        self.weights = weights
        self.rowBytes = rowBytes
    }

    deinit { weights.endLease() }

    /// The row of the token at `index` of those demanded, in GGUF's own block bytes.
    @_lifetime(borrow self)
    package func row(_ index: Int) -> RawSpan {
        let arena = weights.arena
        let bytes = arena.bytes(at: weights.place(ofRow: index), byteCount: rowBytes)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }
}
