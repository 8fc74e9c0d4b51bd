// The books of neurons that are fetched one by one: each layer's window, rows without an owner, and
// what is under way.

internal import ModelFormat

/// What happened to neurons that were needed.
package struct SparseStatistics: Sendable, Equatable {
    /// Neurons that were needed, those of them that were in memory, and reads for the rest.
    package var needed = 0
    package var resident = 0
    package var reads = 0
    /// Bytes of what neurons needed of what was read; the rest is alignment and neighbours.
    package var usefulBytes = 0
    /// Time in the windows' books and in copying records.
    package var managementNanoseconds: UInt64 = 0

    package init() {}

    package static func - (left: Self, right: Self) -> Self {
        var difference = Self()
        difference.needed = left.needed - right.needed
        difference.resident = left.resident - right.resident
        difference.reads = left.reads - right.reads
        difference.usefulBytes = left.usefulBytes - right.usefulBytes
        difference.managementNanoseconds =
            left.managementNanoseconds - right.managementNanoseconds
        return difference
    }
}

/// What a neuron needs of its layer's bundles: bytes from the first bundle on, whole blocks.
struct NeuronSpan: Sendable, Equatable {
    var neuron: NeuronID
    var bytes: Range<Int>
}

/// Spans near each other that are read at once.
struct SpanRun: Sendable, Equatable {
    var bytes: Range<Int>
    /// Which spans.
    var spans: Range<Int>

    /// Runs that cover `spans` (ascending by their first bytes), each of at most `bytesMax`, with
    /// gaps of at most `gapMax` that nobody needs.
    static func covering(
        _ spans: [NeuronSpan], bytesMax: Int, gapMax: Int, into runs: inout [SpanRun]
    ) {
        runs.removeAll(keepingCapacity: true)
        for (index, span) in spans.enumerated() {
            let (first, end) = (span.bytes.lowerBound, span.bytes.upperBound)
            if let last = runs.last, end - last.bytes.lowerBound <= bytesMax,
                first - last.bytes.upperBound <= gapMax
            {
                runs[runs.count - 1].bytes =
                    last.bytes.lowerBound..<max(end, last.bytes.upperBound)
                runs[runs.count - 1].spans = last.spans.lowerBound..<index + 1
            } else {
                runs.append(SpanRun(bytes: span.bytes, spans: index..<index + 1))
            }
        }
    }
}

/// The state of all layers.
struct SparseNeurons {
    var windows: [NeuronWindow]
    /// Rows that no window has.
    var freeRows: [RowIndex]
    /// Whether a prompt has the rows that it shares memory with.
    var hasLentRows = false
    /// Row of each neuron that was fetched for the present layer, or -1.
    var transitRow: [Int32]
    var fetched: [FetchedNeuron] = []
    /// Whether a neuron of the present layer is to be kept when a prompt passes its bundle.
    var isWanted: [Bool]
    /// What is being fetched.
    var spans: [NeuronSpan] = []
    var runs: [SpanRun] = []
    /// What each slot reads, and those that read nothing.
    var slotRuns: [SpanRun]
    var freeSlots: [SlotIndex]
    var runsLeft = 0
    /// Slots whose reads ended.
    var arrived: [SlotIndex] = []
    var statistics = SparseStatistics()

    /// - Parameter plan: nil where no neuron is fetched one by one.
    init(_ plan: SparsePlan?, _ layers: [PackedNeuronLayer]) {
        windows = zip(layers, plan?.windowRows ?? []).map {
            NeuronWindow(neuronCount: $0.count, rowsMax: $1)
        }
        freeRows = (0..<(plan?.rowCount ?? 0)).reversed().map { RowIndex($0) }
        let neurons = plan == nil ? 0 : layers.map(\.count).max() ?? 0
        transitRow = Array(repeating: -1, count: neurons)
        isWanted = Array(repeating: false, count: neurons)
        let slotCount = plan?.slotCount ?? 0
        slotRuns = Array(repeating: SpanRun(bytes: 0..<0, spans: 0..<0), count: slotCount)
        freeSlots = (0..<slotCount).reversed().map { SlotIndex($0) }
    }

    /// Bytes of all this for a model.
    static func byteCount(_ layers: [PackedNeuronLayer]) -> Int {
        layers.reduce(0) { $0 + NeuronWindow.byteCount(neuronCount: $1.count) }
            + 24 * (layers.map(\.count).max() ?? 0)
    }
}
