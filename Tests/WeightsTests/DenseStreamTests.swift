// The ring of streamed weights, against a ring of which every byte is written down.

import FlashStorage
import TestSupport
import Testing
import Weights

@Suite struct DenseStreamTests {
    private static let failure = ReadFailure(file: "weights", fileOffset: 4096, cause: .endOfFile)

    private static func stream(ahead: Bool = true) -> DenseStream {
        DenseStream(
            order: [4, 6, 9], footprints: [3, 2, 4], layerCount: 2, capacityBytes: 8,
            readsAheadOfPass: ahead)
    }

    @Test func readsAheadIntoTheNextPassAndAroundTheRing() {
        var stream = Self.stream()
        stream.beginPass(withOutput: false)
        let reads = (0..<3).map { _ in stream.nextRead() }
        #expect(reads.map { $0?.unit } == [4, 6, 4] && reads.map { $0?.offset } == [0, 3, 5])
        #expect(stream.nextRead() == nil)
        #expect(stream.state(of: 4).state == .loading)
        for number in 0..<3 {
            stream.completed(entry: EntryNumber(number), failure: nil)
        }
        #expect(stream.state(of: 4).state == .ready && stream.unit(ofEntry: 1) == 6)
        stream.consume()
        #expect(stream.unit(ofEntry: 0) == nil && stream.isMidPass)
        let wrapped = stream.nextRead()
        #expect(wrapped?.unit == 6 && wrapped?.number == 3 && wrapped?.offset == 0)
        stream.consume()
        #expect(!stream.isMidPass && stream.nextRead() == nil, "no further than the next pass")
        stream.beginPass(withOutput: true)
        #expect(stream.state(of: 4).number == 2 && stream.isMidPass)
    }

    @Test func whatWasReadAheadIsTriedAgainOnce() {
        var stream = Self.stream()
        stream.beginPass(withOutput: false)
        while let read = stream.nextRead() {
            stream.completed(entry: read.number, failure: Self.failure)
        }
        #expect(stream.hasFailed)
        #expect(stream.retry(entry: 2) && stream.unit(ofEntry: 2) == 4)
        stream.completed(entry: 2, failure: Self.failure)
        #expect(!stream.retry(entry: 2) && !stream.retry(entry: 0))
        stream.reset()
        #expect(!stream.hasFailed && !stream.isMidPass)
    }

    @Test func keptUnitsAreGoneBackTo() {
        var stream = Self.stream(ahead: false)
        stream.beginPass(withOutput: false)
        stream.keepsConsumed = true
        while let read = stream.nextRead() { stream.completed(entry: read.number, failure: nil) }
        for unit in [UnitIndex(4), 6] {
            #expect(stream.state(of: unit).state == .ready)
            stream.consume()
        }
        #expect(stream.isMidPass && stream.nextRead() == nil, "kept units are the ring's")
        stream.goBack(to: 0)
        stream.keepsConsumed = false
        for unit in [UnitIndex(4), 6] {
            #expect(stream.state(of: unit).state == .ready)
            stream.consume()
        }
        #expect(!stream.isMidPass)
    }

    @Test func theOutputMatrixMayComeAlone() {
        var stream = Self.stream()
        stream.beginAtOutput()
        #expect(stream.nextRead()?.unit == 9)
        #expect(stream.nextRead()?.unit == 4)
        stream.completed(entry: 0, failure: nil)
        #expect(stream.state(of: 9).state == .ready)
        stream.consume()
        #expect(!stream.isMidPass)
    }

    @Test func randomPassesEqualARingOfBytes() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for round in 0..<60 {
            var twins = RingTwins(&random)
            for pass in 0..<30 {
                twins.runPass(&random)
                guard twins.problem.isEmpty else {
                    Issue.record("seed \(seed), round \(round), pass \(pass): \(twins.problem)")
                    return
                }
            }
        }
    }
}

/// A ring of which every byte says which entry has it, and the units that a pass and the next one
/// begin with as a list.
private struct NaiveRing {
    struct Resident {
        var number: EntryNumber
        var unit: UnitIndex
        var place: Range<Int>
        var state = DenseStream.State.loading
        var isAhead: Bool
    }

