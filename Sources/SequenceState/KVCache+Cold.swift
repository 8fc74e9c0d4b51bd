// Sequences that are longer than their memory: of each layer that sees all, the oldest spans of 512
// tokens are on flash. What is read of them is put where the kernels find it, a group at a time.

package import FlashStorage
package import LinuxSystem
internal import Memory

extension KVCache {
    /// Keeps what outgrows the pool in a file from now on.
    ///
    /// - Throws: `SystemError` when it cannot be made.
    /// - Precondition: the layout has memory for reading it, and no sequence is open.
    package func keepCold(_ options: ColdFileOptions) throws(SystemError) {
        precondition(layout.stagingBytes > 0, "no memory to read with")
        let file = try ColdFile(options, arena: pool.arena)
        cold = ColdSpans(file: file, reads: ColdReads(file: file, arena: pool.arena))
        cut()
    }

    /// Waits for whatever is still being read.
    ///
    /// - Throws: `ReadFailure` when the drive does not answer.
    package func finishReads() throws(ReadFailure) { try cold?.reads.drain() }

    /// What was read of sequences, and written.
    package var coldStatistics: FlashStatistics { cold?.file.reader.statistics ?? .init() }

    /// A layer's spans that are on flash: the first so many.
    package func coldSpanCount(_ id: SequenceID, layer: Int) -> Int {
        state(id).coldPlaces[layer].count
    }

    /// Those spans in the groups that are in memory at once, in order.
    package func coldGroups(_ id: SequenceID, layer: Int) -> [ColdGroup] {
        guard let cold else { return [] }
        let count = coldSpanCount(id, layer: layer)
        return stride(from: 0, to: count, by: cold.reads.spansPerGroup).map {
            ColdGroup(
                sequence: id, layer: layer, spans: $0..<min($0 + cold.reads.spansPerGroup, count))
        }
    }

    /// Byte offsets in the pool of a layer's pages of a group, which are in memory until the next
    /// group is asked for; -1 before them.
    ///
    /// - Parameter next: what will be wanted then: it is read meanwhile.
    /// - Throws: `ReadFailure` when they do not come.
    package func pageOffsets(
        of group: ColdGroup, before next: ColdGroup?
    ) throws(ReadFailure) -> [Int] {
        guard let cold else { preconditionFailure("nothing is on flash") }
        let start = try cold.reads.demand(group, places(of: group))
        if let next { try cold.reads.readAhead(next, places(of: next)) }
        let pages =
            group.spans.lowerBound * KVLayout.spanPages..<group.spans.upperBound
            * KVLayout.spanPages
        let pageBytes = layout.pageBytes
        return (0..<pages.upperBound).map {
            $0 < pages.lowerBound ? -1 : start + ($0 - pages.lowerBound) * pageBytes
        }
    }

    /// The first group of the layers after `layer` that has one, going round.
    package func firstColdGroup(_ id: SequenceID, after layer: Int) -> ColdGroup? {
        let count = layout.ringPages.count
        for step in 1...count {
            let groups = coldGroups(id, layer: (layer + step) % count)
            if let first = groups.first { return first }
        }
        return nil
    }

    private func places(of group: ColdGroup) -> [ColdPlace] {
        Array(state(group.sequence).coldPlaces[group.layer][group.spans])
    }

    /// Writes a layer's oldest spans until its pages up to `end` are no more than it may have.
    ///
    /// - Parameter first: the first page that is about to be written to.
    func makeRoom(
        _ sequence: SequenceState, layer: Int, first: Int, end: Int
    ) throws(ReadFailure) {
        guard let cold, let most = sequence.hotPagesMax, layout.windows[layer] == nil
        else { return }
        while end - sequence.coldPlaces[layer].count * KVLayout.spanPages > most {
            let span = sequence.coldPlaces[layer].count
            let pages = span * KVLayout.spanPages..<(span + 1) * KVLayout.spanPages
            precondition(pages.upperBound <= first, "too few pages stay in memory")
            // The reader's memory for completions is one: what was read ahead is done with first.
            try cold.reads.drain()
            let place = try cold.file.write(sequence.offsets[layer][pages].map { $0 })
            summarize(sequence, layer: layer, pages)
            sequence.leave(pages, at: place, layer: layer, in: pool)
        }
    }

    /// Forgets a layer's spans on flash after the first `spans`.
    func dropCold(_ id: SequenceID, layer: Int, after spans: Int) {
        guard let cold, coldSpanCount(id, layer: layer) > spans else { return }
        let places = state(id).dropCold(after: spans, layer: layer)
        cold.reads.forgetPages()
        // A drive that does not answer keeps its places: they are not given to others.
        guard (try? cold.reads.drain()) != nil else { return }
        for place in places { cold.file.release(place) }
    }

    /// Gives the places of a sequence's spans back, when nothing reads them.
    func closeCold(_ sequence: SequenceState) {
        guard let cold, sequence.isCold else { return }
        let isIdle = (try? cold.reads.drain()) != nil
        cold.reads.forgetPages()
        for layer in layout.ringPages.indices {
            let places = sequence.dropCold(after: 0, layer: layer)
            if isIdle { for place in places { cold.file.release(place) } }
        }
    }
}

/// The file, and what is being read of it.
struct ColdSpans {
    let file: ColdFile
    let reads: ColdReads
}
