// Owns a packed model's weights in memory: the arena, the reader that fills it, and the books of
// what is where. Hands out bytes, never computes on them. Lives on one thread.

package import FlashStorage
package import Knobs
package import LinuxSystem
package import Memory
package import ModelFormat

/// What a generation cost in reads.
package struct WeightStatistics: Sendable, Equatable {
    package var flashBytes: UInt64 = 0
    package var flashWaitNanoseconds: UInt64 = 0
    /// Time during which reads were under way, waited for or not.
    package var flashBusyNanoseconds: UInt64 = 0
    /// Acquisitions of streamed bundles that were in memory, and of those that had to be read.
    /// Weights that stay for good count as neither.
    package var bundleHits = 0
    package var bundleMisses = 0
    package var prefetch = PrefetchStatistics()

    package init() {}

    /// Hits over all acquisitions; 1 when there were none.
    package var hitRate: Double {
        let all = bundleHits + bundleMisses
        return all == 0 ? 1 : Double(bundleHits) / Double(all)
    }

    package static func - (left: Self, right: Self) -> Self {
        var difference = Self()
        difference.flashBytes = left.flashBytes - right.flashBytes
        difference.flashWaitNanoseconds = left.flashWaitNanoseconds - right.flashWaitNanoseconds
        difference.flashBusyNanoseconds = left.flashBusyNanoseconds - right.flashBusyNanoseconds
        difference.bundleHits = left.bundleHits - right.bundleHits
        difference.bundleMisses = left.bundleMisses - right.bundleMisses
        difference.prefetch = left.prefetch - right.prefetch
        return difference
    }
}

