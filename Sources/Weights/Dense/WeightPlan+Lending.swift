// Memory for a pass that stays in each layer until all of a prompt's waves are computed: the ring
// must then hold a whole layer. The weights that are needed last lend it their place, and are read
// back when the layers are done.

internal import ModelFormat

/// How the ring grows for a stationary pass.
package struct RingLending: Sendable, Equatable {
    /// Where the larger ring begins in the arena; it ends where the plan's ring does.
    package let offset: Int
    package let byteCount: Int
    /// What the pass streams, in execution order: all layers, without the output matrix.
    package let order: [UnitIndex]
    /// Pinned units whose place the ring takes.
    package let lent: [UnitIndex]
}

extension WeightPlan {
    /// Nil when nothing is streamed, or when one layer does not fit.
    func ringLending(_ manifest: PackedManifest) -> RingLending? {
        guard streamsDense else { return nil }
        // One layer that is computed, and one that is read meanwhile.
        guard
            let lent = lentUnits(manifest, layersHeld: 2) ?? lentUnits(manifest, layersHeld: 1)
        else { return nil }
        let offset = lent.last.flatMap { self[$0].pinnedOffset } ?? pinnedBytes
        let order = unitIndices.filter { unit in
            let stays = self[unit].pinnedOffset.map { $0 < offset } ?? false
            return !stays && self[unit].layer != nil
        }
        return RingLending(
            offset: offset, byteCount: pinnedBytes + ringBytes - offset, order: order, lent: lent)
    }

    /// The fewest units, last one first, with whose place the ring holds so many layers; nil when
    /// all are too few.
    private func lentUnits(_ manifest: PackedManifest, layersHeld: Int) -> [UnitIndex]? {
        var layerBytes = [Int](repeating: 0, count: manifest.shape.layerCount)
        func stream(_ unit: DenseUnit) {
            if let layer = unit.layer { layerBytes[layer] += unit.footprint }
        }
        for unit in units where unit.pinnedOffset == nil { stream(unit) }
        // At the ring's end there may be too little left for a unit.
        let largest = units.filter { $0.layer != nil }.map(\.footprint).max()
        var byteCount = ringBytes
        var lent: [UnitIndex] = []
        var candidates = unitIndices.reversed().filter { self[$0].pinnedOffset != nil }[...]
        while byteCount < layersHeld * (layerBytes.max() ?? 0) + (largest ?? 0) {
            // The output matrix and the last layers are pinned last.
            guard let unit = candidates.popFirst() else { return nil }
            lent.append(unit)
            byteCount += self[unit].footprint
            stream(self[unit])
        }
        return lent
    }
}
