// Which experts are in memory, and which leaves next: bookkeeping of the expert cache, without any
// memory or reading of its own. Least recently used leaves first.

/// An expert of a layer, as one number: `layer * expertsPerLayer + expert`.
package struct ExpertID: Hashable, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
}

struct ExpertSlots {
    enum State: Equatable {
        case empty
        case loading(ExpertID)
        case ready(ExpertID)
    }

    private(set) var states: [State]
    /// Slot of each expert, or -1.
    private var slotOf: [Int]
    /// When each slot was last used; larger is later.
    private var lastUse: [UInt64]
    /// Slots that the present demand needs and that must not be taken.
    private(set) var isHeld: [Bool]
    private var clock: UInt64 = 0

    init(slotCount: Int, expertCount: Int) {
        states = Array(repeating: .empty, count: slotCount)
        slotOf = Array(repeating: -1, count: expertCount)
        lastUse = Array(repeating: 0, count: slotCount)
        isHeld = Array(repeating: false, count: slotCount)
    }

    /// The slot that has or is getting `expert`.
    func slot(of expert: ExpertID) -> Int? {
        let slot = slotOf[expert.rawValue]
        return slot < 0 ? nil : slot
    }

    func isReady(_ slot: Int) -> Bool {
        if case .ready = states[slot] { true } else { false }
    }

    /// Whether any bundle is under way.
    var isLoading: Bool {
        states.contains { if case .loading = $0 { true } else { false } }
    }

    /// Keeps a slot's content until ``release(_:)``.
    mutating func hold(_ slot: Int) {
        isHeld[slot] = true
        clock += 1
        lastUse[slot] = clock
    }

    mutating func release(_ slot: Int) { isHeld[slot] = false }

    mutating func releaseAll() { for slot in isHeld.indices { isHeld[slot] = false } }

    /// Takes a slot for `expert`, evicting the least recently used one that is not held or loading;
    /// nil when there is none. The slot is held.
    mutating func take(for expert: ExpertID) -> Int? {
        guard let slot = victim() else { return nil }
        if case .ready(let old) = states[slot] { slotOf[old.rawValue] = -1 }
        states[slot] = .loading(expert)
        slotOf[expert.rawValue] = slot
        hold(slot)
        return slot
    }

    /// - Returns: the expert whose read ended.
    mutating func completed(slot: Int, succeeded: Bool) -> ExpertID {
        guard case .loading(let expert) = states[slot] else {
            preconditionFailure("a completion for a slot that was not loading")
        }
        if succeeded {
            states[slot] = .ready(expert)
        } else {
            states[slot] = .empty
            slotOf[expert.rawValue] = -1
            isHeld[slot] = false
        }
        return expert
    }

    /// Forgets every bundle that is in memory. None may be under way.
    mutating func removeAll() {
        for slot in states.indices {
            guard case .ready(let expert) = states[slot] else { continue }
            slotOf[expert.rawValue] = -1
            states[slot] = .empty
        }
    }

    private func victim() -> Int? {
        var oldest: Int?
        for slot in states.indices where !isHeld[slot] {
            switch states[slot] {
            case .empty: return slot
            case .loading: continue
            case .ready:
                if oldest.map({ lastUse[slot] < lastUse[$0] }) ?? true { oldest = slot }
            }
        }
        return oldest
    }
}
