// Which of a layer's neurons stay in memory: those that fired lately, and those that fire often.
// Bookkeeping alone, without memory or reading of its own.

/// A neuron whose record was read, and where to.
package struct FetchedNeuron: Sendable, Equatable {
    package let neuron: NeuronID
    package let row: RowIndex

    package init(_ neuron: NeuronID, row: RowIndex) {
        self.neuron = neuron
        self.row = row
    }
}

/// A layer's window: as many neurons as it has rows for.
///
/// "LLM in a flash" (arXiv 2312.11514, section 3.1) keeps whoever fired in the last k tokens, k as
/// large as memory allows. The same memory holds more of what comes next when neurons are ranked by
/// two averages of their firing, one that forgets within a few tokens and one within some dozens,
/// and by how often they fire in general where calibration has measured that
/// (docs/LLM-IN-A-FLASH.md).
package struct NeuronWindow: Sendable {
    /// What of the averages a token keeps, and how much the fast one counts.
    private static let fastKeeps: Float = 0.8
    private static let slowKeeps: Float = 0.95
    private static let fastWeight: Float = 0.3
    private static let frequencyWeight: Float = 2

    /// Rows that the layer may have.
    package let rowsMax: Int
    /// Row of each neuron, or -1.
    private var rowOf: [Int32]
    /// The neurons that have rows, in no order.
    private var members: [NeuronID] = []
    private var fast: [Float]
    private var slow: [Float]
    /// In 65535ths of all tokens; empty where nobody measured it.
    private var frequencies: [UInt16] = []
    /// Room to rank in.
    private var ranks: [UInt64] = []

    package init(neuronCount: Int, rowsMax: Int) {
        self.rowsMax = min(rowsMax, neuronCount)
        rowOf = Array(repeating: -1, count: neuronCount)
        fast = Array(repeating: 0, count: neuronCount)
        slow = fast
        members.reserveCapacity(self.rowsMax)
        ranks.reserveCapacity(neuronCount)
    }

    /// Bytes that a window of `neuronCount` neurons takes.
    package static func byteCount(neuronCount: Int) -> Int { neuronCount * (4 + 4 + 4 + 4 + 8) }

    package var count: Int { members.count }

    /// Counts how often neurons fire in general, from now on.
    ///
    /// - Parameter frequencies: one for each neuron, in 65535ths of all tokens.
    package mutating func rank(by frequencies: [UInt16]) {
        precondition(frequencies.count == rowOf.count, "one for each neuron")
        self.frequencies = frequencies
    }

    /// Where a neuron is; nil when it is not in memory.
    package func row(of neuron: NeuronID) -> RowIndex? {
        let row = rowOf[neuron.index]
        return row < 0 ? nil : RowIndex(rawValue: row)
    }

    /// Learns from a token: how likely each neuron was to fire, or 1 and 0 where that is known.
    package mutating func note(_ likelihoods: Span<Float>) {
        precondition(likelihoods.count >= rowOf.count)
        for neuron in rowOf.indices {
            let value = likelihoods[neuron]
            fast[neuron] = fast[neuron] * Self.fastKeeps + value * (1 - Self.fastKeeps)
            slow[neuron] = slow[neuron] * Self.slowKeeps + value * (1 - Self.slowKeeps)
        }
    }

    /// Puts neurons that were fetched into the window, in the place of those that rank lower.
    ///
    /// - Parameters:
    ///   - fetched: not in the window, each with the row that its record is in.
    ///   - release: told each row that nobody has any more: of a neuron that left, or of a fetched
    ///     one that does not stay.
    package mutating func admit(
        _ fetched: [FetchedNeuron], release: (RowIndex) -> Void
    ) {
        for item in fetched { rowOf[item.neuron.index] = item.row.rawValue }
        members += fetched.map(\.neuron)
        guard members.count > rowsMax else { return }
        ranks.removeAll(keepingCapacity: true)
        for neuron in members { ranks.append(rank(neuron)) }
        let leaving = members.count - rowsMax
        Selection.putLowestFirst(&ranks, count: leaving)
        members.removeAll(keepingCapacity: true)
        for (index, rank) in ranks.enumerated() {
            let neuron = NeuronID(rawValue: Int32(truncatingIfNeeded: rank))
            if index < leaving {
                release(RowIndex(rawValue: rowOf[neuron.index]))
                rowOf[neuron.index] = -1
            } else {
                members.append(neuron)
            }
        }
    }

    /// A neuron's worth, and its number in the low half. Worth is never negative: as bits it sorts
    /// as it does as a number.
    private func rank(_ number: NeuronID) -> UInt64 {
        let neuron = number.index
        var worth = slow[neuron] + fast[neuron] * Self.fastWeight
        if !frequencies.isEmpty {
            worth += Float(frequencies[neuron]) * (Self.frequencyWeight / 65535)
        }
        return UInt64(worth.bitPattern) << 32 | UInt64(UInt32(bitPattern: number.rawValue))
    }

    /// Chooses who should be in memory of all neurons, and lets the others go.
    ///
    /// - Parameters:
    ///   - count: of neurons that may be.
    ///   - release: told the row of each that goes.
    ///   - want: told each that should come: ``insert(_:row:)`` follows.
    package mutating func choose(
        _ count: Int, release: (RowIndex) -> Void, want: (NeuronID) -> Void
    ) {
        precondition(count <= rowsMax)
        ranks.removeAll(keepingCapacity: true)
        for neuron in rowOf.indices { ranks.append(rank(NeuronID(neuron))) }
        let leaving = rowOf.count - count
        Selection.putLowestFirst(&ranks, count: leaving)
        members.removeAll(keepingCapacity: true)
        for (index, rank) in ranks.enumerated() {
            let neuron = NeuronID(rawValue: Int32(truncatingIfNeeded: rank))
            let row = rowOf[neuron.index]
            if index >= leaving {
                if row < 0 { want(neuron) } else { members.append(neuron) }
            } else if row >= 0 {
                release(RowIndex(rawValue: row))
                rowOf[neuron.index] = -1
            }
        }
    }

    /// A neuron that ``choose(_:release:want:)`` wanted has a row.
    package mutating func insert(_ neuron: NeuronID, row: RowIndex) {
        precondition(
            rowOf[neuron.index] < 0 && members.count < rowsMax, "a neuron that was wanted")
        rowOf[neuron.index] = row.rawValue
        members.append(neuron)
    }

    /// Calls `body` with each neuron in memory.
    package func forEach(_ body: (NeuronID) -> Void) { for neuron in members { body(neuron) } }

    /// Lets those go that are in the first `count` rows.
    package mutating func removeMembers(inFirst count: Int) {
        members.removeAll { neuron in
            guard rowOf[neuron.index] < count else { return false }
            rowOf[neuron.index] = -1
            return true
        }
    }
}

/// Hoare's selection (1961).
enum Selection {
    /// Reorders so that the `count` lowest values come first, in any order.
    static func putLowestFirst(_ values: inout [UInt64], count: Int) {
        var (low, high) = (0, values.count - 1)
        while low < high {
            let pivot = values[low + (high - low) / 2]
            var (left, right) = (low, high)
            while left <= right {
                while values[left] < pivot { left += 1 }
                while values[right] > pivot { right -= 1 }
                guard left <= right else { break }
                values.swapAt(left, right)
                left += 1
                right -= 1
            }
            if count <= right {
                high = right
            } else if count >= left {
                low = left
            } else {
                return
            }
        }
    }
}