/// The weights of one model under one plan.
package final class WeightStore {
    package let manifest: PackedManifest
    package let plan: WeightPlan
    let arena: MemoryArena
    let reader: FlashReader
    var verifier: ExtentVerifier
    var dense: DenseStream
    var experts: ExpertCache
    var hits = 0
    var misses = 0
    /// First unit of each matrix, and of each layer's neurons.
    let firstUnit: FirstUnits
    let embeddingChecksums: [UInt32]
    let neurons: NeuronDirectory
    package let path: String
    /// The file as it was opened, whatever becomes of its name, and what it was then.
    private let file: FileDescriptor
    private let identity: FileIdentity
    /// Norms, biases and the like, in the manifest's order; always resident.
    private let vectors: [[Float]]
    /// Index of an expert's checksum bit: dense units come first.
    let expertsPerLayer: Int
    /// Experts whose reads ended since the present demand began, in completion order.
    var arrivedSlots: [SlotIndex] = []
    /// What the next layer will probably demand.
    var prediction: ExpertPrediction
    /// Bundles under way beyond which none is read ahead; 0 is none at all.
    let prefetchesMax: Int
    var prefetches = PrefetchStatistics()
    var embeddingsLeft = 0
    /// Whether a wait was given up while reads were under way: they must end before the next pass.
    var isUnsettled = false
    var firstFailure: ReadFailure?
    /// Neurons that are fetched one by one; empty where none is.
    var sparse: SparseNeurons
    /// Bytes between bundles that are read rather than split a read.
    let gapBytesMax: Int
    /// A layer's first bundle among what the verifier knows: after units and experts.
    let firstBundle: [Int]
    var mode = PassMode.cycle

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
        prefetchesMax = options.prefetchesMax
        do {
            file = try FileDescriptor(path: path, mode: .read)
            identity = try FileIdentity(file)
            let source = try FileByteSource(path: path, name: path, progress: options.progress)
            embeddingChecksums = try model.embeddingChecksums(from: source)
            neurons = try NeuronDirectory(model, from: source, memory: memory)
            vectors = try Self.readVectors(model, from: source)
            arena = try MemoryArena(byteCount: plan.arenaBytes, of: weightMemory)
            var options = FlashFile.tuned(options, path: path, arena: arena)
            gapBytesMax = options.gapBytesMax
            // Bundles are small: many of them are what keeps a drive busy.
            if let sparse = plan.sparse {
                options.queueDepth = max(options.queueDepth, sparse.slotCount)
            }
            reader = try FlashFile.reader(path: path, arena: arena, options: options)
        } catch let error as FormatError {
            throw .format(error)
        } catch let error as SystemError {
            throw .system(error)
        } catch {
            preconditionFailure("opening throws only these")
        }
        expertsPerLayer = manifest.shape.experts?.count ?? 0
        let expertCount = expertsPerLayer * manifest.shape.layerCount
        let layers = manifest.neurons ?? []
        let bundlesStart = plan.units.count + expertCount
        firstBundle = layers.indices.map { index in
            layers[..<index].reduce(bundlesStart) { $0 + $1.bundleCount }
        }
        sparse = SparseNeurons(plan.sparse, layers)
        let bundleCount = plan.sparse == nil ? 0 : layers.reduce(0) { $0 + $1.bundleCount }
        verifier = ExtentVerifier(
            file: path, extentCount: bundlesStart + bundleCount, policy: verification)
        experts = ExpertCache(
            slotCount: plan.expertSlotCount,
            layerCount: expertCount / max(1, expertsPerLayer), expertsPerLayer: expertsPerLayer,
            rules: cacheRules)
        prediction = ExpertPrediction(slotCount: plan.expertSlotCount)
        dense = Self.stream(plan, manifest, .cycle)
        firstUnit = FirstUnits(plan, manifest)
        let pinned = plan.unitIndices.filter { plan[$0].pinnedOffset != nil }
        do { try readPinned(pinned) } catch { throw .read(error) }
    }

    package var statistics: WeightStatistics {
        var statistics = WeightStatistics()
        statistics.flashBytes = reader.statistics.bytesRead
        statistics.flashWaitNanoseconds = reader.statistics.waitNanoseconds
        statistics.flashBusyNanoseconds = reader.statistics.busyNanoseconds
        statistics.bundleHits = hits
        statistics.bundleMisses = misses
        statistics.prefetch = prefetches
        return statistics
    }

    /// `io_uring` or `pread`.
    package var readerKind: String { reader.kind }
    /// Why the kernel refused io_uring, where threads read instead.
    package var ringRefusal: SystemError? { reader.ringRefusal }
    /// Asked while waiting for the drive: whether to give up.
    package var isCancelled: (() -> Bool)? {
        get { reader.isCancelled }
        set { reader.isCancelled = newValue }
    }
    /// Whether everything under way ends within this time; what has ended is taken in.
    package func isQuiet(within nanosecondsMax: UInt64) -> Bool {
        let deadline = MonotonicClock.nanoseconds + nanosecondsMax
        while reader.requestsInFlight > 0 {
            guard MonotonicClock.nanoseconds < deadline, (try? collect(waiting: false)) != nil
            else { return false }
            Thread.sleep(microseconds: 500)
        }
        return true
    }

    /// Whether the contents of the file that is being read were changed since it was opened.
    package var hasChanged: Bool { (try? FileIdentity(file)) != identity }

    /// Waits until nothing is under way, so that the memory can be given back.
    ///
    /// - Throws: `ReadFailure` when the drive does not answer, or the wait is cancelled.
    package func finishReads() throws(ReadFailure) {
        do throws(ReadFailure) {
            try drain()
        } catch {
            // A queue that no longer works has nothing that could be waited for.
            if error.isDelay { throw error }
        }
    }

    /// A resident vector's elements, or nil where the model has none.
    package func vector(_ role: VectorRole, layer: Int? = nil) -> [Float]? {
        manifest.vectors.entries.firstIndex { $0.role == role && $0.layer == layer }
            .map { vectors[$0] }
    }

    /// Takes completions off the reader: all that are there, or at least one when `waiting`.
    func collect(waiting: Bool) throws(ReadFailure) {
        var mustWait = waiting
        while let completion = try next(waiting: mustWait) {
            mustWait = false
            let failure = completion.failure ?? verify(completion.request)
            switch ReadPurpose(completion.request.ticket) {
            case .dense(let entry): dense.completed(entry: entry, failure: failure)
            case .pinned, .embedding:
                embeddingsLeft -= 1
                firstFailure = firstFailure ?? failure
            case .neurons(let slot):
                firstFailure = firstFailure ?? failure
                sparse.arrived.append(slot)
            case .expert(let slot):
                // Nobody waits for what was read ahead of a demand that did not come.
                let isPrefetch = prediction.isUnused[slot.index] && !experts.isHeld(slot)
                _ = experts.completed(slot: slot, succeeded: failure == nil)
                if failure == nil { arrivedSlots.append(slot) }
                if failure != nil { prediction.isUnused[slot.index] = false }
                if !isPrefetch { firstFailure = firstFailure ?? failure }
            }
        }
    }

    private func next(waiting: Bool) throws(ReadFailure) -> FlashCompletion? {
        do throws(ReadFailure) {
            return try reader.next(waiting: waiting)
        } catch {
            isUnsettled = true
            throw error
        }
    }

    private func verify(_ request: FlashRequest) -> ReadFailure? {
        switch ReadPurpose(request.ticket) {
        // Verified where they are used: by the page, by the bundle.
        case .embedding, .neurons: return nil
        case .pinned(let unit): return verifyUnit(unit, at: request.arenaOffset)
        case .dense(let entry):
            guard let unit = dense.unit(ofEntry: entry) else { return nil }
            return verifyUnit(unit, at: request.arenaOffset)
        case .expert(let slot):
            guard case .loading(let expert) = experts.state(of: slot) else { return nil }
            let layer = manifest.experts[expertLayerIndex(of: expert)]
            let arena = arena
            let extent = layer.extent(expert.rawValue % expertsPerLayer)
            let bytes = arena.bytes(at: request.arenaOffset, byteCount: extent.byteCount)
            return verifier.check(bytes, extent: plan.units.count + expert.rawValue, extent)
        }
    }

    private func verifyUnit(_ unit: UnitIndex, at arenaOffset: Int) -> ReadFailure? {
        let extent = plan[unit].extent.extent
        let arena = arena
        let bytes = arena.bytes(at: arenaOffset, byteCount: extent.byteCount)
        if case .neurons(let layer) = plan[unit].content, let record = manifest.neurons?[layer] {
            let index = unit.index - firstUnit.ofNeurons[layer].index
            let failure = verifier.check(
                bytes, extent: unit.index,
                parts: record.parts(ofExtent: index, checksums: neurons.checksums[layer]))
            if failure == nil, fetchesNeurons {
                let bundles = record.bundles(ofExtent: index)
                let first = firstBundle[layer]
                verifier.note(first + bundles.lowerBound..<first + bundles.upperBound)
            }
            return failure
        }
        return verifier.check(bytes, extent: unit.index, extent)
    }

    /// Reads pinned units into their places.
    func readPinned(_ units: [UnitIndex]) throws(ReadFailure) {
        for index in units {
            let unit = plan[index]
            guard let offset = unit.pinnedOffset else { preconditionFailure("a streamed unit") }
            embeddingsLeft += 1
            try reader.submit(
                FlashRequest(
                    ReadPurpose.pinned(unit: index).ticket, fileOffset: unit.extent.offset,
                    byteCount: unit.footprint, arenaOffset: offset))
            try collect(waiting: false)
        }
        while embeddingsLeft > 0 { try collect(waiting: true) }
        if let failure = firstFailure {
            firstFailure = nil
            throw failure
        }
    }

    private static func readVectors(
        _ model: PackedModel, from source: FileByteSource
    ) throws(FormatError) -> [[Float]] {
        let extent = model.manifest.vectors.extent
        var all = [Float](repeating: 0, count: extent.byteCount / MemoryLayout<Float>.stride)
        var span = all.mutableSpan
        var bytes = unsafe span.mutableBytes
        try model.read(extent, from: source, into: &bytes, "the vectors")
        return model.manifest.vectors.entries.map { entry in
            let first = entry.byteOffset / MemoryLayout<Float>.stride
            return Array(all[first..<first + entry.count])
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

/// The first unit of each matrix, and of each layer's neurons.
struct FirstUnits: Sendable {
    private(set) var ofMatrices: [UnitIndex]
    private(set) var ofNeurons: [UnitIndex]

    init(_ plan: WeightPlan, _ manifest: PackedManifest) {
        ofMatrices = Array(repeating: 0, count: manifest.matrices.count)
        ofNeurons = Array(repeating: 0, count: manifest.neurons?.count ?? 0)
        for unit in plan.unitIndices.reversed() {
            switch plan[unit].content {
            case .matrix(let index): ofMatrices[index] = unit
            case .neurons(let layer): ofNeurons[layer] = unit
            }
        }
    }
}
