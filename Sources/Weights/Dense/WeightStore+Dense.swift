// Always-needed matrices: pinned extents at once, streamed ones from the ring as they arrive.

package import FlashStorage
internal import LinuxSystem
internal import ModelFormat

extension WeightStore {
    /// Starts a forward pass. Matrices must then be used in the manifest's order, each once.
    ///
    /// - Parameters:
    ///   - withOutput: whether the pass ends with the output matrix.
    ///   - isDecoding: whether neurons are fetched one by one where the plan has that; whole
    ///     matrices and layers of neurons then come only where decoding needs them.
    /// - Throws: `ReadFailure` when a pass before was cut off and its reads cannot be collected.
    package func beginPass(withOutput: Bool, isDecoding: Bool) throws(ReadFailure) {
        if reads.isUnsettled { try reads.drain() }
        guard plan.streamsDense else {
            mode = .cycle
            return
        }
        if mode.isStationary { try endLending() }
        let wanted: PassMode = fetchesNeurons && !isDecoding ? .sweep : .cycle
        if wanted != mode {
            try reads.drain()
            if wanted == .sweep { lendRows() } else { takeBackRows() }
            dense = Self.stream(plan, manifest, wanted)
            mode = wanted
        } else if dense.isMidPass || dense.hasFailed {
            try reads.drain()
        }
        dense.beginPass(withOutput: withOutput)
        try readAhead()
    }

    /// Calls `body` with each extent of matrix `index`: its row tiles, and the rows that they hold.
    ///
    /// - Throws: `ReadFailure` when an extent cannot be read or is damaged.
    package func withMatrix(
        _ index: Int, _ body: (RawSpan, Range<Int>) -> Void
    ) throws(ReadFailure) {
        try withUnits(
            from: directory.firstUnits.ofMatrices[index],
            count: manifest.matrices[index].extentCount, body)
    }

    /// The units of a matrix, or of a layer's neurons.
    func withUnits(
        from first: UnitIndex, count: Int, _ body: (RawSpan, Range<Int>) -> Void
    ) throws(ReadFailure) {
        let arena = reads.arena
        for number in first.index..<first.index + count {
            let unit = UnitIndex(number)
            let extent = plan[unit].extent
            if let pinned = pinnedOffset(of: unit) {
                body(arena.bytes(at: pinned, byteCount: extent.byteCount), extent.rows)
            } else {
                let place = ringOffset + (try arrival(of: unit))
                body(arena.bytes(at: place, byteCount: extent.byteCount), extent.rows)
                dense.consume()
                try readAhead()
            }
        }
    }

    /// Where `unit` is for good; nil when it comes through the ring.
    private func pinnedOffset(of unit: UnitIndex) -> Int? {
        guard let offset = plan[unit].pinnedOffset else { return nil }
        if mode.isStationary, let lending = plan.lending, offset >= lending.offset { return nil }
        return offset
    }

    /// Where the ring begins at present.
    private var ringOffset: Int {
        if mode.isStationary, let lending = plan.lending { return lending.offset }
        return plan.ringOffset
    }

    /// Waits until `unit` is in the ring.
    ///
    /// - Returns: its place there.
    private func arrival(of unit: UnitIndex) throws(ReadFailure) -> Int {
        if mode.isRevisit { uses.hits += 1 } else { uses.misses += 1 }
        while true {
            let (state, number, offset) = dense.state(of: unit)
            switch state {
            case .ready: return offset
            case .failed(let failure):
                guard dense.retry(entry: number) else { throw failure }
                try read(unit, entry: number, at: offset)
            case .loading: try reads.collect(waiting: true)
            }
        }
    }

    func readAhead() throws(ReadFailure) {
        while let (unit, number, offset) = dense.nextRead() {
            try read(unit, entry: number, at: offset)
        }
    }

    private func read(
        _ unit: UnitIndex, entry number: EntryNumber, at offset: Int
    ) throws(ReadFailure) {
        try reads.submit(
            .dense(entry: number), fileOffset: plan[unit].extent.offset,
            byteCount: plan[unit].footprint, arenaOffset: ringOffset + offset)
    }
}
