// A packed model's weights in memory: owns the parts that know where dense weights, experts,
// neurons and embeddings are, and tells each of its reads that ended. Hands out bytes, never
// computes on them. Lives on one thread.

package import FlashStorage
package import Knobs
package import LinuxSystem
package import Memory
package import ModelFormat

/// The weights of one model under one plan.
package final class WeightStore {
    package let dense: DenseWeights
    package let experts: ExpertWeights
    package let neurons: NeuronWeights
    package let embeddings: EmbeddingWeights
    package let path: String
    package let manifest: PackedManifest
    package let plan: WeightPlan
    let directory: WeightDirectory
    let reads: WeightReads
    /// The file as it was opened, whatever becomes of its name, and what it was then.
    private let file: FileDescriptor
    private let identity: FileIdentity

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
            let file = try FileByteSource(path: path, name: path, progress: options.progress)
            directory = try WeightDirectory(
                path: path, model, plan, from: model.plain(file), memory: memory)
            reads = try WeightReads(
                directory, options, verification, model.seal, memory: weightMemory)
        } catch let error as FormatError {
            throw .format(error)
        } catch let error as SystemError {
            throw .system(error)
        } catch {
            preconditionFailure("opening throws only these")
        }
        dense = DenseWeights(directory, reads)
        experts = ExpertWeights(
            directory, reads, rules: cacheRules, prefetchesMax: options.prefetchesMax)
        neurons = NeuronWeights(directory, reads)
        embeddings = EmbeddingWeights(directory, reads)
        reads.sink = self
        do { try dense.readPinned() } catch { throw .read(error) }
    }

    package var statistics: WeightStatistics {
        let read = reads.reader.statistics
        let uses = [dense.uses, experts.uses, neurons.uses]
        var statistics = WeightStatistics()
        statistics.flashBytes = read.bytesRead
        statistics.flashWaitNanoseconds = read.waitNanoseconds
        statistics.flashBusyNanoseconds = read.busyNanoseconds
        statistics.bundleHits = uses.reduce(0) { $0 + $1.hits }
        statistics.bundleMisses = uses.reduce(0) { $0 + $1.misses }
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
}

extension WeightStore: ReadSink {
    func completed(_ purpose: ReadPurpose, _ request: FlashRequest, failure: ReadFailure?) {
        switch purpose {
        case .dense(let entry):
            dense.completed(entry: entry, at: request.arenaOffset, failure: failure)
        case .pinned(let unit):
            dense.completed(pinned: unit, at: request.arenaOffset, failure: failure)
        case .expert(let slot): experts.completed(slot: slot, failure: failure)
        case .neurons(let slot): neurons.completed(slot: slot, failure: failure)
        case .embedding: embeddings.completed(failure: failure)
        }
    }

    func abandoned() {
        dense.abandon()
        experts.forgetArrivals()
        neurons.abandon()
        embeddings.abandon()
    }
}

extension WeightReads {
    /// The memory of a plan, and a reader into it.
    fileprivate convenience init(
        _ directory: WeightDirectory, _ options: FlashOptions,
        _ verification: VerificationPolicy, _ seal: ModelSeal?,
        memory: consuming MemoryReservation
    ) throws {
        let path = directory.path
        let arena = try MemoryArena(byteCount: directory.plan.arenaBytes, of: memory)
        let seal = try seal.map { try SealedReads($0, arena: arena) }
        var options = FlashFile.tuned(options, path: path, arena: arena)
        // Bundles are small: many of them are what keeps a drive busy.
        if let sparse = directory.plan.sparse {
            options.queueDepth = max(options.queueDepth, sparse.slotCount)
        }
        self.init(
            arena: arena,
            reader: try FlashFile.reader(
                path: path, arena: arena, options: options, seal: seal),
            verifier: ExtentVerifier(
                file: path, extentCount: directory.verifiedCount, policy: verification),
            gapBytesMax: options.gapBytesMax)
    }
}