    var bytes: [EntryNumber?]
    var residents: [Resident] = []
    /// Units that are still to be read, and whether they belong to the next pass.
    var toRead: [(unit: UnitIndex, byteCount: Int, isAhead: Bool)] = []
    var numbers = 0

    init(capacityBytes: Int) { bytes = Array(repeating: nil, count: capacityBytes) }

    private func isFree(_ place: Range<Int>) -> Bool {
        place.upperBound <= bytes.count && place.allSatisfy { bytes[$0] == nil }
    }

    /// Right after the last unit where there is room, else at the ring's start; never before a unit
    /// that is older.
    mutating func read() -> Resident? {
        guard let next = toRead.first else { return nil }
        let end = residents.last?.place.upperBound ?? 0
        guard
            let start = [end, 0].first(where: { isFree($0..<$0 + next.byteCount) })
        else { return nil }
        toRead.removeFirst()
        let resident = Resident(
            number: EntryNumber(numbers), unit: next.unit,
            place: start..<start + next.byteCount, isAhead: next.isAhead)
        for byte in resident.place { bytes[byte] = resident.number }
        residents.append(resident)
        numbers += 1
        return resident
    }

    mutating func free(_ count: Int) {
        for resident in residents.prefix(count) {
            for byte in resident.place { bytes[byte] = nil }
        }
        residents.removeFirst(count)
    }
}

/// A stream and its twin, used as the weights' store uses one.
private struct RingTwins {
    private let order: [UnitIndex]
    private let footprints: [Int]
    private let layerCount: Int
    private let readsAhead: Bool
    private var stream: DenseStream
    private var naive: NaiveRing
    /// Residents of the twin that are consumed and kept.
    private var kept = 0
    var problem = ""

    init(_ random: inout SplitMix) {
        let count = Int.random(in: 1...9, using: &random)
        let capacity = Int.random(in: 8...24, using: &random)
        order = (0..<40).shuffled(using: &random).prefix(count).sorted().map { UnitIndex($0) }
        footprints = order.map { _ in Int.random(in: 1...capacity / 2, using: &random) }
        layerCount = Int.random(in: 0...count, using: &random)
        readsAhead = Bool.random(using: &random)
        stream = DenseStream(
            order: order, footprints: footprints, layerCount: layerCount, capacityBytes: capacity,
            readsAheadOfPass: readsAhead)
        naive = NaiveRing(capacityBytes: capacity)
    }

    private func units(_ range: Range<Int>, isAhead: Bool) -> [(UnitIndex, Int, Bool)] {
        range.map { (order[$0], footprints[$0], isAhead) }
    }

    /// Units of the pass that begins, without those that were read ahead for it.
    private mutating func begin(withOutput: Bool, unitsMax: Int?) -> Int {
        let count = unitsMax ?? (withOutput ? order.count : layerCount)
        check(stream.isAhead(of: count) == (naive.residents.count > count), "as far ahead")
        if naive.residents.count > count { reset() }
        stream.beginPass(withOutput: withOutput, unitsMax: unitsMax)
        naive.toRead = Array(
            units(naive.residents.count..<max(count, naive.residents.count), isAhead: false))
        if readsAhead { naive.toRead += units(0..<min(count, layerCount), isAhead: true) }
        return count
    }

    private mutating func reset() {
        // Twins that differ are not asked for more.
        guard problem.isEmpty else { return }
        for resident in naive.residents where resident.state == .loading {
            stream.completed(entry: resident.number, failure: nil)
        }
        stream.reset()
        naive.free(naive.residents.count)
        kept = 0
        check(!stream.isMidPass && !stream.hasFailed, "reset, and not begun anew")
    }

