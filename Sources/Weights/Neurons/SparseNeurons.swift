// The books of neurons that are fetched one by one: each layer's window and the rows without an
// owner; what is being read, in which slots.

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

/// Who has which row of memory.
struct NeuronRows {
    var windows: [NeuronWindow]
    /// Rows that no window has.
    var free: [RowIndex]
    /// Whether a prompt has the rows that it shares memory with.
    var areLent = false
    /// Whether a neuron of the present layer is to be kept when a prompt passes its bundle.
    var isWanted: [Bool]
    /// What was fetched for the present layer.
    private(set) var fetched: [FetchedNeuron] = []
    /// Row of each neuron that was fetched for the present layer, or -1.
    private var transit: [Int32]

    /// - Parameter plan: nil where no neuron is fetched one by one.
    init(_ plan: SparsePlan?, _ layers: [PackedNeuronLayer]) {
        windows = zip(layers, plan?.windowRows ?? []).map {
            NeuronWindow(neuronCount: $0.count, rowsMax: $1)
        }
        free = (0..<(plan?.rowCount ?? 0)).reversed().map { RowIndex($0) }
        let neurons = plan == nil ? 0 : layers.map(\.count).max() ?? 0
        transit = Array(repeating: -1, count: neurons)
        isWanted = Array(repeating: false, count: neurons)
    }

    /// Bytes of all books for a model.
    static func byteCount(_ layers: [PackedNeuronLayer]) -> Int {
        layers.reduce(0) { $0 + NeuronWindow.byteCount(neuronCount: $1.count) }
            + 24 * (layers.map(\.count).max() ?? 0)
    }

    /// Where a neuron of the present layer is in memory.
    func row(of neuron: NeuronID, layer: Int) -> RowIndex? {
        if let row = windows[layer].row(of: neuron) { return row }
        let row = transit[neuron.index]
        return row < 0 ? nil : RowIndex(rawValue: row)
    }

    /// A row for a neuron that is fetched, until ``endFetch(layer:staysInWindow:)``.
    ///
    /// - Precondition: there is one.
    mutating func take(for neuron: NeuronID) -> RowIndex {
        guard let row = free.popLast() else {
            preconditionFailure("there is a row for each neuron that is fetched")
        }
        transit[neuron.index] = row.rawValue
        fetched.append(FetchedNeuron(neuron, row: row))
        return row
    }

    /// What was fetched goes to the layer's window, or to nobody.
    mutating func endFetch(layer: Int, staysInWindow: Bool) {
        for item in fetched { transit[item.neuron.index] = -1 }
        if staysInWindow {
            // Taken apart: the window's call gives rows back to the list beside it.
            var released = free
            free = []
            windows[layer].admit(fetched) { released.append($0) }
            free = released
        } else {
            for item in fetched { free.append(item.row) }
        }
        fetched.removeAll(keepingCapacity: true)
    }

    mutating func wantNobody() {
        for neuron in isWanted.indices { isWanted[neuron] = false }
    }
}

/// What is being fetched.
struct NeuronFetch {
    /// What neurons need, ascending by their first bytes.
    var spans: [NeuronSpan] = []
    /// Not asked of the drive yet, the first one last.
    var runs: [SpanRun] = []
    /// What each slot reads, and those that read nothing.
    var slotRuns: [SpanRun]
    var freeSlots: [SlotIndex]
    /// Runs whose neurons have no rows yet.
    var runsLeft = 0
    /// Slots whose reads ended.
    var arrived: [SlotIndex] = []

    init(_ plan: SparsePlan?) {
        let slotCount = plan?.slotCount ?? 0
        slotRuns = Array(repeating: SpanRun(bytes: 0..<0, spans: 0..<0), count: slotCount)
        freeSlots = (0..<slotCount).reversed().map { SlotIndex($0) }
    }

    /// Whether a slot's read has not ended.
    var areUnderWay: Bool { freeSlots.count + arrived.count < slotRuns.count }

    /// What the spans are read in.
    mutating func divide(bytesMax: Int, gapMax: Int) {
        spans.sort { $0.bytes.lowerBound < $1.bytes.lowerBound }
        SpanRun.covering(spans, bytesMax: bytesMax, gapMax: gapMax, into: &runs)
        runs.reverse()
        runsLeft = runs.count
    }

    /// A slot, and what it is to read; nil when there is nothing more or no slot is free.
    mutating func issue() -> (slot: SlotIndex, run: SpanRun, isLast: Bool)? {
        guard let slot = freeSlots.last, let run = runs.popLast() else { return nil }
        freeSlots.removeLast()
        slotRuns[slot.index] = run
        return (slot, run, runs.isEmpty || freeSlots.isEmpty)
    }

    mutating func end(_ slot: SlotIndex) {
        freeSlots.append(slot)
        runsLeft -= 1
    }

    /// Forgets what was wanted. Reads that are still under way end before the next pass.
    mutating func removeAll() {
        arrived.removeAll(keepingCapacity: true)
        runs.removeAll(keepingCapacity: true)
        runsLeft = 0
        freeSlots = slotRuns.indices.reversed().map { SlotIndex($0) }
    }
}
