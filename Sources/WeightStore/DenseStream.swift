// The always-needed weights that do not fit: a cycle whose future is known exactly, streamed
// through a small ring of slots with read-ahead across layers and tokens.

internal import ModelFormat

/// Which streamed extent is where. Pure bookkeeping: it says what to read next and what is ready.
///
/// Streamed units are consumed in execution order. A pass may leave out the tail (the output
/// matrix, when no logits are wanted); read-ahead goes on into the next pass, whose beginning is
/// always the same.
struct DenseStream {
    enum SlotState: Equatable {
        case empty
        case loading(unit: Int)
        case ready(unit: Int)
        case failed(unit: Int, ReadFailure)
    }

    /// Streamed units in execution order.
    private let order: [Int]
    /// How many of `order` come before the output matrix.
    private let layerCount: Int
    private(set) var slots: [SlotState]
    /// Whether a slot was read ahead for a pass that had not begun.
    private var isAhead: [Bool]
    /// Next in this pass to be consumed, as an index into `order`.
    private var consumed = 0
    /// Next to be read, counted on past the end of the pass into the following one.
    private var issued = 0
    /// Units of this pass.
    private var passCount: Int
    /// Whether read-ahead counts on the present pass to go on to its end.
    private var hasBegun = false

    init(order: [Int], layerCount: Int, slotCount: Int) {
        self.order = order
        self.layerCount = layerCount
        slots = Array(repeating: .empty, count: slotCount)
        isAhead = Array(repeating: false, count: slotCount)
        passCount = order.count
    }

    /// Whether a pass ended early, be it before its first unit: what was read ahead may be what the
    /// next pass leaves out. Then the ring must be drained and ``reset()`` before the next.
    var isMidPass: Bool { hasBegun && consumed != passCount }

    /// Whether a pass ended at a unit that could not be read.
    var hasFailed: Bool {
        slots.indices.contains { slot in
            if case .failed = slots[slot] { !isAhead[slot] } else { false }
        }
    }

    /// Starts a pass over all layers, with or without the output matrix.
    mutating func beginPass(withOutput: Bool) {
        if consumed == passCount && passCount > 0 {
            issued -= passCount
            consumed = 0
        }
        passCount = withOutput ? order.count : layerCount
        hasBegun = true
    }

    /// Forgets everything that was read. No read may be under way.
    mutating func reset() {
        precondition(!slots.contains { if case .loading = $0 { true } else { false } })
        for index in slots.indices { slots[index] = .empty }
        consumed = 0
        issued = 0
        hasBegun = false
    }

    /// The unit to read next and the slot for it, or nil when all slots are taken.
    ///
    /// Reads ahead within the pass, and beyond it only what the next pass surely begins with.
    mutating func nextRead() -> (unit: Int, slot: Int)? {
        guard issued < passCount + layerCount, issued - consumed < slots.count,
            let slot = slots.firstIndex(of: .empty)
        else { return nil }
        let unit = issued < passCount ? order[issued] : order[issued - passCount]
        slots[slot] = .loading(unit: unit)
        isAhead[slot] = issued >= passCount
        issued += 1
        return (unit, slot)
    }

    mutating func completed(slot: Int, failure: ReadFailure?) {
        guard case .loading(let unit) = slots[slot] else {
            preconditionFailure("a completion for a slot that was not loading")
        }
        slots[slot] = failure.map { .failed(unit: unit, $0) } ?? .ready(unit: unit)
    }

    /// Whether a failed read should be tried again: once, when it was made for a pass that had not
    /// begun. That pass then fails by its own reads, not by those of the one before.
    mutating func retry(slot: Int) -> Bool {
        guard isAhead[slot], case .failed(let unit, _) = slots[slot] else { return false }
        isAhead[slot] = false
        slots[slot] = .loading(unit: unit)
        return true
    }

    /// The slot that holds `unit`, which must be the next one to consume.
    func slot(of unit: Int) -> Int? {
        precondition(order[consumed] == unit, "streamed weights are consumed in execution order")
        return slots.firstIndex {
            switch $0 {
            case .loading(unit), .ready(unit), .failed(unit, _): true
            default: false
            }
        }
    }

    /// Frees `slot` after its unit was used.
    mutating func consume(slot: Int) {
        slots[slot] = .empty
        consumed += 1
    }
}
