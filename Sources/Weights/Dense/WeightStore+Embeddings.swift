// Token embeddings: never resident, read from flash one row at a time.

package import FlashStorage
internal import LinuxSystem
package import ModelFormat

extension WeightStore {
    /// Calls `body` with each token's row, in GGUF's own block bytes, in order.
    ///
    /// - Precondition: at most `plan.embeddingWindowCount` tokens, all in the vocabulary.
    /// - Throws: `ReadFailure` when a row cannot be read or is damaged.
    package func withEmbeddings(
        of tokens: Span<TokenID>, _ body: (Int, RawSpan) -> Void
    ) throws(ReadFailure) {
        precondition(tokens.count <= plan.embeddingWindowCount, "a step's tokens fit the windows")
        let rows = manifest.embeddings
        let arena = reads.arena
        embeddingsLeft = tokens.count
        for index in 0..<tokens.count {
            let pages = rows.pages(row: tokens[index].index)
            try reads.submit(
                .embedding(row: index),
                fileOffset: rows.offset + UInt64(pages.lowerBound * PackedLayout.alignment),
                byteCount: pages.count * PackedLayout.alignment, arenaOffset: window(index))
        }
        while embeddingsLeft > 0 { try reads.collect(waiting: true) }
        if let failure = firstFailure {
            firstFailure = nil
            throw failure
        }
        for index in 0..<tokens.count {
            let row = tokens[index].index
            let pages = rows.pages(row: row)
            try verify(pages, at: window(index))
            let start = row * rows.rowBytes - pages.lowerBound * PackedLayout.alignment
            body(index, arena.bytes(at: window(index) + start, byteCount: rows.rowBytes))
        }
    }

    private func window(_ index: Int) -> Int {
        plan.embeddingOffset + index * plan.embeddingWindowBytes
    }

    private func verify(_ pages: Range<Int>, at arenaOffset: Int) throws(ReadFailure) {
        let arena = reads.arena
        for page in pages {
            let place = arenaOffset + (page - pages.lowerBound) * PackedLayout.alignment
            let found = Checksum.of(arena.bytes(at: place, byteCount: PackedLayout.alignment))
            let expected = directory.embeddingChecksums[page]
            guard found == expected else {
                let offset = manifest.embeddings.offset + UInt64(page * PackedLayout.alignment)
                throw ReadFailure(
                    file: path, fileOffset: offset,
                    cause: .checksum(expected: expected, found: found))
            }
        }
    }
}
