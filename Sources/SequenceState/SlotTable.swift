// Which slots of the prefix file hold what. Knows of layers, and of nothing else in a block.

/// Slots by number: those that hold a block, those that are free, and those that were never
/// written, which are the file's end.
struct SlotTable {
    /// The most that the file may have.
    private(set) var slotsMax: Int
    /// Beyond it none was ever written.
    private(set) var writtenEnd: Int
    private(set) var heldCount: Int
    private var free: [Int32] = []
    private var states: [State]
    private var bits: [UInt8]
    private let layerCount: Int
    private var bytesPerSlot: Int { (layerCount + 7) / 8 }

    private enum State: UInt8 {
        case free
        case held
        /// Held, and never written again: the drive had no room for it.
        case unusable
    }

    /// A file of `writtenCount` slots, all of which are held until they are released.
    init(slotsMax: Int, writtenCount: Int, layerCount: Int) {
        self.slotsMax = slotsMax
        self.layerCount = layerCount
        writtenEnd = writtenCount
        heldCount = writtenCount
        states = Array(repeating: .held, count: writtenCount)
        bits = Array(repeating: 0, count: writtenCount * ((layerCount + 7) / 8))
    }

    /// What a table takes at most, for sums made in advance.
    static func byteCount(slotsMax: Int, layerCount: Int) -> Int {
        2 * slotsMax * (MemoryLayout<Int32>.stride + 1 + (layerCount + 7) / 8)
    }

    var hasFree: Bool { !free.isEmpty || writtenEnd < slotsMax }

    func isHeld(_ slot: SlotID) -> Bool {
        slot.rawValue >= 0 && slot.rawValue < writtenEnd && states[Int(slot.rawValue)] != .free
    }

    /// Layers of a slot that have a page.
    func layers(of slot: SlotID) -> LayerSet {
        let start = Int(slot.rawValue) * bytesPerSlot
        return LayerSet(bits: bits[start..<start + bytesPerSlot])
    }

    mutating func set(_ layers: LayerSet, of slot: SlotID) {
        let start = Int(slot.rawValue) * bytesPerSlot
        bits.replaceSubrange(start..<start + bytesPerSlot, with: layers.bits)
    }

    /// A slot to write, and whether it ever was.
    mutating func take() -> (slot: SlotID, wasWritten: Bool)? {
        guard hasFree else { return nil }
        heldCount += 1
        if let slot = free.popLast() {
            states[Int(slot)] = .held
            return (SlotID(rawValue: slot), true)
        }
        states.append(.held)
        bits += repeatElement(0, count: bytesPerSlot)
        writtenEnd += 1
        return (SlotID(rawValue: Int32(writtenEnd - 1)), false)
    }

    mutating func release(_ slot: SlotID) {
        precondition(isHeld(slot), "the slot is free")
        let isUsable = states[Int(slot.rawValue)] == .held
        states[Int(slot.rawValue)] = .free
        heldCount -= 1
        if isUsable { free.append(slot.rawValue) }
    }

    /// The drive had no room for this slot, nor has it for others that were never written.
    mutating func stopGrowing(before slot: SlotID) {
        slotsMax = writtenEnd
        states[Int(slot.rawValue)] = .unusable
    }
}
