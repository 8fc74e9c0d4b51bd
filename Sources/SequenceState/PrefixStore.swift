// Blocks on flash: one file of slots of one size, each a header and the pages of a block. Whatever
// is wrong with the file costs what is in it and a notice, never a request.
//
// What makes a slot valid is in it: its header's checksum, the digests of its tokens and all before
// them, and the checksum of its pages. A slot is written in this order, each step after the one
// before has ended: its old header is zeroed, pages, header. A process that is killed leaves a slot
// without a header or a whole one. A power cut may leave any of it, and what is not whole does not
// fit its checksums.
//
// Lives on one thread. Pages are copied between their pool and memory of the store's own.

package import FlashStorage
internal import LinuxSystem
internal import ModelFormat

/// Where prefixes are kept on flash, and how much.
package struct PrefixStoreOptions: Sendable {
    package var path: String
    package var identity: PrefixFileIdentity
    /// The file is never longer.
    package var bytesMax: UInt64
    /// How the drive is read and written.
    package var flash: FlashOptions

    package init(
        path: String, identity: PrefixFileIdentity, bytesMax: UInt64, flash: FlashOptions
    ) {
        self.path = path
        self.identity = identity
        self.bytesMax = bytesMax
        self.flash = flash
    }

    /// Bytes of a file of so many slots, or of as many as there may be.
    package static func fileBytes(_ identity: PrefixFileIdentity, slots: Int) -> UInt64 {
        let slots = min(slots, PrefixStore.slotsMax)
        return UInt64(SlotHeader.byteCount) + UInt64(slots) * UInt64(identity.slotBytes)
    }

    /// Slots that the file may have.
    package var slotsMax: Int {
        let bytes = bytesMax > UInt64(SlotHeader.byteCount) ? bytesMax - 4096 : 0
        return Int(min(bytes / UInt64(identity.slotBytes), UInt64(PrefixStore.slotsMax)))
    }
}

/// What was written and read.
package struct PrefixStoreStatistics: Sendable, Equatable {
    package internal(set) var savedBlocks = 0
    package internal(set) var restoredBlocks = 0
    /// Saves and restores that failed.
    package internal(set) var lostBlocks = 0
}

