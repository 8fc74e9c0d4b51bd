// Neurons one by one: what a token needs of those that are not in its layer's window is fetched,
// near ones at once, and copied to rows.

package import FlashStorage
internal import LinuxSystem
package import ModelFormat

/// Layers whose neurons are bundles: where each neuron is, and those that are fetched one by one.
package final class NeuronWeights {
    let directory: WeightDirectory
    let reads: WeightReads
    var rows: NeuronRows
    package internal(set) var statistics = SparseStatistics()
    private(set) var uses = UseCounts()
    private var fetch: NeuronFetch
    private var failure: ReadFailure?
    /// What is demanded, and of it what is had by now.
    private var needed: [NeuronID] = []
    private var progress = FetchProgress(layer: 0)

    init(_ directory: WeightDirectory, _ reads: WeightReads) {
        self.directory = directory
        self.reads = reads
        let plan = directory.plan.sparse
        rows = NeuronRows(plan, directory.manifest.neurons ?? [])
        fetch = NeuronFetch(plan)
    }

    /// Bytes of the books of neurons that are fetched one by one.
    package static func booksBytes(_ manifest: PackedManifest) -> Int {
        NeuronRows.byteCount(manifest.neurons ?? [])
    }

    private var plan: SparsePlan {
        guard let plan = directory.plan.sparse else {
            preconditionFailure("neurons are not fetched one by one")
        }
        return plan
    }

    /// Adds the time since `start` to that spent in books and in copying.
    func countManagement(since start: UInt64) {
        statistics.managementNanoseconds += MonotonicClock.nanoseconds - start
    }

    // MARK: windows

    /// Calls `body` with each neuron in a layer's window, in no order.
    package func forEachResident(layer: Int, _ body: (NeuronID) -> Void) {
        rows.windows[layer].forEach(body)
    }

    /// Tells windows how often each layer's neurons fire in general.
    package func rank(by predictors: NeuronPredictors) {
        for layer in rows.windows.indices {
            rows.windows[layer].rank(by: predictors.layers[layer].frequencies)
        }
    }

    /// Tells a layer's window how likely each neuron was to fire for the present token.
    package func noteFiring(layer: Int, _ likelihoods: Span<Float>) {
        let start = MonotonicClock.nanoseconds
        rows.windows[layer].note(likelihoods)
        countManagement(since: start)
    }

    // MARK: demands

    func demand(_ neurons: Span<Int32>, layer: Int) -> NeuronDemand {
        needed.removeAll(keepingCapacity: true)
        for index in 0..<neurons.count { needed.append(NeuronID(rawValue: neurons[index])) }
        progress = FetchProgress(layer: layer)
        return NeuronDemand(self)
    }

    /// Goes on until neurons are in memory that were not handed out.
    ///
    /// - Returns: which of those needed; nil when all were handed out.
    fileprivate func advance() throws(ReadFailure) -> Range<Int>? {
        while true {
            switch progress.state {
            case .idle:
                guard progress.end < needed.count else { return nil }
                try beginBatch()
                if progress.done > progress.start { return progress.start..<progress.done }
            case .reading:
                while fetch.runsLeft > 0 { try collectRuns() }
                progress.state = .read
                if progress.done < progress.end { return progress.done..<progress.end }
            case .read: endBatch()
            }
        }
    }

    /// Asks for the longest beginning of the rest for whose missing neurons there are rows. Those
    /// at its beginning that are in memory already are done.
    private func beginBatch() throws(ReadFailure) {
        progress.start = progress.end
        progress.end = beginFetch(from: progress.start)
        progress.state = .reading
        try issueRuns()
        progress.done = progress.start
        while progress.done < progress.end,
            rows.row(of: needed[progress.done], layer: progress.layer) != nil
        {
            progress.done += 1
        }
    }

    private func beginFetch(from first: Int) -> Int {
        let record = directory.neuronLayer(progress.layer)
        let plan = plan
        let start = MonotonicClock.nanoseconds
        var end = first
        var missing = 0
        fetch.spans.removeAll(keepingCapacity: true)
        while end < needed.count {
            if rows.windows[progress.layer].row(of: needed[end]) == nil {
                if missing == rows.free.count { break }
                missing += 1
                fetch.spans.append(span(of: needed[end], record, plan))
            }
            end += 1
        }
        precondition(end > first, "there are rows for some")
        fetch.divide(bytesMax: plan.slotBytes, gapMax: reads.gapBytesMax)
        statistics.needed += end - first
        statistics.resident += end - first - missing
        statistics.reads += fetch.runs.count
        statistics.usefulBytes += missing * plan.part(record).count
        uses.hits += end - first - missing
        uses.misses += missing
        countManagement(since: start)
        return end
    }

    /// What is read for a neuron: its part, in whole blocks; its whole bundle while that is still
    /// to be compared with its checksum, or is to be decrypted.
    private func span(
        of neuron: NeuronID, _ record: PackedNeuronLayer, _ plan: SparsePlan
    ) -> NeuronSpan {
        let place = directory.neurons.place(of: neuron, layer: record.layer).index
        let bundle = BundleIndex(record.bundle(ofPlace: place))
        guard !reads.reader.isSealed,
            reads.verifier.isVerified(directory.verified(bundle, layer: record.layer))
        else {
            let start = bundle.index * record.bundleBytes
            return NeuronSpan(neuron: neuron, bytes: start..<start + record.bundleBytes)
        }
        let start = record.firstRowOffset(place: place)
        let part = plan.part(record)
        return NeuronSpan(
            neuron: neuron,
            bytes: reads.reader.blocks(start + part.lowerBound..<start + part.upperBound))
    }

    private func issueRuns() throws(ReadFailure) {
        let record = directory.neuronLayer(progress.layer)
        let plan = plan
        while let (slot, run, isLast) = fetch.issue() {
            try reads.submit(
                .neurons(slot: slot), fileOffset: record.offset + UInt64(run.bytes.lowerBound),
                byteCount: run.bytes.count,
                arenaOffset: directory.plan.sparseSlotsOffset + slot.index * plan.slotBytes,
                pieceBytesMax: plan.readsApart
                    ? reads.reader.blocks(0..<run.bytes.count / 2).count : .max,
                isLast: isLast)
        }
    }

    /// Waits for at least one read, and copies what arrived to rows.
    private func collectRuns() throws(ReadFailure) {
        try reads.collect(waiting: fetch.arrived.isEmpty)
        if let failure { throw failure }
        let start = MonotonicClock.nanoseconds
        while let slot = fetch.arrived.popLast() {
            if let failure = keepSpans(slot) { throw failure }
            fetch.end(slot)
        }
        countManagement(since: start)
        try issueRuns()
    }

    /// Copies what neurons need of a slot to rows, after comparing bundles with their checksums.
    private func keepSpans(_ slot: SlotIndex) -> ReadFailure? {
        let record = directory.neuronLayer(progress.layer)
        let plan = plan
        let run = fetch.slotRuns[slot.index]
        let slotOffset = directory.plan.sparseSlotsOffset + slot.index * plan.slotBytes
        let part = plan.part(record)
        for index in run.spans {
            let neuron = fetch.spans[index].neuron
            let place = directory.neurons.place(of: neuron, layer: record.layer).index
            let bundle = BundleIndex(record.bundle(ofPlace: place))
            if let failure = verify(bundle, of: record, run, slotOffset) { return failure }
            let row = rows.take(for: neuron)
            reads.arena.copy(
                byteCount: part.count,
                from: slotOffset + record.firstRowOffset(place: place) + part.lowerBound
                    - run.bytes.lowerBound,
                to: directory.plan.windowOffset + row.index * plan.rowBytes)
        }
        return nil
    }

    /// Compares a bundle that was read whole because it had not been compared yet.
    private func verify(
        _ bundle: BundleIndex, of record: PackedNeuronLayer, _ run: SpanRun, _ slotOffset: Int
    ) -> ReadFailure? {
        let number = directory.verified(bundle, layer: record.layer)
        if reads.verifier.isVerified(number) { return nil }
        let arena = reads.arena
        let bytes = arena.bytes(
            at: slotOffset + bundle.index * record.bundleBytes - run.bytes.lowerBound,
            byteCount: record.bundleBytes)
        let extent = record.extent(
            bundle: bundle.index, checksums: directory.neurons.checksums[record.layer])
        return reads.verifier.check(bytes, extent: number, extent)
    }

    /// Rows of what was fetched go to the window; while more is demanded, to nobody: whoever is in
    /// memory may still be needed.
    private func endBatch() {
        let start = MonotonicClock.nanoseconds
        progress.state = .idle
        rows.endFetch(layer: progress.layer, staysInWindow: progress.end == needed.count)
        countManagement(since: start)
    }

    /// A lease is over: if it was its batch's last one, rows are free for others.
    fileprivate func endLease() {
        if progress.state == .read { endBatch() }
    }

    /// After a failure: waits for what is under way, gives back every row and slot.
    fileprivate func abandonDemand() {
        reads.settle { fetch.areUnderWay }
        rows.endFetch(layer: progress.layer, staysInWindow: false)
        abandon()
    }

    /// Nobody waits for what is under way.
    func abandon() {
        failure = nil
        rows.wantNobody()
        fetch.removeAll()
        progress = FetchProgress(layer: progress.layer)
    }

    func completed(slot: SlotIndex, failure: ReadFailure?) {
        self.failure = self.failure ?? failure
        fetch.arrived.append(slot)
    }

    /// Bytes `part` of the record of a neuron that is in memory.
    @_lifetime(borrow self)
    fileprivate func record(_ neuron: NeuronID, _ part: Range<Int>) -> RawSpan {
        let plan = plan
        let kept = plan.part(directory.neuronLayer(progress.layer))
        precondition(kept.contains(part.lowerBound) && part.upperBound <= kept.upperBound)
        guard let row = rows.row(of: neuron, layer: progress.layer) else {
            preconditionFailure("a neuron that is not in memory")
        }
        let arena = reads.arena
        let bytes = arena.bytes(
            at: directory.plan.windowOffset + row.index * plan.rowBytes + part.lowerBound
                - kept.lowerBound, byteCount: part.count)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }
}

