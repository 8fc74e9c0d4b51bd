// Experts: those in memory are handed out while the missing ones are read, all at once; each of
// these when its read completes.

package import FlashStorage
internal import LinuxSystem
internal import ModelFormat

/// The experts of a model, and the slots for those in memory.
package final class ExpertWeights {
    let directory: WeightDirectory
    let reads: WeightReads
    var cache: ExpertCache
    /// What the next layer will probably demand.
    var prediction: ExpertPrediction
    var prefetches = PrefetchStatistics()
    private(set) var uses = UseCounts()
    /// Bundles under way beyond which none is read ahead; 0 is none at all.
    let prefetchesMax: Int
    /// Whether any is, and can help.
    package let canPrefetch: Bool
    /// Slots whose reads ended since the present demand began, in completion order.
    private var arrived: [SlotIndex] = []
    /// Why a bundle that somebody waits for did not come.
    private(set) var failure: ReadFailure?
    private var wanted = WantedExperts()

    /// Misses that are read at the same time, at most: enough for any drive. With more, a prompt's
    /// experts would push other layers' out, instead of those of their own that were computed.
    package static let missesAtOnceMax = 8

    init(
        _ directory: WeightDirectory, _ reads: WeightReads, rules: CacheRules, prefetchesMax: Int
    ) {
        self.directory = directory
        self.reads = reads
        self.prefetchesMax = prefetchesMax
        canPrefetch = prefetchesMax > 0 && directory.canPrefetch
        let perLayer = directory.expertsPerLayer
        let slotCount = directory.plan.expertSlotCount
        cache = ExpertCache(
            slotCount: slotCount,
            layerCount: directory.manifest.experts.count, expertsPerLayer: perLayer, rules: rules)
        prediction = ExpertPrediction(slotCount: slotCount)
    }

    // MARK: demands

    /// What is missing of a layer's experts is asked of the drive.
    ///
    /// - Parameter returnsAtOnce: whether the layer's next demand comes before other layers'.
    func demand(
        _ numbers: [Int], layer: Int, returnsAtOnce: Bool
    ) throws(ReadFailure) -> ExpertDemand {
        arrived.removeAll(keepingCapacity: true)
        wanted.begin(count: numbers.count)
        judgePrediction(layer: layer, numbers)
        cache.beginDemand(
            layer: directory.expertLayer(layer), returnsAtOnce: returnsAtOnce)
        for number in numbers {
            let expert = directory.expert(number, layer: layer)
            guard let slot = cache.slot(of: expert) else {
                wanted.missing.append(expert)
                continue
            }
            cache.hold(slot)
            if cache.isReady(slot) { wanted.ready.append(slot) }
        }
        uses.hits += numbers.count - wanted.missing.count
        uses.misses += wanted.missing.count
        wanted.missing.reverse()
        // What fails from here on is cleared up by the demand's end.
        let demand = ExpertDemand(self)
        try issueMisses()
        return demand
    }

    /// Waits until bundles are there that were not handed out.
    ///
    /// - Returns: whether there are any; else all were.
    fileprivate func findReady() throws(ReadFailure) -> Bool {
        if wanted.wereLeased {
            wanted.wereLeased = false
            try reads.collect(waiting: false)
        }
        while wanted.unfinished > 0 {
            try takeArrivals()
            try issueMisses()
            if wanted.missing.isEmpty { try issuePrefetches() }
            if !wanted.ready.isEmpty { return true }
            try reads.collect(waiting: true)
        }
        return false
    }

    /// Bundles may also arrive while dense weights are waited for.
    private func takeArrivals() throws(ReadFailure) {
        if let failure { throw failure }
        wanted.ready += arrived.filter { cache.isHeld($0) }
        arrived.removeAll(keepingCapacity: true)
    }

    private func issueMisses() throws(ReadFailure) {
        while cache.loadingCount < Self.missesAtOnceMax, let expert = wanted.missing.last,
            let slot = cache.take(for: expert)
        {
            wanted.missing.removeLast()
            prediction.isUnused[slot.index] = false
            try read(expert, into: slot)
        }
    }

    /// Starts reading an expert's bundle into the slot that was taken for it.
    func read(_ expert: ExpertID, into slot: SlotIndex) throws(ReadFailure) {
        let extents = directory.extents(of: expert)
        try reads.submit(
            .expert(slot: slot), fileOffset: extents.extent(directory.number(of: expert)).offset,
            byteCount: extents.stride, arenaOffset: offset(of: slot))
    }

    private func offset(of slot: SlotIndex) -> Int {
        directory.plan.expertOffset + slot.index * directory.plan.expertSlotBytes
    }

    /// A demand ended before all of it was had. What is still under way may fail too, and must not
    /// fail the next one.
    fileprivate func abandonDemand() {
        settle()
        cache.releaseAll()
        wanted.begin(count: 0)
    }

    // MARK: leases

    /// Hands out what is there. While bundles are missing only some at a time, so that the slots of
    /// those computed on take new reads while the others wait.
    fileprivate func lease() -> ExpertLease {
        let isComplete = wanted.missing.isEmpty
        let countMax =
            isComplete ? wanted.ready.count : max(1, directory.plan.expertSlotCount / 4)
        wanted.leasedCount = min(countMax, wanted.ready.count)
        wanted.wereLeased = true
        return ExpertLease(self, count: wanted.leasedCount)
    }

    fileprivate func endLease() {
        for slot in wanted.ready.suffix(wanted.leasedCount) { cache.release(slot) }
        wanted.ready.removeLast(wanted.leasedCount)
        wanted.unfinished -= wanted.leasedCount
        wanted.leasedCount = 0
    }

    fileprivate func leased(_ index: Int) -> (number: Int, offset: Int, byteCount: Int) {
        precondition(index >= 0 && index < wanted.leasedCount, "not of the lease")
        let slot = wanted.ready[wanted.ready.count - wanted.leasedCount + index]
        guard case .ready(let expert) = cache.state(of: slot) else {
            preconditionFailure("only arrived bundles are computed on")
        }
        return (
            directory.number(of: expert), offset(of: slot),
            directory.extents(of: expert).bundleBytes
        )
    }

    fileprivate var arena: MemoryArena { reads.arena }

    // MARK: reads that ended

    func completed(slot: SlotIndex, failure: ReadFailure?) {
        let failure = failure ?? verify(slot)
        // Nobody waits for what was read ahead of a demand that did not come.
        let isPrefetch = prediction.isUnused[slot.index] && !cache.isHeld(slot)
        _ = cache.completed(slot: slot, succeeded: failure == nil)
        guard let failure else { return arrived.append(slot) }
        prediction.isUnused[slot.index] = false
        if !isPrefetch { self.failure = self.failure ?? failure }
    }

    private func verify(_ slot: SlotIndex) -> ReadFailure? {
        guard case .loading(let expert) = cache.state(of: slot) else { return nil }
        let extent = directory.extents(of: expert).extent(directory.number(of: expert))
        let arena = reads.arena
        let bytes = arena.bytes(at: offset(of: slot), byteCount: extent.byteCount)
        return reads.verifier.check(bytes, extent: directory.verified(expert), extent)
    }

    /// Waits for what is under way, so that it cannot fail the next demand.
    func settle() {
        reads.settle { cache.isLoading }
        forgetArrivals()
    }

    /// Nobody waits for what ended.
    func forgetArrivals() {
        failure = nil
        arrived.removeAll(keepingCapacity: true)
    }
}

