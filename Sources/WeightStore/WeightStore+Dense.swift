// Always-needed matrices: pinned extents at once, streamed ones from the ring as they arrive.

internal import LinuxSystem
internal import ModelFormat

extension WeightStore {
    /// Starts a forward pass. Matrices must then be used in the manifest's order, each once.
    ///
    /// - Parameter withOutput: whether the pass ends with the output matrix.
    /// - Throws: `ReadFailure` when a pass before was cut off and its reads cannot be collected.
    package func beginPass(withOutput: Bool) throws(ReadFailure) {
        if isUnsettled { try drain() }
        guard plan.streamsDense else { return }
        if dense.isMidPass || dense.hasFailed { try drain() }
        dense.beginPass(withOutput: withOutput)
        try readAhead()
    }

    /// Calls `body` with each extent of matrix `index`: its row tiles, and the rows that they hold.
    ///
    /// - Throws: `ReadFailure` when an extent cannot be read or is damaged.
    package func withMatrix(
        _ index: Int, _ body: (RawSpan, Range<Int>) -> Void
    ) throws(ReadFailure) {
        try withUnits(of: index, count: manifest.matrices[index].extentCount, body)
    }

    /// The units of a matrix, or of a layer's neurons.
    func withUnits(
        of index: Int, count: Int, _ body: (RawSpan, Range<Int>) -> Void
    ) throws(ReadFailure) {
        let arena = arena
        for unit in firstUnit[index]..<firstUnit[index] + count {
            let extent = plan.units[unit].extent
            if let pinned = plan.units[unit].pinnedOffset {
                body(arena.bytes(at: pinned, byteCount: extent.byteCount), extent.rows)
            } else {
                let slot = try arrival(of: unit)
                let place = plan.ringOffset + slot * plan.ringSlotBytes
                body(arena.bytes(at: place, byteCount: extent.byteCount), extent.rows)
                dense.consume(slot: slot)
                try readAhead()
            }
        }
    }

    /// Waits until `unit` is in the ring.
    private func arrival(of unit: Int) throws(ReadFailure) -> Int {
        misses += 1
        while true {
            guard let slot = dense.slot(of: unit) else {
                preconditionFailure("read-ahead issues the next unit first")
            }
            switch dense.slots[slot] {
            case .ready: return slot
            case .failed(_, let failure):
                guard dense.retry(slot: slot) else { throw failure }
                try read(unit, into: slot)
            default: try collect(waiting: true)
            }
        }
    }

    private func readAhead() throws(ReadFailure) {
        while let (unit, slot) = dense.nextRead() { try read(unit, into: slot) }
    }

    private func read(_ unit: Int, into slot: Int) throws(ReadFailure) {
        try reader.submit(
            ReadRequest(
                purpose: .dense(slot: slot), fileOffset: plan.units[unit].extent.offset,
                byteCount: plan.units[unit].footprint,
                arenaOffset: plan.ringOffset + slot * plan.ringSlotBytes))
    }

    /// Collects every read under way and starts the cycle anew.
    private func drain() throws(ReadFailure) {
        while reader.requestsInFlight > 0 { try collect(waiting: true) }
        firstFailure = nil
        arrivedSlots.removeAll(keepingCapacity: true)
        embeddingsLeft = 0
        dense.reset()
        isUnsettled = false
    }
}
