// Experts: those in memory compute while the missing ones are read, all at once; each missing one
// computes when its read completes.

package import FlashStorage
internal import LinuxSystem
internal import ModelFormat

extension WeightStore {
    /// Calls `body` once for each of `demanded`, in the order in which they become available.
    ///
    /// - Parameters:
    ///   - layer: the model's layer, which has experts.
    ///   - demanded: expert numbers of that layer, without repeats.
    ///   - meanwhile: called once, when what is missing was asked of the drive.
    ///   - body: gets the expert's number, its bundle (gate, up and down in row tiles), and whether
    ///     it is the last of those available at present. Bundles since the last such one stay where
    ///     they are until that call returns, so that they can be computed on together.
    /// - Throws: `ReadFailure` when a bundle cannot be read or is damaged. The cache then holds
    ///   only good bundles.
    package func withExperts(
        layer: Int, _ demanded: [Int], meanwhile: () throws(ReadFailure) -> Void = {},
        _ body: (Int, RawSpan, Bool) -> Void
    ) throws(ReadFailure) {
        var demand = beginDemand(layer: layer, demanded)
        do throws(ReadFailure) {
            try issueMisses(&demand)
            try meanwhile()
            while demand.unfinished > 0 {
                try takeArrivals(&demand)
                try issueMisses(&demand)
                if demand.missing.isEmpty { try issuePrefetches() }
                let hasReady = !demand.ready.isEmpty
                if hasReady { computeReady(&demand, body) }
                try reads.collect(waiting: !hasReady && demand.unfinished > 0)
            }
        } catch {
            // What is still under way may fail too, and must not fail the next demand.
            reads.settle { experts.isLoading }
            experts.releaseAll()
            firstFailure = nil
            arrivedSlots.removeAll(keepingCapacity: true)
            throw error
        }
    }

    private struct Demand {
        var layer: Int
        var missing: [ExpertID] = []
        /// Slots whose bundle is there and not yet computed on.
        var ready: [SlotIndex] = []
        var unfinished: Int
    }

    private func beginDemand(layer: Int, _ demanded: [Int]) -> Demand {
        arrivedSlots.removeAll(keepingCapacity: true)
        judgePrediction(layer: layer, demanded)
        experts.beginDemand(layer: layer, returnsAtOnce: mode.staysInLayer)
        var demand = Demand(layer: layer, unfinished: demanded.count)
        for number in demanded {
            let expert = directory.expert(number, layer: layer)
            guard let slot = experts.slot(of: expert) else {
                demand.missing.append(expert)
                continue
            }
            experts.hold(slot)
            if experts.isReady(slot) { demand.ready.append(slot) }
        }
        uses.hits += demanded.count - demand.missing.count
        uses.misses += demand.missing.count
        demand.missing.reverse()
        return demand
    }

    /// Bundles may also arrive while dense weights are waited for.
    private func takeArrivals(_ demand: inout Demand) throws(ReadFailure) {
        if let failure = firstFailure { throw failure }
        demand.ready += arrivedSlots.filter { experts.isHeld($0) }
        arrivedSlots.removeAll(keepingCapacity: true)
    }

    /// Misses that are read at the same time, at most: enough for any drive. With more, a prompt's
    /// experts would push other layers' out, instead of those of their own that were computed.
    package static let missesAtOnceMax = 8

    private func issueMisses(_ demand: inout Demand) throws(ReadFailure) {
        while experts.loadingCount < Self.missesAtOnceMax, let expert = demand.missing.last,
            let slot = experts.take(for: expert)
        {
            demand.missing.removeLast()
            prediction.isUnused[slot.index] = false
            try read(expert, into: slot)
        }
    }

    /// Starts reading an expert's bundle into the slot that was taken for it.
    func read(_ expert: ExpertID, into slot: SlotIndex) throws(ReadFailure) {
        let extents = directory.extents(of: expert)
        try reads.submit(
            .expert(slot: slot), fileOffset: extents.extent(directory.number(of: expert)).offset,
            byteCount: extents.stride,
            arenaOffset: plan.expertOffset + slot.index * plan.expertSlotBytes)
    }

    /// Hands out what is there. While bundles are missing only some at a time, so that the slots of
    /// those computed on take new reads while the others wait.
    private func computeReady(_ demand: inout Demand, _ body: (Int, RawSpan, Bool) -> Void) {
        let isComplete = demand.missing.isEmpty
        let countMax = isComplete ? demand.ready.count : max(1, plan.expertSlotCount / 4)
        let slots = demand.ready.suffix(countMax)
        let arena = reads.arena
        for (index, slot) in zip(slots.indices, slots) {
            guard case .ready(let expert) = experts.state(of: slot) else {
                preconditionFailure("only arrived bundles are computed on")
            }
            let bytes = directory.extents(of: expert).bundleBytes
            let offset = plan.expertOffset + slot.index * plan.expertSlotBytes
            body(
                directory.number(of: expert), arena.bytes(at: offset, byteCount: bytes),
                index == slots.indices.last)
        }
        for slot in slots { experts.release(slot) }
        demand.unfinished -= slots.count
        demand.ready.removeLast(slots.count)
    }
}
