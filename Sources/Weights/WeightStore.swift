// Owns a packed model's weights in memory: the arena, the reader that fills it, and the books of
// what is where. Hands out bytes, never computes on them. Lives on one thread.

package import FlashStorage
package import Knobs
package import LinuxSystem
package import Memory
package import ModelFormat

/// The weights of one model under one plan.
package final class WeightStore {
    package let path: String
    package let manifest: PackedManifest
    package let plan: WeightPlan
    let directory: WeightDirectory
    let reads: WeightReads
    /// The file as it was opened, whatever becomes of its name, and what it was then.
    private let file: FileDescriptor
    private let identity: FileIdentity
    var dense: DenseStream
    var mode = PassMode.cycle
    package let experts: ExpertWeights
    /// Neurons that are fetched one by one; empty where none is.
    var sparse: SparseNeurons
    var embeddingsLeft = 0
    var firstFailure: ReadFailure?
    var uses = UseCounts()

    /// Opens the packed file at `path`, reads what stays, and verifies it.
    ///
    /// - Parameter memory: what `plan` says, and the neurons' scales.
    /// - Throws: `FlashError` when the file cannot be opened or read, or is damaged.
    package init(
        path: String, model: PackedModel, plan: WeightPlan, options: FlashOptions,
        verification: VerificationPolicy = .first, cacheRules: CacheRules = .standard,
        memory: consuming MemoryReservation
    ) throws(FlashError) {
        let weightMemory = memory.split(MemoryTerm.streamedWeights)
        self.path = path
        self.plan = plan
        manifest = model.manifest
        do {
            file = try FileDescriptor(path: path, mode: .read)
            identity = try FileIdentity(file)
            let source = try FileByteSource(path: path, name: path, progress: options.progress)
            directory = try WeightDirectory(
                path: path, model, plan, from: source, memory: memory)
            reads = try WeightReads(directory, options, verification, memory: weightMemory)
        } catch let error as FormatError {
            throw .format(error)
        } catch let error as SystemError {
            throw .system(error)
        } catch {
            preconditionFailure("opening throws only these")
        }
        sparse = SparseNeurons(plan.sparse, manifest.neurons ?? [])
        experts = ExpertWeights(
            directory, reads, rules: cacheRules, prefetchesMax: options.prefetchesMax)
        dense = Self.stream(plan, manifest, .cycle)
        reads.sink = self
        let pinned = plan.unitIndices.filter { plan[$0].pinnedOffset != nil }
        do { try readPinned(pinned) } catch { throw .read(error) }
    }

    package var statistics: WeightStatistics {
        let read = reads.reader.statistics
        var statistics = WeightStatistics()
        statistics.flashBytes = read.bytesRead
        statistics.flashWaitNanoseconds = read.waitNanoseconds
        statistics.flashBusyNanoseconds = read.busyNanoseconds
        statistics.bundleHits = uses.hits + experts.uses.hits
        statistics.bundleMisses = uses.misses + experts.uses.misses
        statistics.prefetch = experts.prefetches
        return statistics
    }

    /// `io_uring` or `pread`.
    package var readerKind: String { reads.reader.kind }
    /// Why the kernel refused io_uring, where threads read instead.
    package var ringRefusal: SystemError? { reads.reader.ringRefusal }
    /// Asked while waiting for the drive: whether to give up.
    package var isCancelled: (() -> Bool)? {
        get { reads.reader.isCancelled }
        set { reads.reader.isCancelled = newValue }
    }

    /// Whether everything under way ends within this time; what has ended is taken in.
    package func isQuiet(within nanosecondsMax: UInt64) -> Bool {
        let deadline = MonotonicClock.nanoseconds + nanosecondsMax
        while reads.areUnderWay {
            guard MonotonicClock.nanoseconds < deadline,
                (try? reads.collect(waiting: false)) != nil
            else { return false }
            Thread.sleep(microseconds: 500)
        }
        return true
    }

    /// Whether the contents of the file that is being read were changed since it was opened.
    package var hasChanged: Bool { (try? FileIdentity(file)) != identity }

    /// Experts of a layer, without repeats. What is missing is asked of the drive at once.
    ///
    /// - Throws: `ReadFailure` when the kernel takes no reads.
    package func demand(experts: [Int], layer: Int) throws(ReadFailure) -> ExpertDemand {
        try self.experts.demand(experts, layer: layer, returnsAtOnce: mode.staysInLayer)
    }

    /// Waits until nothing is under way, so that the memory can be given back.
    ///
    /// - Throws: `ReadFailure` when the drive does not answer, or the wait is cancelled.
    package func finishReads() throws(ReadFailure) {
        do throws(ReadFailure) {
            try reads.drain()
        } catch {
            // A queue that no longer works has nothing that could be waited for.
            if error.isDelay { throw error }
        }
    }

    /// A resident vector's elements, or nil where the model has none.
    package func vector(_ role: VectorRole, layer: Int? = nil) -> [Float]? {
        directory.vector(role, layer: layer)
    }

    private func verify(_ request: FlashRequest) -> ReadFailure? {
        switch ReadPurpose(request.ticket) {
        // Verified where they are used: by the page, by the bundle; or by who asked.
        case .embedding, .neurons, .expert: return nil
        case .pinned(let unit): return verifyUnit(unit, at: request.arenaOffset)
        case .dense(let entry):
            guard let unit = dense.unit(ofEntry: entry) else { return nil }
            return verifyUnit(unit, at: request.arenaOffset)
        }
    }

    private func verifyUnit(_ unit: UnitIndex, at arenaOffset: Int) -> ReadFailure? {
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
        if failure == nil, fetchesNeurons {
            let bundles = record.bundles(ofExtent: index)
            let first = directory.verified(BundleIndex(bundles.lowerBound), layer: layer)
            reads.verifier.note(first..<first + bundles.count)
        }
        return failure
    }

    /// Reads pinned units into their places.
    func readPinned(_ units: [UnitIndex]) throws(ReadFailure) {
        for index in units {
            let unit = plan[index]
            guard let offset = unit.pinnedOffset else { preconditionFailure("a streamed unit") }
            embeddingsLeft += 1
            try reads.submit(
                .pinned(unit: index), fileOffset: unit.extent.offset, byteCount: unit.footprint,
                arenaOffset: offset)
            try reads.collect(waiting: false)
        }
        while embeddingsLeft > 0 { try reads.collect(waiting: true) }
        if let failure = firstFailure {
            firstFailure = nil
            throw failure
        }
    }

    /// What passes stream: everything that is not pinned, the output matrix last; cycles without
    /// what is fetched by the neuron. A stationary pass has the larger ring, and no output matrix.
    static func stream(
        _ plan: WeightPlan, _ manifest: PackedManifest, _ mode: PassMode
    ) -> DenseStream {
        if mode.isStationary {
            guard let lending = plan.lending else { preconditionFailure("no place to stay") }
            // Nothing is read ahead of the next pass: it may be of another kind.
            return DenseStream(
                order: lending.order, footprints: lending.order.map { plan[$0].footprint },
                layerCount: 0, capacityBytes: lending.byteCount, readsAheadOfPass: false)
        }
        let isCycle = mode == .cycle
        let streamed = plan.unitIndices.filter {
            plan[$0].pinnedOffset == nil && (!isCycle || plan.isDecoded($0, manifest))
        }
        return DenseStream(
            order: streamed, footprints: streamed.map { plan[$0].footprint },
            layerCount: streamed.count { plan[$0].layer != nil },
            capacityBytes: plan.ringBytes, readsAheadOfPass: isCycle)
    }

}

