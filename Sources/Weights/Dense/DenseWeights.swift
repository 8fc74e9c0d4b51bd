// Always-needed matrices: extents that stay, at once; streamed ones from the ring as they arrive.

package import FlashStorage
internal import LinuxSystem
internal import ModelFormat

/// Dense weights, and the ring of those that do not fit.
package final class DenseWeights {
    private let directory: WeightDirectory
    private let reads: WeightReads
    private var stream: DenseStream
    private(set) var mode = PassMode.cycle
    private(set) var uses = UseCounts()
    /// Reads of extents that stay, under way.
    private var pinnedLeft = 0
    /// Why an extent that stays, or reading ahead, failed.
    private var failure: ReadFailure?

    init(_ directory: WeightDirectory, _ reads: WeightReads) {
        self.directory = directory
        self.reads = reads
        stream = DenseStream(directory.plan, directory.manifest, .cycle)
    }

    private var plan: WeightPlan { directory.plan }

    // MARK: extents that stay

    /// Reads what stays.
    ///
    /// - Throws: `ReadFailure` when any of it cannot be read or is damaged.
    func readPinned() throws(ReadFailure) {
        try readPinned(plan.unitIndices.filter { plan[$0].pinnedOffset != nil })
    }

    /// Reads back what lent its place to the ring. Nothing may be under way to there.
    func readBackLent() throws(ReadFailure) { try readPinned(plan.lending?.lent ?? []) }

    private func readPinned(_ units: [UnitIndex]) throws(ReadFailure) {
        for index in units {
            let unit = plan[index]
            guard let offset = unit.pinnedOffset else { preconditionFailure("a streamed unit") }
            pinnedLeft += 1
            try reads.submit(
                .pinned(unit: index), fileOffset: unit.extent.offset, byteCount: unit.footprint,
                arenaOffset: offset)
            try reads.collect(waiting: false)
        }
        while pinnedLeft > 0 { try reads.collect(waiting: true) }
        try throwFailure()
    }

    private func throwFailure() throws(ReadFailure) {
        guard let failure else { return }
        self.failure = nil
        throw failure
    }

    // MARK: passes

    /// Lays the ring out for passes of a kind. Nothing may be under way to it.
    func enter(_ mode: PassMode) {
        guard mode != self.mode else { return }
        self.mode = mode
        guard plan.streamsDense else { return }
        stream = DenseStream(plan, directory.manifest, mode)
    }

    /// Whether a pass ended early, or by a failure: everything under way must be taken in before
    /// the next one.
    var isCutOff: Bool { stream.isMidPass || stream.hasFailed || failure != nil }

    /// Whether more was read ahead than a pass uses that ends with a layer; nil is the last one.
    func isAhead(of lastLayer: Int?) -> Bool {
        lastLayer.map { stream.isAhead(of: unitCount(through: $0)) } ?? false
    }

    /// Streamed units of the layers up to one.
    private func unitCount(through layer: Int) -> Int {
        stream.order.count { plan[$0].layer.map { $0 <= layer } ?? false }
    }

    /// - Parameter lastLayer: with which the pass ends; nil is the last one.
    func beginPass(withOutput: Bool, lastLayer: Int? = nil) throws(ReadFailure) {
        stream.beginPass(
            withOutput: withOutput, unitsMax: lastLayer.map { unitCount(through: $0) })
        try readAhead()
    }

    /// The layers were computed otherwise.
    func beginAtOutput() throws(ReadFailure) {
        stream.beginAtOutput()
        try readAhead()
    }

    /// A wave of a stationary pass comes to a layer.
    func visitLayer(isFirst: Bool, isLast: Bool) {
        var visit = LayerVisit(start: stream.consumed, isFirst: isFirst, isLast: isLast)
        if !isFirst, case .stationary(let before) = mode {
            visit.start = before.start
            stream.goBack(to: visit.start)
        }
        stream.keepsConsumed = !isLast
        mode = .stationary(visit)
    }

    /// Forgets what was read ahead. Nothing is under way.
    func abandon() {
        failure = nil
        pinnedLeft = 0
        stream.reset()
    }

    // MARK: extents

    /// An extent's bytes, as soon as they are there.
    func lease(_ unit: UnitIndex) throws(ReadFailure) -> WeightLease {
        try throwFailure()
        let extent = plan[unit].extent
        if let offset = pinnedOffset(of: unit) {
            return WeightLease(
                self, at: offset, byteCount: extent.byteCount, rows: extent.rows, isInRing: false)
        }
        let offset = ringOffset + (try arrival(of: unit))
        return WeightLease(
            self, at: offset, byteCount: extent.byteCount, rows: extent.rows, isInRing: true)
    }

    /// The next extent's lease is over: it leaves the ring, and others are read.
    func endLease() {
        stream.consume()
        do throws(ReadFailure) { try readAhead() } catch { failure = failure ?? error }
    }

    var arena: MemoryArena { reads.arena }

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
            let (state, number, offset) = stream.state(of: unit)
            switch state {
            case .ready: return offset
            case .failed(let failure):
                guard stream.retry(entry: number) else { throw failure }
                try read(unit, entry: number, at: offset)
            case .loading: try reads.collect(waiting: true)
            }
        }
    }

    private func readAhead() throws(ReadFailure) {
        while let (unit, number, offset) = stream.nextRead() {
            try read(unit, entry: number, at: offset)
        }
    }

    private func read(
        _ unit: UnitIndex, entry: EntryNumber, at offset: Int
    ) throws(ReadFailure) {
        try reads.submit(
            .dense(entry: entry), fileOffset: plan[unit].extent.offset,
            byteCount: plan[unit].footprint, arenaOffset: ringOffset + offset)
    }

    // MARK: reads that ended

    func completed(entry: EntryNumber, at arenaOffset: Int, failure: ReadFailure?) {
        let problem =
            failure ?? stream.unit(ofEntry: entry).flatMap { verify($0, at: arenaOffset) }
        stream.completed(entry: entry, failure: problem)
    }

    func completed(pinned unit: UnitIndex, at arenaOffset: Int, failure: ReadFailure?) {
        pinnedLeft -= 1
        let problem = failure ?? verify(unit, at: arenaOffset)
        self.failure = self.failure ?? problem
    }

    private func verify(_ unit: UnitIndex, at arenaOffset: Int) -> ReadFailure? {
        let extent = plan[unit].extent.extent
        let arena = reads.arena
        let bytes = arena.bytes(at: arenaOffset, byteCount: extent.byteCount)
        let number = directory.verified(unit)
        guard case .neurons(let layer) = plan[unit].content else {
            return reads.verifier.check(bytes, extent: number, extent)
        }
        let record = directory.neuronLayer(layer)
        let index = unit.index - directory.firstUnits.ofNeurons[layer].index
        let failure = reads.verifier.check(
            bytes, extent: number,
            parts: record.parts(
                ofExtent: index, checksums: directory.neurons.checksums[layer]))
        if failure == nil, plan.sparse != nil {
            let bundles = record.bundles(ofExtent: index)
            let first = directory.verified(BundleIndex(bundles.lowerBound), layer: layer)
            reads.verifier.note(first..<first + bundles.count)
        }
        return failure
    }
}

