// The heaps of slots that may be evicted, against a plain table that is searched whole.

import TestSupport
import Testing
import Weights

@Suite struct EvictionHeapsTests {
    private static func key(_ rank: Double, _ lastUse: UInt64) -> EvictionKey {
        EvictionKey(rank: rank, lastUse: lastUse)
    }

    @Test func keysCompareByRankThenByUse() {
        #expect(Self.key(1, 9) < Self.key(2, 0))
        #expect(Self.key(1, 3) < Self.key(1, 4))
        #expect(!(Self.key(1, 4) < Self.key(1, 4)) && !(Self.key(2, 0) < Self.key(1, 9)))
    }

    @Test func theLowestLeavesFirst() {
        var heaps = EvictionHeaps(layerCount: 2, capacity: 4, slotCount: 6)
        #expect(heaps.lowest(layer: 0) == nil && !heaps.contains(3))
        for (slot, rank) in [(3, 0.5), (1, 0.25), (5, 0.75)] {
            heaps.insert(slot, layer: 0, key: Self.key(rank, UInt64(slot)))
        }
        heaps.insert(0, layer: 1, key: Self.key(0, 0))
        #expect(heaps.lowest(layer: 0) == 1 && heaps.lowest(layer: 1) == 0)
        #expect(heaps.contains(3) && heaps.key(of: 3) == Self.key(0.5, 3))
        heaps.remove(1, layer: 0)
        #expect(heaps.lowest(layer: 0) == 3 && !heaps.contains(1))
        heaps.updateRanks(layer: 0) { $0 == 5 ? 0 : 1 }
        #expect(heaps.lowest(layer: 0) == 5 && heaps.key(of: 0).rank == 0)
    }

    @Test func randomOperationsEqualAPlainTable() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for _ in 0..<20 {
            var twins = HeapTwins(
                layers: Int.random(in: 1...3, using: &random),
                slots: Int.random(in: 1...40, using: &random))
            for step in 0..<400 {
                twins.step(&random)
                guard twins.agree() else {
                    Issue.record("seed \(seed), step \(step)")
                    return
                }
            }
        }
    }
}

/// The heaps and a table of all slots, given the same operations.
private struct HeapTwins {
    let layers: Int
    let slots: Int
    var heaps: EvictionHeaps
    var table: [Int: (layer: Int, key: EvictionKey)] = [:]
    var clock: UInt64 = 0

    init(layers: Int, slots: Int) {
        self.layers = layers
        self.slots = slots
        heaps = EvictionHeaps(layerCount: layers, capacity: slots, slotCount: slots)
    }

    mutating func step(_ random: inout SplitMix) {
        let slot = Int.random(in: 0..<slots, using: &random)
        if Int.random(in: 0..<12, using: &random) == 0 {
            let layer = Int.random(in: 0..<layers, using: &random)
            let ranks = (0..<slots).map { _ in Double(Int.random(in: 0..<6, using: &random)) }
            heaps.updateRanks(layer: layer) { ranks[$0] }
            for slot in table.keys where table[slot]?.layer == layer {
                table[slot]?.key.rank = ranks[slot]
            }
        } else if let entry = table[slot] {
            // Whoever leaves is the lowest as often as any.
            let isLowest = Bool.random(using: &random)
            let leaving = isLowest ? lowest(entry.layer) ?? slot : slot
            heaps.remove(leaving, layer: entry.layer)
            table[leaving] = nil
        } else {
            // Few ranks, so that many are equal; uses never are.
            clock += 1
            let key = EvictionKey(
                rank: Double(Int.random(in: 0..<6, using: &random)), lastUse: clock)
            let layer = Int.random(in: 0..<layers, using: &random)
            heaps.insert(slot, layer: layer, key: key)
            table[slot] = (layer, key)
        }
    }

    private func lowest(_ layer: Int) -> Int? {
        table.filter { $0.value.layer == layer }.min { $0.value.key < $1.value.key }?.key
    }

    func agree() -> Bool {
        (0..<layers).allSatisfy { heaps.lowest(layer: $0) == lowest($0) }
            && (0..<slots).allSatisfy { slot in
                guard let entry = table[slot] else { return !heaps.contains(slot) }
                return heaps.contains(slot) && heaps.key(of: slot) == entry.key
            }
    }
}
