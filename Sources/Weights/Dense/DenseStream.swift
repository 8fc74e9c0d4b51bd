// The always-needed weights that do not fit: a cycle whose future is known exactly, streamed
// through a small ring of bytes with read-ahead across layers and tokens.

package import FlashStorage

/// Which streamed extent is where in the ring. Pure bookkeeping: it says what to read next, where
/// to, and what is ready.
///
/// Streamed units are read and consumed in execution order, and leave the ring in that order. A
/// pass may leave out the tail (the output matrix, when no logits are wanted, or all but the first
/// layers); read-ahead goes on into the next pass, whose beginning is always the same.
package struct DenseStream {
    package enum State: Equatable {
        case loading
        case ready
        case failed(ReadFailure)
    }

    /// A unit in the ring.
    private struct Entry {
        var unit = UnitIndex(0)
        /// From the ring's start.
        var offset = 0
        var state = State.ready
        /// Whether it was read ahead for a pass that had not begun.
        var isAhead = false
    }

    /// Streamed units in execution order.
    let order: [UnitIndex]
    /// Bytes of each of `order`.
    private let footprints: [Int]
    /// How many of `order` come before the output matrix.
    private let layerCount: Int
    private let capacityBytes: Int
    private let readsAheadOfPass: Bool
    /// The entries `front..<tail`, each at its number modulo the count.
    private var entries: [Entry]
    /// The oldest entry that is kept, the next to be consumed, the next to be read.
    private var front = 0
    private var next = 0
    private var tail = 0
    /// Where the last unit read ends in the ring.
    private var end = 0
    /// Next in this pass to be consumed, as an index into `order`.
    package private(set) var consumed = 0
    /// Whether consumed units stay in the ring, because the pass goes back to them.
    package var keepsConsumed = false
    /// Next to be read, counted on past the end of the pass into the following one.
    private var issued = 0
    /// Units of this pass.
    private var passCount: Int
    /// Whether read-ahead counts on the present pass to go on to its end.
    private var hasBegun = false

    /// - Parameters:
    ///   - footprints: the bytes of each unit in `order`; none is more than half of the ring.
    ///   - capacityBytes: of the ring.
    ///   - readsAheadOfPass: whether the next pass begins like the present one.
    package init(
        order: [UnitIndex], footprints: [Int], layerCount: Int, capacityBytes: Int,
        readsAheadOfPass: Bool
    ) {
        precondition(order.count == footprints.count && footprints.allSatisfy { $0 > 0 })
        self.order = order
        self.footprints = footprints
        self.layerCount = layerCount
        self.capacityBytes = capacityBytes
        self.readsAheadOfPass = readsAheadOfPass
        entries = Array(repeating: Entry(), count: 2 * order.count)
        passCount = order.count
    }

    /// Whether a pass ended early, be it before its first unit or at its last, to which it was to
    /// go back: what is in the ring may be what the next pass leaves out. Then the ring must be
    /// drained and ``reset()`` before the next.
    package var isMidPass: Bool { hasBegun && (consumed != passCount || front != next) }

    /// Whether a pass ended at a unit that could not be read.
    package var hasFailed: Bool {
        (front..<tail).contains { number in
            let entry = entries[number % entries.count]
            return if case .failed = entry.state { !entry.isAhead } else { false }
        }
    }

    /// Whether more was read for the next pass than its first `count` units.
    package func isAhead(of count: Int) -> Bool {
        (consumed == passCount ? issued - passCount : issued) > count
    }

    /// Starts a pass over all layers, with or without the output matrix; or over the first units
    /// alone.
    ///
    /// - Parameter unitsMax: how many of these; nil is all.
    /// - Precondition: no more was read ahead: see ``isAhead(of:)``.
    package mutating func beginPass(withOutput: Bool, unitsMax: Int? = nil) {
        if consumed == passCount && passCount > 0 {
            issued -= passCount
            consumed = 0
        }
        passCount = unitsMax ?? (withOutput ? order.count : layerCount)
        precondition(unitsMax == nil || issued <= passCount, "units that are not used")
        hasBegun = true
        keepsConsumed = false
    }

    /// Starts at the output matrix: all layers were computed otherwise. Nothing was read yet.
    package mutating func beginAtOutput() {
        precondition(consumed == 0 && issued == 0, "a stream that has not begun")
        consumed = layerCount
        issued = layerCount
        passCount = order.count
        hasBegun = true
    }

    /// Goes back to what ``consumed`` was, over units that were kept.
    package mutating func goBack(to consumed: Int) {
        let count = self.consumed - consumed
        precondition(count >= 0 && next - count >= front, "units that were kept")
        next -= count
        self.consumed = consumed
    }

    /// Forgets everything that was read. No read may be under way.
    package mutating func reset() {
        precondition((front..<tail).allSatisfy { entries[$0 % entries.count].state != .loading })
        front = tail
        next = tail
        consumed = 0
        issued = 0
        hasBegun = false
    }

    /// The unit to read next, its entry's number and its place in the ring; nil when the ring is
    /// full.
    ///
    /// Reads ahead within the pass, and beyond it only what the next pass surely begins with.
    package mutating func nextRead() -> (unit: UnitIndex, number: EntryNumber, offset: Int)? {
        // One that is cut short is followed by others alike.
        let issuedMax = passCount + (readsAheadOfPass ? min(layerCount, passCount) : 0)
        guard issued < issuedMax, tail - front < entries.count else { return nil }
        let index = issued < passCount ? issued : issued - passCount
        guard let offset = place(for: footprints[index]) else { return nil }
        let number = tail
        entries[number % entries.count] = Entry(
            unit: order[index], offset: offset, state: .loading, isAhead: issued >= passCount)
        end = offset + footprints[index]
        tail += 1
        issued += 1
        return (order[index], EntryNumber(number), offset)
    }

    /// Room for `byteCount` after the last unit, or at the ring's start.
    private func place(for byteCount: Int) -> Int? {
        guard front < tail else { return byteCount <= capacityBytes ? 0 : nil }
        let oldest = entries[front % entries.count].offset
        if end > oldest {
            if end + byteCount <= capacityBytes { return end }
            return byteCount <= oldest ? 0 : nil
        }
        return end + byteCount <= oldest ? end : nil
    }

    /// The unit of an entry that is under way.
    package func unit(ofEntry number: EntryNumber) -> UnitIndex? {
        guard (front..<tail).contains(number.index) else { return nil }
        return entries[number.index % entries.count].unit
    }

    package mutating func completed(entry number: EntryNumber, failure: ReadFailure?) {
        let place = number.index % entries.count
        precondition(
            (front..<tail).contains(number.index) && entries[place].state == .loading,
            "a completion for an entry that was not loading")
        entries[place].state = failure.map { .failed($0) } ?? .ready
    }

    /// The state of `unit`, which must be the next one to consume, and its place in the ring.
    package func state(of unit: UnitIndex) -> (
        state: State, number: EntryNumber, offset: Int
    ) {
        precondition(order[consumed] == unit, "streamed weights are consumed in execution order")
        precondition(next < tail, "read-ahead issues the next unit first")
        let entry = entries[next % entries.count]
        precondition(entry.unit == unit, "units are read in execution order")
        return (entry.state, EntryNumber(next), entry.offset)
    }

    /// Whether a failed read should be tried again: once, when it was made for a pass that had not
    /// begun. That pass then fails by its own reads, not by those of the one before.
    package mutating func retry(entry number: EntryNumber) -> Bool {
        let index = number.index % entries.count
        guard entries[index].isAhead, case .failed = entries[index].state else { return false }
        entries[index].isAhead = false
        entries[index].state = .loading
        return true
    }

    /// Goes on after the next unit was used.
    package mutating func consume() {
        next += 1
        consumed += 1
        if !keepsConsumed { front = next }
    }
}
