// Replays what a run demanded through the store's own cache bookkeeping, and through the best that
// could have been done with knowledge of the future.

package import Measurement
package import Weights

/// One layer's experts that are needed at the same time.
package struct Demand: Sendable {
    package let layer: Int
    /// Without repeats.
    package let experts: [ExpertID]

    package init(layer: Int, experts: [ExpertID]) {
        self.layer = layer
        self.experts = experts
    }
}

package struct HitCount: Sendable, Equatable {
    package private(set) var hits = 0
    package private(set) var demanded = 0

    package var rate: Double { demanded == 0 ? 0 : Double(hits) / Double(demanded) }

    fileprivate mutating func add(hits: Int, of demanded: Int, counts: Bool) {
        guard counts else { return }
        self.hits += hits
        self.demanded += demanded
    }
}

/// What is replayed, through how many slots, from which demand on hits count.
package struct Replay: Sendable {
    let demands: [Demand]
    let shape: RoutingShape
    let slotCount: Int
    /// Misses that are read at the same time, at most.
    let missesAtOnce: Int
    /// Demands before this one only fill the cache.
    let firstCounted: Int

    package init(
        demands: [Demand], shape: RoutingShape, slotCount: Int, missesAtOnce: Int = .max,
        firstCounted: Int = 0
    ) {
        precondition(slotCount > 0, "a cache has slots")
        self.demands = demands
        self.shape = shape
        self.slotCount = slotCount
        self.missesAtOnce = missesAtOnce
        self.firstCounted = firstCounted
    }

    /// As the store does: hits are held, then each miss takes a slot; when none can be had, those
    /// that are ready are computed and let go.
    package func run(_ rules: CacheRules) -> HitCount {
        var cache = ExpertCache(
            slotCount: slotCount, layerCount: shape.layerCount,
            expertsPerLayer: shape.expertsPerLayer, rules: rules)
        var count = HitCount()
        var missing: [ExpertID] = []
        for (index, demand) in demands.enumerated() {
            cache.beginDemand(layer: demand.layer)
            missing.removeAll(keepingCapacity: true)
            for expert in demand.experts {
                if let slot = cache.slot(of: expert) {
                    cache.hold(slot)
                } else {
                    missing.append(expert)
                }
            }
            count.add(
                hits: demand.experts.count - missing.count, of: demand.experts.count,
                counts: index >= firstCounted)
            load(missing, &cache)
            cache.releaseAll()
        }
        return count
    }

    /// Reads so many at a time; what is there by then is computed and let go.
    private func load(_ missing: [ExpertID], _ cache: inout ExpertCache) {
        var loading: [SlotIndex] = []
        for expert in missing {
            var slot = loading.count < missesAtOnce ? cache.take(for: expert) : nil
            if slot == nil {
                for slot in loading { _ = cache.completed(slot: slot, succeeded: true) }
                loading.removeAll(keepingCapacity: true)
                cache.releaseAll()
                slot = cache.take(for: expert)
            }
            guard let slot else { preconditionFailure("a cache has slots") }
            loading.append(slot)
        }
        for slot in loading { _ = cache.completed(slot: slot, succeeded: true) }
    }

    /// Belady's optimum: what is demanded again last leaves first. What was computed may leave at
    /// once, so that no order of reading and computing does better.
    package func optimum() -> HitCount {
        let next = nextDemands()
        var count = HitCount()
        var contents = Foresight(slotCount: slotCount, expertCount: shape.expertCount)
        for (index, demand) in demands.enumerated() {
            let places = demand.experts.indices
            let hits = places.filter { contents.holds(demand.experts[$0]) }
            for place in hits { contents.update(demand.experts[place], due: next[index][place]) }
            for place in Set(places).subtracting(hits).sorted() {
                contents.load(demand.experts[place], due: next[index][place])
            }
            count.add(hits: hits.count, of: places.count, counts: index >= firstCounted)
        }
        return count
    }

    /// For each demand's experts, the demand that needs each next; `Int.max` for never.
    private func nextDemands() -> [[Int]] {
        var upcoming = [Int](repeating: .max, count: shape.expertCount)
        var next = [[Int]](repeating: [], count: demands.count)
        for index in demands.indices.reversed() {
            next[index] = demands[index].experts.map { upcoming[$0.rawValue] }
            for expert in demands[index].experts { upcoming[expert.rawValue] = index }
        }
        return next
    }
}

/// A cache that knows when each expert is needed next.
private struct Foresight {
    private let slotCount: Int
    /// The demand that needs each resident expert next; nil is not resident.
    private var due: [Int?]
    private var resident: [Int] = []

    init(slotCount: Int, expertCount: Int) {
        self.slotCount = slotCount
        due = Array(repeating: nil, count: expertCount)
    }

    func holds(_ expert: ExpertID) -> Bool { due[expert.rawValue] != nil }

    mutating func update(_ expert: ExpertID, due: Int) { self.due[expert.rawValue] = due }

    mutating func load(_ expert: ExpertID, due: Int) {
        if resident.count == slotCount { evict() }
        resident.append(expert.rawValue)
        self.due[expert.rawValue] = due
    }

    private mutating func evict() {
        guard let place = resident.indices.max(by: { dueOf($0) < dueOf($1) }) else { return }
        due[resident[place]] = nil
        resident.swapAt(place, resident.count - 1)
        resident.removeLast()
    }

    private func dueOf(_ place: Int) -> Int { due[resident[place]] ?? 0 }
}
