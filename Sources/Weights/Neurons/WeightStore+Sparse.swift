// Neurons one by one: what a token needs of those that are not in its layer's window is fetched,
// near ones at once, and copied to rows.

package import FlashStorage
internal import LinuxSystem
package import ModelFormat

extension WeightStore {
    /// Bytes of the books of neurons that are fetched one by one.
    package static func sparseDirectoryBytes(_ manifest: PackedManifest) -> Int {
        SparseNeurons.byteCount(manifest.neurons ?? [])
    }

    package var sparseStatistics: SparseStatistics { sparse.statistics }

    /// Calls `body` with each neuron in a layer's window, in no order.
    package func forEachResident(layer: Int, _ body: (NeuronID) -> Void) {
        sparse.windows[layer].forEach(body)
    }

    /// Tells windows how often each layer's neurons fire in general.
    package func rankNeurons(by predictors: NeuronPredictors) {
        for layer in sparse.windows.indices {
            sparse.windows[layer].rank(by: predictors.layers[layer].frequencies)
        }
    }

    /// Tells a layer's window how likely each neuron was to fire for the present token.
    package func noteFiring(layer: Int, _ likelihoods: Span<Float>) {
        let start = MonotonicClock.nanoseconds
        sparse.windows[layer].note(likelihoods)
        sparse.statistics.managementNanoseconds += MonotonicClock.nanoseconds - start
    }

    /// Calls `body` with ranges of `needed`, in order, whose neurons are in memory then: first
    /// those at its beginning that are there already, while others are read.
    ///
    /// - Parameter needed: neurons of the layer, without repeats.
    /// - Throws: `ReadFailure` when bundles cannot be read or are damaged. What was there stays.
    package func withSparseNeurons(
        layer: Int, _ needed: Span<Int32>, _ body: (Range<Int>) -> Void
    ) throws(ReadFailure) {
        do throws(ReadFailure) {
            var first = 0
            while first < needed.count {
                let batch = beginFetch(layer: layer, needed, from: first)
                try issueRuns(layer: layer)
                var done = first
                while done < batch.upperBound, isInMemory(NeuronID(needed[done]), layer: layer) {
                    done += 1
                }
                if done > first { body(first..<done) }
                while sparse.runsLeft > 0 { try collectRuns(layer: layer) }
                if done < batch.upperBound { body(done..<batch.upperBound) }
                endFetch(layer: layer, isLast: batch.upperBound == needed.count)
                first = batch.upperBound
            }
        } catch {
            abandonFetch()
            throw error
        }
    }

    /// Bytes `part` of the record of a neuron that ``withSparseNeurons(layer:_:_:)`` has in memory
    /// now.
    @_lifetime(borrow self)
    package func sparseRecord(
        _ neuron: NeuronID, layer: Int, _ part: Range<Int>
    ) -> RawSpan {
        guard let plan = plan.sparse else {
            preconditionFailure("neurons of a model that has none")
        }
        guard let record = manifest.neurons?[layer] else {
            preconditionFailure("neurons of a model that has none")
        }
        let kept = plan.part(record)
        precondition(kept.contains(part.lowerBound) && part.upperBound <= kept.upperBound)
        let row = sparse.windows[layer].row(of: neuron)?.rawValue ?? sparse.transitRow[neuron.index]
        precondition(row >= 0, "a neuron that is not in memory")
        let arena = reads.arena
        let bytes = arena.bytes(
            at: self.plan.windowOffset + Int(row) * plan.rowBytes + part.lowerBound
                - kept.lowerBound, byteCount: part.count)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }

    private func isInMemory(_ neuron: NeuronID, layer: Int) -> Bool {
        sparse.windows[layer].row(of: neuron) != nil || sparse.transitRow[neuron.index] >= 0
    }

    /// The longest beginning of the rest for whose missing neurons there are rows, and the reads
    /// for these.
    private func beginFetch(layer: Int, _ needed: Span<Int32>, from first: Int) -> Range<Int> {
        guard let record = manifest.neurons?[layer], let plan = plan.sparse else {
            preconditionFailure("neurons of a model that has none")
        }
        let start = MonotonicClock.nanoseconds
        var end = first
        var missing = 0
        sparse.spans.removeAll(keepingCapacity: true)
        while end < needed.count {
            let neuron = NeuronID(needed[end])
            if sparse.windows[layer].row(of: neuron) == nil {
                if missing == sparse.freeRows.count { break }
                missing += 1
                sparse.spans.append(span(of: neuron, record, plan))
            }
            end += 1
        }
        precondition(end > first, "there are rows for some")
        sparse.spans.sort { $0.bytes.lowerBound < $1.bytes.lowerBound }
        SpanRun.covering(
            sparse.spans, bytesMax: plan.slotBytes, gapMax: reads.gapBytesMax, into: &sparse.runs)
        sparse.runs.reverse()
        sparse.runsLeft = sparse.runs.count
        sparse.statistics.needed += end - first
        sparse.statistics.resident += end - first - missing
        sparse.statistics.reads += sparse.runs.count
        sparse.statistics.usefulBytes += missing * plan.part(record).count
        uses.hits += end - first - missing
        uses.misses += missing
        sparse.statistics.managementNanoseconds += MonotonicClock.nanoseconds - start
        return first..<end
    }

