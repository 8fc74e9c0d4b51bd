// Memory when neurons are fetched one by one: what every token needs stays as far as it fits, then
// come windows of neurons. Prompts stream everything else through the ring.

package import Knobs
internal import ModelFormat

/// How neurons are to be fetched.
package struct SparseOptions: Sendable, Equatable {
    /// Not `off`.
    package var mode: SparseMode
    /// How much of the windows' memory each layer gets, as any numbers; nil is equal parts.
    package var shares: [Float]?
    /// Whether neurons stay in memory once they were fetched. Without, for measurements.
    package var keepsWindows = true
    /// Reads rows and columns one by one, as where they are not bundled: for measurements.
    package var readsApart = false

    package init(mode: SparseMode, shares: [Float]? = nil) {
        precondition(mode != .off)
        self.mode = mode
        self.shares = shares
    }
}

/// The memory for neurons that are fetched one by one.
package struct SparsePlan: Sendable, Equatable {
    package let mode: SparseMode
    /// Bytes of a neuron's row.
    package let rowBytes: Int
    /// Rows of all layers' windows, and those for neurons that are fetched.
    package let windowRows: [Int]
    package let transitRows: Int
    /// Reads of bundles at once, and the bytes of the largest.
    package let slotCount: Int
    package let slotBytes: Int
    package let readsApart: Bool
    /// Whether the first rows lie where prompts have the ring and what they stage.
    package let sharesRing: Bool

    package var rowCount: Int { windowRows.reduce(transitRows, +) }
    package var windowBytes: Int { rowCount * rowBytes }
    package var slotsBytes: Int { slotCount * slotBytes }

    /// The part of a neuron's record that is fetched and kept.
    func part(_ layer: PackedNeuronLayer) -> Range<Int> { Self.part(layer, mode) }

    private static func part(_ layer: PackedNeuronLayer, _ mode: SparseMode) -> Range<Int> {
        (mode == .exact ? layer.firstBytes : 0)..<layer.recordBytes
    }

    /// The largest part at any alignment that kernels like.
    static func rowBytes(_ manifest: PackedManifest, _ mode: SparseMode) -> Int {
        let largest = (manifest.neurons ?? []).map { part($0, mode).count }.max() ?? 0
        return (largest + 31) / 32 * 32
    }
}

extension WeightPlan {
    private static let sparseSlotCounts = 4...128
    private static let sparseSlotBytesMax = 4 << 10
    /// Of all neurons' bytes, what slots take; of a layer's neurons, those that are fetched
    /// together. Most of the memory is the windows'.
    private static let slotsDivisor = 128
    private static let transitDivisor = 16
    private static let transitRowsMin = 16

    /// Bytes without which neurons cannot be fetched, beyond the ring.
    static func sparseBytesMin(_ manifest: PackedManifest, _ options: SparseOptions) -> Int {
        let plan = sparsePlan(manifest, options, windowRows: 0)
        return plan.windowBytes + plan.slotsBytes + PackedLayout.alignment
    }

    /// Bytes for neurons that are fetched one by one.
    package var sparseBytes: Int {
        sparse == nil ? 0 : expertOffset - stagingOffset - stagingBytes
    }

    /// Rows of neurons that prompts cannot use: these come first.
    package var sharedRowCount: Int {
        guard let sparse, sparse.sharesRing else { return 0 }
        return min(
            sparse.rowCount,
            (ringBytes + stagingBytes + sparse.rowBytes - 1) / sparse.rowBytes)
    }

    /// - Parameter windowRows: of all layers together.
    private static func sparsePlan(
        _ manifest: PackedManifest, _ options: SparseOptions, windowRows: Int,
        sharesRing: Bool = false
    ) -> SparsePlan {
        let layers = manifest.neurons ?? []
        let bundle = layers.map(\.bundleBytes).max() ?? 1
        let neurons = layers.map(\.count).max() ?? 0
        let slotsBytes = layers.reduce(0) { $0 + $1.byteCount } / slotsDivisor
        let slotBytes =
            max(1, min(sparseSlotBytesMax, slotsBytes / sparseSlotCounts.lowerBound) / bundle)
            * bundle
        return SparsePlan(
            mode: options.mode, rowBytes: SparsePlan.rowBytes(manifest, options.mode),
            windowRows: divide(windowRows, layers, options.shares),
            transitRows: max(transitRowsMin, neurons / transitDivisor),
            slotCount: min(
                max(slotsBytes / slotBytes, sparseSlotCounts.lowerBound),
                sparseSlotCounts.upperBound), slotBytes: slotBytes,
            readsApart: options.readsApart, sharesRing: sharesRing)
    }

    /// So many rows among the layers, none with more than it has neurons.
    private static func divide(
        _ rows: Int, _ layers: [PackedNeuronLayer], _ shares: [Float]?
    ) -> [Int] {
        var result = [Int](repeating: 0, count: layers.count)
        var left = rows
        let shares = shares ?? layers.map { Float($0.count) }
        // A layer that is full leaves its part to the others.
        while left > 0 {
            let open = layers.indices.filter { result[$0] < layers[$0].count }
            let sum = open.reduce(Float(0)) { $0 + max(shares[$1], 1e-6) }
            guard !open.isEmpty else { break }
            let before = left
            for layer in open {
                let part = max(1, Int(Float(before) * max(shares[layer], 1e-6) / sum))
                let more = min(part, layers[layer].count - result[layer], left)
                result[layer] += more
                left -= more
            }
        }
        return result
    }

    /// Whether decoding a token needs a unit whole.
    func isDecoded(_ unit: UnitIndex, _ manifest: PackedManifest) -> Bool {
        guard let sparse else { return true }
        guard case .matrix(let matrix) = self[unit].content else { return false }
        guard sparse.mode == .predicted else { return true }
        return ![.feedForwardGate, .feedForwardUp].contains(manifest.matrices[matrix].role)
    }

    /// Divides `bytesMax`: what is decoded whole stays first, windows get the rest.
    mutating func planSparse(
        _ manifest: PackedManifest, _ options: SparseOptions, bytesMax: Int
    ) {
        ringSlotCount = Self.ringSlotsMin
        let least = Self.sparsePlan(manifest, options, windowRows: 0)
        sparse = least
        let left =
            bytesMax - ringBytes - least.windowBytes - least.slotsBytes - PackedLayout.alignment
        precondition(left >= 0, "callers check the least first")
        let decoded = unitIndices.filter { isDecoded($0, manifest) }
        pinRuns(bytesMax: left, among: decoded)
        if options.keepsWindows, decoded.allSatisfy({ self[$0].pinnedOffset != nil }) {
            // Decoding needs no ring then, nor what prompts stage.
            let rowsBytes = left - pinnedBytes + ringBytes + stagingBytes + least.windowBytes
            sparse = Self.sparsePlan(
                manifest, options,
                windowRows: rowsBytes / least.rowBytes - least.transitRows, sharesRing: true)
        }
        lending = ringLending(manifest)
    }
}