/// What a demand still wants.
private struct WantedExperts {
    /// Not asked of the drive yet, the first one last.
    var missing: [ExpertID] = []
    /// Slots whose bundle is there and was not handed out; the lease's are the last ones.
    var ready: [SlotIndex] = []
    var leasedCount = 0
    /// Whether a lease ended since the drive was last looked at.
    var wereLeased = false
    var unfinished = 0

    mutating func begin(count: Int) {
        precondition(leasedCount == 0, "a lease lives on")
        missing.removeAll(keepingCapacity: true)
        ready.removeAll(keepingCapacity: true)
        wereLeased = false
        unfinished = count
    }
}

/// Experts of a layer that are demanded: each is handed out once, in the order in which they become
/// available. One at a time.
package struct ExpertDemand: ~Copyable {
    private let weights: ExpertWeights
    private var isOver = false

    fileprivate init(_ weights: ExpertWeights) { self.weights = weights }

    deinit { if !isOver { weights.abandonDemand() } }

    /// Experts that are there, waited for if there are none; nil when all were handed out. The
    /// lease before must be over.
    ///
    /// - Throws: `ReadFailure` when a bundle cannot be read or is damaged. The cache then holds
    ///   only good bundles.
    package mutating func next() throws(ReadFailure) -> ExpertLease? {
        guard try weights.findReady() else {
            isOver = true
            return nil
        }
        return weights.lease()
    }
}

/// Some experts in memory, for as long as this lives. Then their slots may be taken for others.
package struct ExpertLease: ~Copyable {
    package let count: Int
    private let weights: ExpertWeights

    fileprivate init(_ weights: ExpertWeights, count: Int) {
        self.weights = weights
        self.count = count
    }

    deinit { weights.endLease() }

    /// An expert's number in its layer.
    package func number(_ index: Int) -> Int { weights.leased(index).number }

    /// An expert's bundle: gate, up and down in row tiles.
    @_lifetime(borrow self)
    package func bytes(_ index: Int) -> RawSpan {
        let place = weights.leased(index)
        let arena = weights.arena
        let bytes = arena.bytes(at: place.offset, byteCount: place.byteCount)
        return unsafe _overrideLifetime(bytes, borrowing: self)
    }
}
