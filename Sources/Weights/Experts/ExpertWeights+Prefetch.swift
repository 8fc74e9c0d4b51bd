// Reading experts before they are demanded: guesses about the next layer, read behind the present
// demand, as many as the drive can bring while nobody waits for it. A wrong guess costs flash time
// that was idle and a slot that nobody needs soon; it never fails a request.

package import FlashStorage
internal import ModelFormat

/// What became of prefetches.
package struct PrefetchStatistics: Sendable, Equatable {
    /// Bundles read ahead, and those of them that were demanded before they left.
    package var read = 0
    package var used = 0
    /// Demanded bundles that were not in memory when their layer was predicted, and how many of
    /// them the guess named.
    package var missing = 0
    package var named = 0

    package init() {}

    package static func - (left: Self, right: Self) -> Self {
        var difference = Self()
        difference.read = left.read - right.read
        difference.used = left.used - right.used
        difference.missing = left.missing - right.missing
        difference.named = left.named - right.named
        return difference
    }
}

/// Experts that a layer will probably demand.
struct ExpertPrediction {
    private(set) var layer = -1
    /// Not in memory, likeliest first.
    private(set) var missing: [ExpertID] = []
    /// Of `missing`, how many were read or given up.
    private(set) var next = 0
    /// Slots read ahead whose bundle nobody has demanded yet.
    var isUnused: [Bool]

    init(slotCount: Int) { isUnused = Array(repeating: false, count: slotCount) }

    mutating func begin(layer: Int, missing experts: some Sequence<ExpertID>) {
        self.layer = layer
        missing.removeAll(keepingCapacity: true)
        missing.append(contentsOf: experts)
        next = 0
    }

    mutating func popFirst() -> ExpertID? {
        guard next < missing.count else { return nil }
        next += 1
        return missing[next - 1]
    }

    mutating func drop() { next = missing.count }
}

extension ExpertWeights {
    /// Says what layer `layer` will probably demand, likeliest first; replaces what was said
    /// before. Reading begins with the present layer's demand, or with ``issuePrefetches()``.
    package func predict(layer: Int, _ experts: [Int32]) {
        let ids = experts.lazy.map { self.directory.expert(Int($0), layer: layer) }
        prediction.begin(layer: layer, missing: ids.filter { self.cache.slot(of: $0) == nil })
    }

    /// Reads guesses while nothing else is asked of the drive that is not under way.
    package func issuePrefetches() throws(ReadFailure) {
        while cache.loadingCount < prefetchesMax, let expert = prediction.popFirst() {
            guard cache.slot(of: expert) == nil else { continue }
            guard let slot = cache.takeAhead(for: expert, evicts: true) else { return }
            prediction.isUnused[slot.index] = true
            prefetches.read += 1
            try read(expert, into: slot)
        }
    }

    /// Compares a layer's demand with its prediction.
    func judgePrediction(layer: Int, _ demanded: [Int]) {
        guard prediction.layer == layer else { return }
        prediction.drop()
        for number in demanded {
            let expert = directory.expert(number, layer: layer)
            let isNamed = prediction.missing.contains(expert)
            let slot = cache.slot(of: expert)
            if isNamed || slot == nil { prefetches.missing += 1 }
            if isNamed { prefetches.named += 1 }
            if let slot, prediction.isUnused[slot.index] {
                prediction.isUnused[slot.index] = false
                prefetches.used += 1
            }
        }
    }
}

extension WeightDirectory {
    /// Whether guesses can help: experts are streamed, and one token's leave room for more.
    var canPrefetch: Bool {
        guard let used = manifest.shape.experts?.usedCount else { return false }
        let all = manifest.experts.reduce(0) { $0 + $1.count }
        return plan.expertSlotCount < all && plan.expertSlotCount >= 4 * used
    }
}