    mutating func runPass(_ random: inout SplitMix) {
        let isShort = Int.random(in: 0..<4, using: &random) == 0
        let count = begin(
            withOutput: Bool.random(using: &random),
            unitsMax: isShort ? Int.random(in: 0...layerCount, using: &random) : nil)
        var index = 0
        while index < count, problem.isEmpty {
            // A run of units that is gone back to, if it fits the ring beside the next unit.
            let run = Int.random(in: 0..<4, using: &random) == 0
            let length = run ? runLength(from: index, count) : 0
            if length > 1 {
                for isLast in [false, Bool.random(using: &random), true] {
                    if stream.consumed > index { goBack(to: index) }
                    stream.keepsConsumed = !isLast
                    for at in index..<index + length where !use(at, &random) { return reset() }
                    if isLast { break }
                }
                index += length
            } else {
                guard use(index, &random) else { return reset() }
                index += 1
            }
            check(stream.isMidPass == (index < count), "mid-pass after \(index) of \(count)")
            if Int.random(in: 0..<60, using: &random) == 0, index < count { return reset() }
        }
        if count == 0 { read(&random) }
        check(stream.hasFailed == hasFailed, "failed at a pass's end")
        if hasFailed { reset() }
    }

    private var hasFailed: Bool {
        naive.residents.contains { resident in
            if case .failed = resident.state { !resident.isAhead } else { false }
        }
    }

    /// As many units as take half of the ring at most.
    private func runLength(from index: Int, _ count: Int) -> Int {
        var left = naive.bytes.count / 2
        var length = 0
        while index + length < count, footprints[index + length] <= left {
            left -= footprints[index + length]
            length += 1
        }
        return length
    }

    private mutating func goBack(to index: Int) {
        stream.goBack(to: index)
        kept = 0
    }

    /// Reads as far as there is room, and lets some reads end.
    private mutating func read(_ random: inout SplitMix) {
        while problem.isEmpty {
            let expected = naive.read()
            let found = stream.nextRead()
            check(
                found?.unit == expected?.unit && found?.number == expected?.number
                    && found?.offset == expected?.place.lowerBound,
                "read \(String(describing: found)), not \(String(describing: expected))")
            guard found != nil else { break }
        }
        guard problem.isEmpty else { return }
        for at in naive.residents.indices where Bool.random(using: &random) {
            complete(at, &random)
        }
    }

    private mutating func complete(_ at: Int, _ random: inout SplitMix) {
        guard naive.residents[at].state == .loading else { return }
        let failure: ReadFailure? =
            Int.random(in: 0..<40, using: &random) == 0
            ? ReadFailure(file: "weights", fileOffset: 0, cause: .endOfFile) : nil
        stream.completed(entry: naive.residents[at].number, failure: failure)
        naive.residents[at].state = failure.map { .failed($0) } ?? .ready
    }

    /// Waits for unit `index` of the pass, and consumes it.
    ///
    /// - Returns: whether it came.
    private mutating func use(_ index: Int, _ random: inout SplitMix) -> Bool {
        while problem.isEmpty {
            read(&random)
            guard problem.isEmpty, kept < naive.residents.count else {
                check(false, "unit \(index) is never read")
                return false
            }
            let resident = naive.residents[kept]
            check(resident.unit == order[index], "the twin holds \(resident.unit)")
            let found = stream.state(of: order[index])
            check(
                found.state == resident.state && found.number == resident.number
                    && found.offset == resident.place.lowerBound
                    && stream.unit(ofEntry: found.number) == resident.unit,
                "unit \(index) is \(found), not \(resident)")
            switch resident.state {
            case .loading: complete(kept, &random)
            case .ready:
                stream.consume()
                kept += 1
                if !stream.keepsConsumed {
                    naive.free(kept)
                    kept = 0
                }
                return problem.isEmpty
            case .failed:
                let isTriedAgain = stream.retry(entry: found.number)
                check(isTriedAgain == resident.isAhead, "tried again: \(isTriedAgain)")
                guard isTriedAgain else { return false }
                naive.residents[kept].isAhead = false
                naive.residents[kept].state = .loading
            }
        }
        return false
    }

    private mutating func check(_ isRight: Bool, _ message: String) {
        if !isRight && problem.isEmpty { problem = message }
    }
}