extension WeightStore: ReadSink {
    func completed(_ purpose: ReadPurpose, _ request: FlashRequest, failure: ReadFailure?) {
        let failure = failure ?? verify(request)
        switch purpose {
        case .dense(let entry): dense.completed(entry: entry, failure: failure)
        case .pinned, .embedding:
            embeddingsLeft -= 1
            firstFailure = firstFailure ?? failure
        case .neurons(let slot):
            firstFailure = firstFailure ?? failure
            sparse.arrived.append(slot)
        case .expert(let slot): experts.completed(slot: slot, failure: failure)
        }
    }

    func abandoned() {
        firstFailure = nil
        experts.forgetArrivals()
        embeddingsLeft = 0
        sparse.resetFetch()
        dense.reset()
    }
}

extension WeightReads {
    /// The memory of a plan, and a reader into it.
    fileprivate convenience init(
        _ directory: WeightDirectory, _ options: FlashOptions,
        _ verification: VerificationPolicy, memory: consuming MemoryReservation
    ) throws(SystemError) {
        let path = directory.path
        let arena = try MemoryArena(byteCount: directory.plan.arenaBytes, of: memory)
        var options = FlashFile.tuned(options, path: path, arena: arena)
        // Bundles are small: many of them are what keeps a drive busy.
        if let sparse = directory.plan.sparse {
            options.queueDepth = max(options.queueDepth, sparse.slotCount)
        }
        self.init(
            arena: arena, reader: try FlashFile.reader(path: path, arena: arena, options: options),
            verifier: ExtentVerifier(
                file: path, extentCount: directory.verifiedCount, policy: verification),
            gapBytesMax: options.gapBytesMax)
    }
}
