// Decides, before anything is read, which weights stay in memory and which are streamed: pure
// arithmetic on the manifest and a number of bytes.

package import ModelFormat

/// One extent of an always-needed matrix, or some bundles of a layer's neurons.
package struct DenseUnit: Sendable, Equatable {
    /// What an extent holds rows of.
    package enum Content: Sendable, Equatable {
        /// A matrix, by its index in the manifest.
        case matrix(Int)
        /// A layer's neurons.
        case neurons(layer: Int)
    }

    package let content: Content
    /// Nil for the output matrix.
    package let layer: Int?
    package let extent: PackedMatrixExtent
    /// Where it stays in the arena; nil when it is streamed through the ring.
    package var pinnedOffset: Int?
    /// Bytes that it takes in memory: a whole number of blocks.
    package var footprint: Int { PackedLayout.aligned(extent.byteCount) }
}

/// How the bytes for weights are used.
///
/// Arena layout: pinned extents, the ring's slots, room for one layer's neurons where they are
/// streamed in another order than they are summed in, neurons' rows and slots, expert slots, and
/// embedding windows. Rows of neurons may begin where the ring does: decoding uses them, prompts
/// the ring.
package struct WeightPlan: Sendable, Equatable {
    /// Ring slots when dense weights are streamed; two is the least that overlaps reading and
    /// computing.
    package static let ringSlotsMin = 2
    package static let ringSlotsMax = 8
    /// Dense bytes after which pinned and streamed runs repeat, in rings.
    private static let ringsPerPeriod = 4

    /// Every always-needed extent in execution order, the output matrix last.
    package private(set) var units: [DenseUnit]
    package private(set) var pinnedBytes = 0
    package internal(set) var ringSlotCount = 0
    /// How the ring grows while a prompt's pass stays in each layer.
    package internal(set) var lending: RingLending?
    /// How neurons are fetched one by one; nil where they are not.
    package internal(set) var sparse: SparsePlan?
    package let ringSlotBytes: Int
    package private(set) var expertSlotCount = 0
    package let expertSlotBytes: Int
    /// Tiles of tied embeddings that are read at once.
    private static let tileWindowsMax = 32
    /// Windows of the embeddings that can be read at once: one per token of a step, or of some of
    /// them.
    package let embeddingWindowCount: Int
    package let embeddingWindowBytes: Int
    /// Bytes for the records of a layer whose neurons are reordered, where dense weights stream.
    package private(set) var stagingBytes = 0

    /// The smallest number of bytes that works for `manifest`.
    package static func bytesMin(
        _ manifest: PackedManifest, tokensPerStep: Int, sparse: SparseOptions? = nil
    ) -> Int {
        let empty = WeightPlan(manifest, tokensPerStep: tokensPerStep)
        let everything = empty.denseBytes
        let streamed =
            Self.ringSlotsMin * empty.ringSlotBytes + Self.stagingBytes(manifest)
            + (sparse.map { sparseBytesMin(manifest, $0) } ?? 0)
        let floor = empty.expertSlotsMin(manifest) * empty.expertSlotBytes
        return min(everything, streamed) + floor + empty.embeddingBytes
    }

    /// The number of bytes with which nothing is read twice.
    package static func bytesResident(_ manifest: PackedManifest, tokensPerStep: Int) -> Int {
        let empty = WeightPlan(manifest, tokensPerStep: tokensPerStep)
        let experts = manifest.experts.reduce(0) { $0 + $1.count } * empty.expertSlotBytes
        return empty.denseBytes + experts + empty.embeddingBytes
    }

    /// Divides `bytesMax`: dense weights first, because every token needs them; experts get the
    /// rest.
    ///
    /// - Parameter sparse: how to fetch neurons one by one where not all fit; nil streams them
    ///   whole.
    /// - Precondition: `bytesMax` is at least ``bytesMin(_:tokensPerStep:sparse:)``.
    package init(
        _ manifest: PackedManifest, bytesMax: Int, tokensPerStep: Int,
        sparse: SparseOptions? = nil
    ) {
        self.init(manifest, tokensPerStep: tokensPerStep)
        let expertsFloor = expertSlotsMin(manifest) * expertSlotBytes
        let denseMax = bytesMax - embeddingBytes - expertsFloor
        if denseBytes <= denseMax {
            pin { _ in true }
        } else {
            stagingBytes = Self.stagingBytes(manifest)
            let denseMax = denseMax - stagingBytes
            if let sparse {
                planSparse(manifest, sparse, bytesMax: denseMax)
                return
            }
            precondition(
                denseMax >= Self.ringSlotsMin * ringSlotBytes, "callers check the least first")
            ringSlotCount = max(
                Self.ringSlotsMin, min(Self.ringSlotsMax, denseMax / 4 / ringSlotBytes))
            pinRuns(
                bytesMax: denseMax - ringSlotCount * ringSlotBytes, among: unitIndices)
            lending = ringLending(manifest)
        }
        guard expertSlotBytes > 0 else { return }
        let left =
            bytesMax - embeddingBytes - stagingBytes - pinnedBytes - ringSlotCount * ringSlotBytes
        let total = manifest.experts.reduce(0) { $0 + $1.count }
        expertSlotCount = min(total, left / expertSlotBytes)
    }

    /// The sizes of everything, before anything is decided.
    package init(_ manifest: PackedManifest, tokensPerStep: Int) {
        units = manifest.matrices.indices.flatMap { matrix in
            (0..<manifest.matrices[matrix].extentCount).map { index in
                DenseUnit(
                    content: .matrix(matrix), layer: manifest.matrices[matrix].layer,
                    extent: manifest.matrices[matrix].extent(index))
            } + Self.neuronUnits(manifest, after: matrix)
        }
        ringSlotBytes = units.map(\.footprint).max() ?? 0
        expertSlotBytes = manifest.experts.map(\.stride).max() ?? 0
        let tables = manifest.rowTables.compactMap { manifest[$0] }
        // A tile takes as much memory as 16 rows: some tokens at a time.
        embeddingWindowCount =
            tables.contains { $0.rowsPerExtent != nil }
            ? min(tokensPerStep, Self.tileWindowsMax) : tokensPerStep
        embeddingWindowBytes =
            tables.map {
                $0.lookupBytesMax
                    + ($0.rowsPerExtent == nil ? 0 : PackedLayout.aligned($0.rowBytes))
            }.max() ?? 0
    }

    package subscript(unit: UnitIndex) -> DenseUnit { units[unit.index] }

    package var unitIndices: [UnitIndex] { units.indices.map { UnitIndex($0) } }

    package var denseBytes: Int { units.reduce(0) { $0 + $1.footprint } }
    package var embeddingBytes: Int { embeddingWindowCount * embeddingWindowBytes }
    package var ringBytes: Int { ringSlotCount * ringSlotBytes }
    package var expertBytes: Int { expertSlotCount * expertSlotBytes }
    package var arenaBytes: Int { embeddingOffset + embeddingBytes }
    package var ringOffset: Int { pinnedBytes }
    package var stagingOffset: Int { pinnedBytes + ringBytes }
    package var windowOffset: Int {
        sparse?.sharesRing == true ? ringOffset : stagingOffset + stagingBytes
    }
    package var sparseSlotsOffset: Int {
        PackedLayout.aligned(
            max(stagingOffset + stagingBytes, windowOffset + (sparse?.windowBytes ?? 0)))
    }
    package var expertOffset: Int { sparseSlotsOffset + (sparse?.slotsBytes ?? 0) }
    package var embeddingOffset: Int { expertOffset + expertBytes }
    /// Whether dense weights pass through the ring.
    package var streamsDense: Bool { ringSlotCount > 0 }

    /// One layer's used experts must fit at once, or a token's own experts would evict each other.
    private func expertSlotsMin(_ manifest: PackedManifest) -> Int {
        manifest.experts.isEmpty ? 0 : manifest.shape.experts?.usedCount ?? 0
    }

    /// A layer's neurons follow its last matrix, the first projection.
    private static func neuronUnits(_ manifest: PackedManifest, after matrix: Int) -> [DenseUnit] {
        guard let neurons = manifest.neurons, let layer = manifest.matrices[matrix].layer,
            manifest.matrices[matrix + 1].layer != layer
        else { return [] }
        return (0..<neurons[layer].extentCount).map { index in
            DenseUnit(
                content: .neurons(layer: layer), layer: layer,
                extent: neurons[layer].extent(index))
        }
    }

    private static func stagingBytes(_ manifest: PackedManifest) -> Int {
        (manifest.neurons ?? []).filter(\.isReordered).map {
            PackedLayout.aligned($0.count * $0.restBytes)
        }.max() ?? 0
    }

    private mutating func pin(where isPinned: (Int) -> Bool) {
        for index in units.indices where isPinned(index) {
            units[index].pinnedOffset = pinnedBytes
            pinnedBytes += units[index].footprint
        }
    }

    /// Pins runs of extents, spread evenly over the execution order: what lies between two runs is
    /// read from front to back, which drives like best, and while a run computes the ring fills
    /// again, so the drive is never idle. A run is short beside what the ring holds: computing is
    /// an order of magnitude faster than reading.
    mutating func pinRuns(bytesMax: Int, among candidates: [UnitIndex]) {
        let period = Self.ringsPerPeriod * max(ringBytes, 1)
        let sum = candidates.reduce(0) { $0 + self[$1].footprint }
        let pinnedOfPeriod = Int(Double(period) * Double(bytesMax) / Double(max(sum, 1)))
        var left = bytesMax
        var walked = 0
        var isPinned = [Bool](repeating: false, count: units.count)
        func take(_ unit: UnitIndex) {
            guard !isPinned[unit.index], self[unit].footprint <= left else { return }
            isPinned[unit.index] = true
            left -= self[unit].footprint
        }
        for unit in candidates {
            if walked % period < pinnedOfPeriod { take(unit) }
            walked += self[unit].footprint
        }
        for unit in candidates.reversed() { take(unit) }
        pin { isPinned[$0] }
    }
}
