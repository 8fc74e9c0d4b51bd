// The books of neurons that are fetched one by one: each layer's window, rows without an owner, and
// what is under way.

internal import ModelFormat

/// What happened to neurons that were needed.
package struct SparseStatistics: Sendable, Equatable {
    /// Neurons that were needed, those of them that were in memory, and bundles read for the rest.
    package var needed = 0
    package var resident = 0
    package var bundlesRead = 0
    /// Bytes of records that were needed and fetched; the rest of what was read is alignment and
    /// neighbours.
    package var usefulBytes = 0
    /// Time in the windows' books and in copying records.
    package var managementNanoseconds: UInt64 = 0

    package init() {}

    package static func - (left: Self, right: Self) -> Self {
        var difference = Self()
        difference.needed = left.needed - right.needed
        difference.resident = left.resident - right.resident
        difference.bundlesRead = left.bundlesRead - right.bundlesRead
        difference.usefulBytes = left.usefulBytes - right.usefulBytes
        difference.managementNanoseconds =
            left.managementNanoseconds - right.managementNanoseconds
        return difference
    }
}

/// Bundles next to each other that are read at once.
struct BundleRun: Sendable, Equatable {
    var first: Int
    var count: Int

    /// Runs that cover `bundles` (ascending, no repeats), each of at most `countMax`, with gaps of
    /// at most `gapMax` bundles that nobody needs.
    static func covering(
        _ bundles: [Int32], countMax: Int, gapMax: Int, into runs: inout [BundleRun]
    ) {
        runs.removeAll(keepingCapacity: true)
        for bundle in bundles.map(Int.init) {
            if let last = runs.last, bundle - last.first < countMax,
                bundle - (last.first + last.count) <= gapMax
            {
                runs[runs.count - 1].count = bundle - last.first + 1
            } else {
                runs.append(BundleRun(first: bundle, count: 1))
            }
        }
    }
}

/// The state of all layers.
struct SparseNeurons {
    var windows: [NeuronWindow]
    /// Rows that no window has.
    var freeRows: [Int32]
    /// Whether a prompt has the rows that it shares memory with.
    var hasLentRows = false
    /// Row of each neuron that was fetched for the present layer, or -1.
    var transitRow: [Int32]
    var fetched: [(neuron: Int32, row: Int32)] = []
    /// Whether a neuron of the present layer is to be kept when its bundle arrives.
    var isWanted: [Bool]
    var bundles: [Int32] = []
    var runs: [BundleRun] = []
    /// What each slot reads, and those that read nothing.
    var slotRuns: [BundleRun]
    var freeSlots: [Int]
    var runsLeft = 0
    /// Slots whose reads ended.
    var arrived: [Int] = []
    var statistics = SparseStatistics()

    /// - Parameter plan: nil where no neuron is fetched one by one.
    init(_ plan: SparsePlan?, _ layers: [PackedNeuronLayer]) {
        windows = zip(layers, plan?.windowRows ?? []).map {
            NeuronWindow(neuronCount: $0.count, rowsMax: $1)
        }
        freeRows = (0..<Int32(plan?.rowCount ?? 0)).reversed()
        let neurons = plan == nil ? 0 : layers.map(\.count).max() ?? 0
        transitRow = Array(repeating: -1, count: neurons)
        isWanted = Array(repeating: false, count: neurons)
        let slotCount = plan?.slotCount ?? 0
        slotRuns = Array(repeating: BundleRun(first: 0, count: 0), count: slotCount)
        freeSlots = Array((0..<slotCount).reversed())
    }

    /// Bytes of all this for a model.
    static func byteCount(_ layers: [PackedNeuronLayer]) -> Int {
        layers.reduce(0) { $0 + NeuronWindow.byteCount(neuronCount: $1.count) }
            + 24 * (layers.map(\.count).max() ?? 0)
    }
}
