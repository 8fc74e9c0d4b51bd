// The slots that may be evicted, in one heap per layer: the lowest of a layer is found at once, and
// entering or leaving takes logarithmic time. Allocates nothing after it is made.

/// What a slot is worth among those of its layer. The lowest leaves first.
package struct EvictionKey: Comparable, Sendable {
    package var rank: Double
    /// Decides between equal ranks; larger is later.
    package var lastUse: UInt64

    package init(rank: Double, lastUse: UInt64) {
        self.rank = rank
        self.lastUse = lastUse
    }

    package static func < (left: Self, right: Self) -> Bool {
        left.rank != right.rank ? left.rank < right.rank : left.lastUse < right.lastUse
    }
}

/// The slots of each layer that may be evicted.
package struct EvictionHeaps: Sendable {
    private let capacity: Int
    /// Slots, `capacity` places for each layer; the first of each is the lowest.
    private var places: [Int32]
    private var counts: [Int32]
    /// Place of each slot in its layer's heap, or -1.
    private var placeOf: [Int32]
    private var keys: [EvictionKey]

    /// - Parameter capacity: slots that a layer can have at most.
    package init(layerCount: Int, capacity: Int, slotCount: Int) {
        self.capacity = capacity
        places = Array(repeating: 0, count: layerCount * capacity)
        counts = Array(repeating: 0, count: layerCount)
        placeOf = Array(repeating: -1, count: slotCount)
        keys = Array(repeating: EvictionKey(rank: 0, lastUse: 0), count: slotCount)
    }

    package func contains(_ slot: Int) -> Bool { placeOf[slot] >= 0 }

    package func key(of slot: Int) -> EvictionKey { keys[slot] }

    /// The slot of `layer` that would leave first.
    package func lowest(layer: Int) -> Int? {
        counts[layer] == 0 ? nil : Int(places[layer * capacity])
    }

    package mutating func insert(_ slot: Int, layer: Int, key: EvictionKey) {
        precondition(placeOf[slot] < 0, "a slot is in one heap, once")
        keys[slot] = key
        let place = Int(counts[layer])
        counts[layer] += 1
        put(slot, at: place, layer)
        rise(from: place, layer)
    }

    package mutating func remove(_ slot: Int, layer: Int) {
        let place = Int(placeOf[slot])
        precondition(place >= 0, "the slot is in no heap")
        placeOf[slot] = -1
        counts[layer] -= 1
        let last = Int(counts[layer])
        guard place < last else { return }
        put(Int(places[layer * capacity + last]), at: place, layer)
        rise(from: place, layer)
        sink(from: place, layer)
    }

    /// Gives every slot of `layer` a new rank.
    package mutating func updateRanks(layer: Int, _ rank: (Int) -> Double) {
        for place in 0..<Int(counts[layer]) {
            let slot = slot(at: place, layer)
            keys[slot].rank = rank(slot)
        }
        for place in (0..<Int(counts[layer]) / 2).reversed() { sink(from: place, layer) }
    }

    private mutating func put(_ slot: Int, at place: Int, _ layer: Int) {
        places[layer * capacity + place] = Int32(slot)
        placeOf[slot] = Int32(place)
    }

    private func slot(at place: Int, _ layer: Int) -> Int {
        Int(places[layer * capacity + place])
    }

    private mutating func rise(from start: Int, _ layer: Int) {
        var place = start
        let rising = slot(at: place, layer)
        while place > 0 {
            let above = slot(at: (place - 1) / 2, layer)
            guard keys[rising] < keys[above] else { break }
            put(above, at: place, layer)
            place = (place - 1) / 2
        }
        put(rising, at: place, layer)
    }

    private mutating func sink(from start: Int, _ layer: Int) {
        let count = Int(counts[layer])
        var place = start
        let sinking = slot(at: place, layer)
        while 2 * place + 1 < count {
            var child = 2 * place + 1
            if child + 1 < count, keys[slot(at: child + 1, layer)] < keys[slot(at: child, layer)] {
                child += 1
            }
            guard keys[slot(at: child, layer)] < keys[sinking] else { break }
            put(slot(at: child, layer), at: place, layer)
            place = child
        }
        put(sinking, at: place, layer)
    }
}
