// The protected segment of a segmented cache: slots in the order of their last use, in a list whose
// links lie in two arrays, so that every change takes the same short time.

struct ProtectedSlots: Sendable {
    private static let none: Int32 = -1

    private var isMember: [Bool]
    private var older: [Int32]
    private var newer: [Int32]
    private var oldest = Self.none
    private var newest = Self.none
    private(set) var count = 0

    init(slotCount: Int) {
        isMember = Array(repeating: false, count: slotCount)
        older = Array(repeating: Self.none, count: slotCount)
        newer = older
    }

    /// No slot is a member of a list made for none.
    func contains(_ slot: Int) -> Bool { slot < isMember.count && isMember[slot] }

    /// The member that was used longest ago.
    var first: Int? { oldest == Self.none ? nil : Int(oldest) }

    /// Makes `slot` the last member, whether or not it was one.
    mutating func append(_ slot: Int) {
        remove(slot)
        isMember[slot] = true
        count += 1
        older[slot] = newest
        newer[slot] = Self.none
        if newest == Self.none { oldest = Int32(slot) } else { newer[Int(newest)] = Int32(slot) }
        newest = Int32(slot)
    }

    /// Takes `slot` out, if it is a member.
    mutating func remove(_ slot: Int) {
        guard contains(slot) else { return }
        isMember[slot] = false
        count -= 1
        let (before, after) = (older[slot], newer[slot])
        if before == Self.none { oldest = after } else { newer[Int(before)] = after }
        if after == Self.none { newest = before } else { older[Int(after)] = before }
    }
}