/// How far a demand is.
private struct FetchProgress {
    enum State {
        /// Between two batches.
        case idle
        /// The batch's reads are under way.
        case reading
        /// All of the batch is in memory.
        case read
    }

    let layer: Int
    var state = State.idle
    /// The batch, of what is needed, and where in it the first neuron is that had to be read.
    var start = 0
    var done = 0
    var end = 0

    init(layer: Int) { self.layer = layer }
}

/// Single neurons of a layer that are demanded: handed out in their order, first those at the
/// beginning that are in memory, while others are read. One demand at a time.
package struct NeuronDemand: ~Copyable {
    private let weights: NeuronWeights
    private var isOver = false

    fileprivate init(_ weights: NeuronWeights) { self.weights = weights }

    deinit { if !isOver { weights.abandonDemand() } }

    /// The next neurons that are in memory, waited for; nil when all were handed out. The lease
    /// before must be over.
    ///
    /// - Throws: `ReadFailure` when bundles cannot be read or are damaged. What was there stays.
    package mutating func next() throws(ReadFailure) -> NeuronLease? {
        guard let range = try weights.advance() else {
            isOver = true
            return nil
        }
        return NeuronLease(weights, range)
    }
}

/// Neurons in memory, for as long as this lives. Then their rows may be taken for others.
package struct NeuronLease: ~Copyable {
    /// Which of those demanded.
    package let range: Range<Int>
    private let weights: NeuronWeights

    fileprivate init(_ weights: NeuronWeights, _ range: Range<Int>) {
        self.weights = weights
        self.range = range
    }

    deinit { weights.endLease() }

    /// Bytes `part` of the record of one of the neurons.
    @_lifetime(borrow self)
    package func record(_ neuron: NeuronID, _ part: Range<Int>) -> RawSpan {
        let bytes = weights.record(neuron, part)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }
}