/// Extents that are demanded one after another.
package struct DenseDemand: ~Copyable {
    private let weights: DenseWeights
    private var following: Int
    private let end: Int

    init(_ weights: DenseWeights, from first: UnitIndex, count: Int) {
        self.weights = weights
        following = first.index
        end = first.index + count
    }

    /// The next extent, waited for; nil after the last one. The lease before must be over.
    ///
    /// - Throws: `ReadFailure` when the extent cannot be read or is damaged.
    package mutating func next() throws(ReadFailure) -> WeightLease? {
        guard following < end else { return nil }
        following += 1
        return try weights.lease(UnitIndex(following - 1))
    }
}

/// An extent in memory, for as long as this lives. Then a streamed one leaves the ring.
package struct WeightLease: ~Copyable {
    /// Rows of the matrix, or places of the layer's neurons, that the extent holds.
    package let rows: Range<Int>
    private let weights: DenseWeights
    private let offset: Int
    private let byteCount: Int
    private let isInRing: Bool

    fileprivate init(
        _ weights: DenseWeights, at offset: Int, byteCount: Int, rows: Range<Int>, isInRing: Bool
    ) {
        self.weights = weights
        self.offset = offset
        self.byteCount = byteCount
        self.rows = rows
        self.isInRing = isInRing
    }

    deinit { if isInRing { weights.endLease() } }

    /// Row tiles, or bundles.
    package var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            let arena = weights.arena
            let bytes = arena.bytes(at: offset, byteCount: byteCount)
            return unsafe _overrideLifetime(bytes, borrowing: self)
        }
    }
}

extension DenseStream {
    /// What passes stream: everything that is not pinned, the output matrix last; cycles without
    /// what is fetched by the neuron. A stationary pass has the larger ring, and no output matrix.
    init(_ plan: WeightPlan, _ manifest: PackedManifest, _ mode: PassMode) {
        if mode.isStationary {
            guard let lending = plan.lending else { preconditionFailure("no place to stay") }
            // Nothing is read ahead of the next pass: it may be of another kind.
            self.init(
                order: lending.order, footprints: lending.order.map { plan[$0].footprint },
                layerCount: 0, capacityBytes: lending.byteCount, readsAheadOfPass: false)
            return
        }
        let isCycle = mode == .cycle
        let streamed = plan.unitIndices.filter {
            plan[$0].pinnedOffset == nil && (!isCycle || plan.isDecoded($0, manifest))
        }
        self.init(
            order: streamed, footprints: streamed.map { plan[$0].footprint },
            layerCount: streamed.count { plan[$0].layer != nil },
            capacityBytes: plan.ringBytes, readsAheadOfPass: isCycle)
    }
}
