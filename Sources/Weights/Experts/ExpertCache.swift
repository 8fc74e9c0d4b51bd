// Which experts are in memory, and which leaves next: bookkeeping of the expert cache, without any
// memory or reading of its own. The offline simulator replays traces through the same code.

/// An expert of a layer, as one number: `layer * expertsPerLayer + expert`, where only layers that
/// have experts are counted.
package struct ExpertID: Hashable, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
}

/// The slots of an expert cache.
///
/// Slots that the present demand holds, and slots that are loading, are never evicted. Choosing
/// what leaves takes time in the number of layers and the logarithm of the slots; a layer's demand
/// takes time in its experts. Nothing allocates.
package struct ExpertCache: Sendable {
    package enum State: Equatable, Sendable {
        case empty
        case loading(ExpertID)
        case ready(ExpertID)
    }

    package let rules: CacheRules
    package private(set) var states: [State]
    /// Slots that the present demand needs and that must not be taken.
    private var isHeld: [Bool]
    private let layerCount: Int
    private let expertsPerLayer: Int
    /// Slot of each expert, or -1.
    private var slotOf: [Int32]
    /// When each slot was last used; larger is later.
    private var lastUse: [UInt64]
    /// Whether a slot's bundle was demanded since it was taken.
    private var wasUsed: [Bool]
    private var evictable: EvictionHeaps
    private var protected: [ProtectedSlots]
    /// Empty slots, for each group: a layer's, or all.
    private var free: [[Int32]]
    private let quotas: [Int]
    private let group: [Int32]
    /// Bundles under way.
    package private(set) var loadingCount = 0
    private var uses: UseRates
    private var clock: UInt64 = 0
    private var layerNow = 0
    private var returnsAtOnce = false

    package init(
        slotCount: Int, layerCount: Int, expertsPerLayer: Int, rules: CacheRules = .standard
    ) {
        self.rules = rules
        self.layerCount = layerCount
        self.expertsPerLayer = expertsPerLayer
        let shared = rules.sharing == .global || slotCount < layerCount || layerCount == 0
        let groupCount = shared ? 1 : layerCount
        let quotas = (0..<groupCount).map { index in
            slotCount / groupCount + (index < slotCount % groupCount ? 1 : 0)
        }
        self.quotas = quotas
        let group = quotas.indices.flatMap { Array(repeating: Int32($0), count: quotas[$0]) }
        self.group = group
        free = quotas.indices.map { index in
            (0..<slotCount).reversed().filter { group[$0] == index }.map { Int32($0) }
        }
        states = Array(repeating: .empty, count: slotCount)
        isHeld = Array(repeating: false, count: slotCount)
        wasUsed = isHeld
        lastUse = Array(repeating: 0, count: slotCount)
        slotOf = Array(repeating: -1, count: layerCount * expertsPerLayer)
        evictable = EvictionHeaps(
            layerCount: layerCount, capacity: min(expertsPerLayer, quotas.max() ?? 0),
            slotCount: slotCount)
        let isSegmented = if case .segmented = rules.policy { true } else { false }
        protected = quotas.map { _ in ProtectedSlots(slotCount: isSegmented ? slotCount : 0) }
        uses = UseRates(layerCount: layerCount, expertsPerLayer: expertsPerLayer, rules.policy)
    }

    // MARK: looking

    /// The slot that has or is getting `expert`.
    package func slot(of expert: ExpertID) -> SlotIndex? {
        let slot = slotOf[expert.rawValue]
        return slot < 0 ? nil : SlotIndex(Int(slot))
    }

    package func state(of slot: SlotIndex) -> State { states[slot.index] }

    package func isHeld(_ slot: SlotIndex) -> Bool { isHeld[slot.index] }

    package func isReady(_ slot: SlotIndex) -> Bool {
        if case .ready = state(of: slot) { true } else { false }
    }

    /// Whether any bundle is under way.
    package var isLoading: Bool { loadingCount > 0 }

    /// The share of passes that used each expert, in order of their numbers; a pass a half-life ago
    /// counts half.
    package var popularity: [Float] { uses.values }

    // MARK: using

    /// A layer's demand begins: its experts are held or taken next.
    ///
    /// - Parameter returnsAtOnce: whether the layer's next demand comes before other layers'.
    package mutating func beginDemand(layer: Int, returnsAtOnce: Bool = false) {
        layerNow = layer
        self.returnsAtOnce = returnsAtOnce
        uses.beginPass(layer: layer)
        guard ranksChange else { return }
        evictable.updateRanks(layer: layer) { [states, uses] slot in
            guard case .ready(let expert) = states[slot] else {
                preconditionFailure("only ready bundles are evictable")
            }
            return uses.estimate(expert.rawValue)
        }
    }

    /// Keeps a slot's content until ``release(_:)``, and counts a use.
    package mutating func hold(_ slot: SlotIndex) {
        let slot = slot.index
        if evictable.contains(slot) { evictable.remove(slot, layer: layer(ofSlot: slot)) }
        isHeld[slot] = true
        clock += 1
        lastUse[slot] = clock
        if let expert = expert(in: slot) { uses.count(expert.rawValue) }
        if wasUsed[slot] { protect(slot) }
        wasUsed[slot] = true
    }

    package mutating func release(_ slot: SlotIndex) {
        isHeld[slot.index] = false
        enterHeap(slot.index)
    }

    package mutating func releaseAll() {
        for slot in isHeld.indices where isHeld[slot] { release(SlotIndex(slot)) }
    }

    /// Takes a slot for a demanded `expert`, evicting another one when none is empty; nil when all
    /// are held or loading. The slot is held.
    package mutating func take(for expert: ExpertID) -> SlotIndex? {
        guard let slot = seize(for: expert) else { return nil }
        hold(slot)
        return slot
    }

    /// Takes a slot for an expert that nobody demands yet. Such a slot is not held, and taking it
    /// counts as no use.
    ///
    /// - Parameter evicts: whether another expert may leave for it.
    package mutating func takeAhead(for expert: ExpertID, evicts: Bool) -> SlotIndex? {
        if !evicts, free[groupIndex(of: expert)].isEmpty { return nil }
        return seize(for: expert)
    }

    /// - Returns: the expert whose read ended.
    package mutating func completed(slot: SlotIndex, succeeded: Bool) -> ExpertID {
        let slot = slot.index
        guard case .loading(let expert) = states[slot] else {
            preconditionFailure("a completion for a slot that was not loading")
        }
        loadingCount -= 1
        if succeeded {
            states[slot] = .ready(expert)
            enterHeap(slot)
        } else {
            states[slot] = .empty
            slotOf[expert.rawValue] = -1
            isHeld[slot] = false
            protected[Int(group[slot])].remove(slot)
            free[Int(group[slot])].append(Int32(slot))
        }
        return expert
    }

    /// Forgets every bundle that is in memory, and every use. None may be under way.
    package mutating func removeAll() {
        precondition(loadingCount == 0, "bundles are under way")
        self = ExpertCache(
            slotCount: states.count, layerCount: layerCount, expertsPerLayer: expertsPerLayer,
            rules: rules)
    }

    /// Begins with another run's ``popularity``.
    package mutating func begin(popularity: [Float]) {
        precondition(popularity.count == slotOf.count, "one number for each expert")
        uses.begin(popularity)
    }

    // MARK: choosing

    private mutating func seize(for expert: ExpertID) -> SlotIndex? {
        precondition(slotOf[expert.rawValue] < 0, "the expert has a slot")
        let index = groupIndex(of: expert)
        let slot: Int
        if let empty = free[index].popLast() {
            slot = Int(empty)
        } else if let victim = victim(group: index) {
            evictable.remove(victim, layer: layer(ofSlot: victim))
            if let old = self.expert(in: victim) { slotOf[old.rawValue] = -1 }
            protected[index].remove(victim)
            slot = victim
        } else {
            return nil
        }
        states[slot] = .loading(expert)
        slotOf[expert.rawValue] = Int32(slot)
        wasUsed[slot] = false
        clock += 1
        lastUse[slot] = clock
        loadingCount += 1
        return SlotIndex(slot)
    }

    /// The evictable slot of least worth, of those that come first in their layers.
    private func victim(group index: Int) -> Int? {
        guard free.count == 1 else { return evictable.lowest(layer: index) }
        var best: Int?
        var least = (segment: Double.infinity, worth: 0.0, lastUse: UInt64(0))
        for layer in 0..<layerCount {
            guard let slot = evictable.lowest(layer: layer) else { continue }
            let key = evictable.key(of: slot)
            // Protected experts leave after all others, whatever their layer.
            let segment = ranksChange ? 0 : key.rank
            let found = (segment, worth(key, layer), key.lastUse)
            if found < least { (best, least) = (slot, found) }
        }
        return best
    }

    /// What layers are compared by. Never infinite.
    private func worth(_ key: EvictionKey, _ layer: Int) -> Double {
        let worth = ranksChange ? key.rank : 1 / Double(clock - key.lastUse + 1)
        return switch rules.preference {
        case .none: worth
        case .shallow(let layers, let factor): layer < layers ? worth * factor : worth
        case .soonest:
            worth / Double(demandsUntil(layer: layer))
        }
    }

    /// Demands from the present one to a layer's next, that one counted.
    private func demandsUntil(layer: Int) -> Int {
        let distance = layer - layerNow
        return if returnsAtOnce {
            distance >= 0 ? distance + 1 : distance + layerCount + 1
        } else {
            distance > 0 ? distance : distance + layerCount
        }
    }

    private mutating func enterHeap(_ slot: Int) {
        guard case .ready(let expert) = states[slot], !isHeld[slot], !evictable.contains(slot)
        else { return }
        let rank: Double =
            switch rules.policy {
            case .leastRecent: 0
            case .leastFrequent, .leastLikely: uses.estimate(expert.rawValue)
            case .segmented: protected[Int(group[slot])].contains(slot) ? 1 : 0
            }
        evictable.insert(
            slot, layer: expert.rawValue / expertsPerLayer,
            key: EvictionKey(rank: rank, lastUse: lastUse[slot]))
    }

    /// A second use: the slot joins the protected segment, and another one may have to leave it.
    private mutating func protect(_ slot: Int) {
        guard case .segmented(let percent) = rules.policy else { return }
        let index = Int(group[slot])
        protected[index].append(slot)
        guard protected[index].count > quotas[index] * percent / 100,
            let demoted = protected[index].first
        else { return }
        protected[index].remove(demoted)
        clock += 1
        lastUse[demoted] = clock
        guard evictable.contains(demoted) else { return }
        evictable.remove(demoted, layer: layer(ofSlot: demoted))
        enterHeap(demoted)
    }

    /// Whether ranks come from ``uses``, which change with each pass.
    private var ranksChange: Bool {
        switch rules.policy {
        case .leastFrequent, .leastLikely: true
        case .leastRecent, .segmented: false
        }
    }

    private func groupIndex(of expert: ExpertID) -> Int {
        free.count == 1 ? 0 : expert.rawValue / expertsPerLayer
    }

    private func expert(in slot: Int) -> ExpertID? {
        switch states[slot] {
        case .empty: nil
        case .loading(let expert), .ready(let expert): expert
        }
    }

    private func layer(ofSlot slot: Int) -> Int {
        guard let expert = expert(in: slot) else { preconditionFailure("an empty slot") }
        return expert.rawValue / expertsPerLayer
    }
}
