// Which neurons of a layer stay, against a window that sorts all of them for every decision.

import TestSupport
import Testing
import Weights

@Suite struct NeuronWindowTests {
    @Test func whoFiredLatelyStays() {
        var window = NeuronWindow(neuronCount: 4, rowsMax: 2)
        var released: [RowIndex] = []
        func note(_ fired: Set<Int>) {
            let likelihoods = (0..<4).map { fired.contains($0) ? Float(1) : 0 }
            window.note(likelihoods.span)
        }
        note([0, 1])
        window.admit([FetchedNeuron(0, row: 10), FetchedNeuron(1, row: 11)]) { released.append($0) }
        #expect(released.isEmpty && window.count == 2)
        note([1, 2])
        window.admit([FetchedNeuron(2, row: 12)]) { released.append($0) }
        #expect(released == [10] && window.row(of: 0) == nil)
        #expect(window.row(of: 1) == 11 && window.row(of: 2) == 12)
        // What ranks lowest goes even where it has only just come.
        window.admit([FetchedNeuron(3, row: 13)]) { released.append($0) }
        #expect(released == [10, 13] && window.row(of: 3) == nil)
    }

    @Test func frequenciesCount() {
        var window = NeuronWindow(neuronCount: 3, rowsMax: 1)
        window.rank(by: [0, 65535, 3])
        var wanted: [NeuronID] = []
        window.choose(1, release: { _ in }, want: { wanted.append($0) })
        #expect(wanted == [1] && window.count == 0)
        window.insert(1, row: 7)
        #expect(window.row(of: 1) == 7 && window.count == 1)
    }

    @Test func membersOfTheFirstRowsGo() {
        var window = NeuronWindow(neuronCount: 8, rowsMax: 8)
        window.admit(
            [FetchedNeuron(5, row: 0), FetchedNeuron(2, row: 3), FetchedNeuron(7, row: 4)]
        ) { _ in }
        window.removeMembers(inFirst: 4)
        #expect(window.row(of: 5) == nil && window.row(of: 2) == nil && window.row(of: 7) == 4)
        #expect(window.count == 1)
    }

    @Test func randomTokensEqualASortedWindow() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for round in 0..<30 {
            var twins = WindowTwins(
                neurons: Int.random(in: 1...60, using: &random), round: round, &random)
            for step in 0..<80 {
                twins.step(&random)
                guard twins.agree() else {
                    Issue.record("seed \(seed), round \(round), step \(step)")
                    return
                }
            }
        }
    }
}

/// A window that keeps a row for each neuron, and sorts.
private struct NaiveWindow {
    var rows: [NeuronID: RowIndex] = [:]
    var fast: [Float]
    var slow: [Float]
    var frequencies: [UInt16]?

    mutating func note(_ likelihoods: [Float]) {
        for (neuron, value) in likelihoods.enumerated() {
            fast[neuron] = fast[neuron] * 0.8 + value * (1 - 0.8)
            slow[neuron] = slow[neuron] * 0.95 + value * (1 - 0.95)
        }
    }

    /// Lowest first; of two that are worth the same, the lower number.
    func sorted(_ neurons: some Sequence<NeuronID>) -> [NeuronID] {
        func worth(_ number: NeuronID) -> Float {
            let neuron = number.index
            var worth = slow[neuron] + fast[neuron] * 0.3
            if let frequencies { worth += Float(frequencies[neuron]) * (2 / 65535) }
            return worth
        }
        return neurons.sorted { (worth($0), $0) < (worth($1), $1) }
    }

    /// Lets the lowest go until `count` are left.
    mutating func shrink(to count: Int) -> [RowIndex] {
        sorted(rows.keys).prefix(max(0, rows.count - count)).compactMap {
            rows.removeValue(forKey: $0)
        }
    }
}

/// A window and its twin, given the same tokens, and the rows that nobody has.
private struct WindowTwins {
    let neurons: Int
    var window: NeuronWindow
    var naive: NaiveWindow
    var free: [RowIndex]
    /// Rows that either let go since they were last compared.
    private var released: [RowIndex] = []
    private var expected: [RowIndex] = []
    private let rowsMax: Int
    /// Whether those that ``NeuronWindow/choose(_:release:want:)`` wanted are those that lacked.
    private var isRight = true

    init(neurons: Int, round: Int, _ random: inout SplitMix) {
        self.neurons = neurons
        rowsMax = Int.random(in: 0...neurons + 3, using: &random)
        window = NeuronWindow(neuronCount: neurons, rowsMax: rowsMax)
        let zeros = [Float](repeating: 0, count: neurons)
        naive = NaiveWindow(fast: zeros, slow: zeros)
        free = (0..<2 * neurons).shuffled(using: &random).map { RowIndex($0) }
        guard round % 2 == 1 else { return }
        let frequencies = (0..<neurons).map { _ in UInt16.random(in: 0...9, using: &random) * 7000 }
        window.rank(by: frequencies)
        naive.frequencies = frequencies
    }

    mutating func step(_ random: inout SplitMix) {
        // Few values, so that many are worth the same.
        let likelihoods = (0..<neurons).map { _ in Float(Int.random(in: 0...2, using: &random)) / 2
        }
        window.note(likelihoods.span)
        naive.note(likelihoods)
        (released, expected) = ([], [])
        switch Int.random(in: 0..<8, using: &random) {
        case 0: choose(Int.random(in: 0...window.rowsMax, using: &random))
        case 1:
            let count = Int.random(in: 0...2 * neurons, using: &random)
            window.removeMembers(inFirst: count)
            for (neuron, row) in naive.rows where row.index < count {
                naive.rows[neuron] = nil
                free.append(row)
            }
        default: admit(&random)
        }
    }

    private var all: [NeuronID] { (0..<neurons).map { NeuronID($0) } }

    private mutating func admit(_ random: inout SplitMix) {
        var fetched: [FetchedNeuron] = []
        for neuron in all.shuffled(using: &random) where naive.rows[neuron] == nil {
            guard Int.random(in: 0..<3, using: &random) == 0, let row = free.popLast() else {
                continue
            }
            fetched.append(FetchedNeuron(neuron, row: row))
            naive.rows[neuron] = row
        }
        window.admit(fetched) { released.append($0) }
        expected = naive.shrink(to: min(rowsMax, neurons))
        free += expected
    }

    private mutating func choose(_ count: Int) {
        var wanted: [NeuronID] = []
        window.choose(count, release: { released.append($0) }, want: { wanted.append($0) })
        let best = Set(naive.sorted(all).suffix(count))
        isRight = Set(wanted) == best.subtracting(naive.rows.keys)
        for neuron in naive.rows.keys where !best.contains(neuron) {
            expected += naive.rows.removeValue(forKey: neuron).map { [$0] } ?? []
        }
        free += expected
        for neuron in wanted {
            guard let row = free.popLast() else { continue }
            window.insert(neuron, row: row)
            naive.rows[neuron] = row
        }
    }

    func agree() -> Bool {
        var members: Set<NeuronID> = []
        func add(_ neuron: NeuronID) { members.insert(neuron) }
        window.forEach(add)
        return isRight && released.sorted() == expected.sorted() && members == Set(naive.rows.keys)
            && window.count == naive.rows.count
            && all.allSatisfy { window.row(of: $0) == naive.rows[$0] }
    }
}