package final class PrefixStore {
    /// Headers of more are not read.
    package static let slotsMax = 1 << 14
    /// Blocks on their way at once.
    package static let buffersMax = 32
    /// After so many failures of the drive one after the other nothing is asked of it any more.
    static let failuresMax = 4

    /// What a piece of the store's own memory, of a slot's size, is used for.
    enum BufferState {
        case free
        case saving(Save)
        /// A restore that began.
        case reading
        /// A restore whose bytes are there, or are not.
        case read(ReadFailure?)
    }

    /// A block that is being written.
    struct Save {
        enum Step { case oldHeader, payload, header }

        let slot: SlotID
        let header: SlotHeader
        let payloadBytes: Int
        /// Whether the file grows for it.
        let isNew: Bool
        var step: Step
    }

    package let options: PrefixStoreOptions
    package internal(set) var statistics = PrefixStoreStatistics()
    /// False after the drive failed time and again: nothing is saved or restored any more.
    package private(set) var isOn = true
    let reader: FlashReader
    let arena: MemoryArena
    let file: FileIndex
    /// Open as long as the store is: holds the lock.
    private let lock: FileDescriptor
    var slots: SlotTable
    var buffers: [BufferState]
    /// Slots of saves that failed and were not told of yet.
    var lost: [SlotID] = []
    /// Grows with each block.
    var stamp: UInt64 = 0
    private var notices: Notices

    /// Says what went wrong, once each.
    private struct Notices {
        let say: (String) -> Void
        var failures = 0
        var saidFailure = false
        var saidFull = false
    }

    init(
        options: PrefixStoreOptions, reader: FlashReader, arena: MemoryArena, file: FileIndex,
        lock: consuming FileDescriptor, slots: SlotTable, onNotice: @escaping (String) -> Void
    ) {
        self.options = options
        self.reader = reader
        self.arena = arena
        self.file = file
        self.lock = lock
        self.slots = slots
        let count = min(Self.buffersMax, arena.byteCount / options.identity.slotBytes)
        buffers = Array(repeating: .free, count: count)
        notices = Notices(say: onNotice)
    }

    /// The least memory of its own that a store works with, and what is enough: two blocks, so that
    /// one is read while the other is checked, and so many that huge pages take the reads.
    package static func stagingBytes(
        _ identity: PrefixFileIdentity
    ) -> (least: Int, enough: Int) {
        let slot = identity.slotBytes
        let blocks = (2 * MemoryArena.hugePageBytes + slot - 1) / slot
        return (slot, min(max(2, blocks), buffersMax) * slot)
    }

    /// What the books take at most, for sums made in advance.
    package static func bookBytes(_ options: PrefixStoreOptions) -> Int {
        SlotTable.byteCount(
            slotsMax: options.slotsMax, layerCount: options.identity.layerCount)
    }

    /// Slots that hold a block.
    package var heldSlots: Int { slots.heldCount }

    /// Whether ``save(_:pages:from:)`` finds a slot; else one is to be freed.
    package var hasFreeSlot: Bool { isOn && slots.hasFree }

    /// Whether a block in a slot has a page of each layer: how many pages a restore takes.
    package func hasPages(_ slot: SlotID) -> [Bool] {
        precondition(slots.isHeld(slot), "the slot is free")
        let layers = slots.layers(of: slot)
        return (0..<options.identity.layerCount).map(layers.contains)
    }

    /// Frees the slot of a block that nobody looks for any more, or that is not there after all.
    ///
    /// - Precondition: the slot is held.
    package func free(_ slot: SlotID) {
        // It may be on its way there.
        while isSaving(slot), takeCompletion(waiting: true) {}
        lost.removeAll { $0 == slot }
        slots.release(slot)
    }

    // MARK: what goes wrong

    func notice(_ text: String) { notices.say("\(options.path): \(text)") }

    /// The drive took or gave what was asked.
    func noteSuccess() { notices.failures = 0 }

    /// Says a failure of the drive, if it is the first one, and gives up after too many.
    func noteFailure(_ failure: ReadFailure) {
        notices.failures += 1
        if !notices.saidFailure { notices.say("a prefix was lost: \(failure)") }
        notices.saidFailure = true
        if notices.failures >= Self.failuresMax {
            turnOff("\(options.path): no more prefixes are kept: the drive failed time and again")
        }
    }

    /// The drive has no room for a slot that was not there before.
    func noteFull(_ slot: SlotID) {
        if !notices.saidFull { notice("no room is left on the drive for more prefixes") }
        notices.saidFull = true
        slots.stopGrowing(before: slot)
    }

    func turnOff(_ reason: String) {
        guard isOn else { return }
        isOn = false
        notices.say(reason)
    }

    // MARK: buffers

    func offset(of buffer: Int) -> Int { buffer * options.identity.slotBytes }

    func fileOffset(of slot: SlotID) -> UInt64 {
        UInt64(SlotHeader.byteCount) + UInt64(slot.rawValue) * UInt64(options.identity.slotBytes)
    }

    var freeBuffer: Int? {
        buffers.firstIndex { if case .free = $0 { true } else { false } }
    }

    func isSaving(_ slot: SlotID) -> Bool {
        buffers.contains { if case .saving(let save) = $0 { save.slot == slot } else { false } }
    }

    /// Takes in one completion, whoever waits for it.
    ///
    /// - Returns: false when there was none, or the store is off now.
    func takeCompletion(waiting: Bool) -> Bool {
        guard isOn, reader.requestsInFlight > 0 else { return false }
        do {
            guard let completion = try reader.next(waiting: waiting) else { return false }
            let buffer = Int(completion.request.ticket.rawValue)
            switch buffers[buffer] {
            case .saving(let save): continueSave(save, in: buffer, after: completion.failure)
            case .reading: buffers[buffer] = .read(completion.failure)
            case .free, .read: preconditionFailure("a completion that nobody waits for")
            }
            return isOn
        } catch {
            // What is under way may still use its buffers.
            turnOff("no more prefixes are kept on flash: \(error)")
            return false
        }
    }

    /// - Returns: false when the store is off now.
    func submit(
        _ direction: StorageDirection, buffer: Int, slot: SlotID, bytes: Range<Int>
    ) -> Bool {
        do {
            try reader.submit(
                FlashRequest(
                    FlashTicket(rawValue: UInt64(buffer)), direction, file: file,
                    fileOffset: fileOffset(of: slot) + UInt64(bytes.lowerBound),
                    byteCount: bytes.count, arenaOffset: offset(of: buffer) + bytes.lowerBound))
            return true
        } catch {
            turnOff("no more prefixes are kept on flash: \(error)")
            return false
        }
    }
}