    /// What is read for a neuron: its part, in whole blocks; its whole bundle while that is still
    /// to be compared with its checksum.
    private func span(
        of neuron: NeuronID, _ record: PackedNeuronLayer, _ plan: SparsePlan
    ) -> NeuronSpan {
        let place = place(of: neuron, layer: record.layer).index
        let bundle = record.bundle(ofPlace: place)
        let number = directory.verified(BundleIndex(bundle), layer: record.layer)
        guard reads.verifier.isVerified(number) else {
            let start = bundle * record.bundleBytes
            return NeuronSpan(neuron: neuron, bytes: start..<start + record.bundleBytes)
        }
        let start = record.firstRowOffset(place: place)
        let part = plan.part(record)
        return NeuronSpan(
            neuron: neuron,
            bytes: reads.reader.blocks(start + part.lowerBound..<start + part.upperBound))
    }

    private func issueRuns(layer: Int) throws(ReadFailure) {
        guard let record = manifest.neurons?[layer], let plan = plan.sparse else { return }
        while let slot = sparse.freeSlots.last, let run = sparse.runs.popLast() {
            sparse.freeSlots.removeLast()
            sparse.slotRuns[slot.index] = run
            try reads.submit(
                .neurons(slot: slot),
                fileOffset: record.offset + UInt64(run.bytes.lowerBound),
                byteCount: run.bytes.count,
                arenaOffset: self.plan.sparseSlotsOffset + slot.index * plan.slotBytes,
                pieceBytesMax: plan.readsApart
                    ? reads.reader.blocks(0..<run.bytes.count / 2).count : .max,
                isLast: sparse.runs.isEmpty || sparse.freeSlots.isEmpty)
        }
    }

    /// Waits for at least one read, and copies what arrived to rows.
    private func collectRuns(layer: Int) throws(ReadFailure) {
        try reads.collect(waiting: sparse.arrived.isEmpty)
        if let failure = firstFailure { throw failure }
        let start = MonotonicClock.nanoseconds
        while let slot = sparse.arrived.popLast() {
            if let failure = keepSpans(slot: slot, layer: layer) { throw failure }
            sparse.freeSlots.append(slot)
            sparse.runsLeft -= 1
        }
        sparse.statistics.managementNanoseconds += MonotonicClock.nanoseconds - start
        try issueRuns(layer: layer)
    }

    /// Copies what neurons need of a slot to rows, after comparing bundles with their checksums.
    private func keepSpans(slot: SlotIndex, layer: Int) -> ReadFailure? {
        guard let record = manifest.neurons?[layer], let plan = plan.sparse else { return nil }
        let run = sparse.slotRuns[slot.index]
        let slotOffset = self.plan.sparseSlotsOffset + slot.index * plan.slotBytes
        let part = plan.part(record)
        for index in run.spans {
            let neuron = sparse.spans[index].neuron
            let place = place(of: neuron, layer: layer).index
            let bundle = BundleIndex(record.bundle(ofPlace: place))
            if let failure = verify(bundle, of: record, run, slotOffset) {
                return failure
            }
            guard let row = sparse.freeRows.popLast() else {
                preconditionFailure("there is a row for each neuron that is fetched")
            }
            reads.arena.copy(
                byteCount: part.count,
                from: slotOffset + record.firstRowOffset(place: place) + part.lowerBound
                    - run.bytes.lowerBound,
                to: self.plan.windowOffset + row.index * plan.rowBytes)
            sparse.transitRow[neuron.index] = row.rawValue
            sparse.fetched.append(FetchedNeuron(neuron, row: row))
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

    /// Rows of what was fetched go to the window, or to nobody.
    private func endFetch(layer: Int, isLast: Bool) {
        let start = MonotonicClock.nanoseconds
        for item in sparse.fetched { sparse.transitRow[item.neuron.index] = -1 }
        if isLast {
            // Taken apart: the window's call gives rows back to the list beside it.
            var freeRows = sparse.freeRows
            sparse.freeRows = []
            sparse.windows[layer].admit(sparse.fetched) { freeRows.append($0) }
            sparse.freeRows = freeRows
        } else {
            // Whoever is in memory may still be needed by the rest.
            for item in sparse.fetched { sparse.freeRows.append(item.row) }
        }
        sparse.fetched.removeAll(keepingCapacity: true)
        sparse.statistics.managementNanoseconds += MonotonicClock.nanoseconds - start
    }

    /// After a failure: waits for what is under way, gives back every row and slot.
    private func abandonFetch() {
        let slotCount = sparse.slotRuns.count
        reads.settle { sparse.freeSlots.count + sparse.arrived.count < slotCount }
        firstFailure = nil
        for item in sparse.fetched {
            sparse.transitRow[item.neuron.index] = -1
            sparse.freeRows.append(item.row)
        }
        sparse.fetched.removeAll(keepingCapacity: true)
        sparse.resetFetch()
    }
}

extension SparseNeurons {
    /// Forgets what was wanted. Reads that are still under way end before the next pass.
    mutating func resetFetch() {
        for neuron in isWanted.indices { isWanted[neuron] = false }
        arrived.removeAll(keepingCapacity: true)
        runs.removeAll(keepingCapacity: true)
        runsLeft = 0
        freeSlots = slotRuns.indices.reversed().map { SlotIndex($0) }
    }
}
