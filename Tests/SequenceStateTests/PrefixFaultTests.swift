// Drives that fail, lie or stop at any moment, and files that somebody damaged: blocks are lost,
// and none comes back wrong.

import FlashStorage
import Glibc
import Knobs
import LinuxSystem
import ModelFormat
import SequenceState
import TestSupport
import Testing

@Suite struct PrefixFaultTests {
    private static let faults: [StorageFault] = [
        .error(EIO), .error(ENOSPC), .error(EINTR), .short, .endOfFile, .flippedBit
    ]

    /// Every transfer of saving, and of opening and restoring, fails in every way, once or always.
    @Test(arguments: faults, [1, 10_000]) func everyTransferFails(
        fault: StorageFault, count: Int
    ) throws {
        try withShelf { shelf in
            let script = FaultScript()
            shelf.flash.interposer = { FaultyQueue($0, arena: $1, script: script) }
            let chain = Shelf.chain([1, 2, 3])
            var index = 0
            var isOver = false
            while !isOver {
                try shelf.put([])
                shelf.notices = []
                script.arm(nil)
                try save(chain, shelf) { script.arm(fault, at: index, count: count) }
                isOver = !script.hasFired
                script.arm(nil)
                try restore(chain, shelf)
                script.arm(fault, at: index, count: count)
                try restore(chain, shelf)
                isOver = isOver && !script.hasFired
                #expect(shelf.notices.count <= 8, "\(index): \(shelf.notices)")
                index += 1
            }
            #expect(index > 9)
        }
    }

    private func save(_ chain: [PrefixBlock], _ shelf: Shelf, arm: () -> Void) throws {
        let (store, _) = try #require(try shelf.open())
        arm()
        var saved: [(slot: SlotID, block: PrefixBlock)] = []
        for block in chain {
            guard let slot = shelf.save(block, in: store) else { break }
            saved.append((slot, block))
        }
        let lost = store.collect(waiting: true)
        for slot in lost { store.free(slot) }
        #expect(store.collect(waiting: true) == [])
        let kept = saved.filter { !lost.contains($0.slot) }
        _ = try shelf.restore(kept, from: store)
        #expect(store.heldSlots == kept.count)
    }

    private func restore(_ chain: [PrefixBlock], _ shelf: Shelf) throws {
        guard let (store, blocks) = try shelf.open() else { return }
        #expect(Set(chain).isSuperset(of: blocks.map(\.block)))
        _ = try shelf.restoreEach(blocks, from: store)
    }

    /// A full drive is said once; what was written before is used on.
    @Test func aFullDriveEndsGrowingAlone() throws {
        try withShelf { shelf in
            let script = FaultScript()
            shelf.flash.interposer = { FaultyQueue($0, arena: $1, script: script) }
            let (store, _) = try #require(try shelf.open())
            let chain = Shelf.chain([1, 2, 3, 4])
            let first = try #require(shelf.save(chain[0], in: store))
            #expect(store.collect(waiting: true) == [])
            script.arm(.error(ENOSPC), count: 1000)
            let others = chain[1...].compactMap { shelf.save($0, in: store) }
            let lost = store.collect(waiting: true)
            #expect(others.count == 3 && Set(lost) == Set(others))
            for slot in lost { store.free(slot) }
            #expect(store.isOn && !store.hasFreeSlot && store.heldSlots == 1)
            #expect(shelf.notices.count == 1 && shelf.notices[0].contains("no room is left"))
            script.arm(nil)
            #expect(try shelf.restore([(first, chain[0])], from: store).failure == nil)
            store.free(first)
            #expect(shelf.save(chain[1], in: store) == first)
            #expect(store.collect(waiting: true) == [])
            #expect(try shelf.restore([(first, chain[1])], from: store).failure == nil)
        }
    }

    @Test func aDriveThatFailsTimeAndAgainIsLeftAlone() throws {
        try withShelf { shelf in
            let script = FaultScript()
            shelf.flash.interposer = { FaultyQueue($0, arena: $1, script: script) }
            let (store, _) = try #require(try shelf.open())
            let chain = Shelf.chain(Array(0..<8))
            script.arm(.error(EIO), count: 10_000)
            var slots: [SlotID] = []
            for block in chain {
                guard let slot = shelf.save(block, in: store) else { break }
                slots.append(slot)
                _ = store.collect(waiting: true)
            }
            #expect(!store.isOn && slots.count == 4 && !store.hasFreeSlot)
            #expect(shelf.notices.count == 2, "\(shelf.notices)")
            let outcome = try shelf.restore([(slots[0], chain[0])], from: store)
            #expect(outcome.restoredCount == 0 && outcome.failure != nil)
            for slot in slots { store.free(slot) }
            #expect(store.heldSlots == 0)
        }
    }

    /// Nothing that waits waits for ever.
    @Test func aDriveThatStopsIsLeftAlone() throws {
        try withShelf { shelf in
            let script = FaultScript()
            shelf.flash.interposer = { FaultyQueue($0, arena: $1, script: script) }
            shelf.flash.stallNanosecondsMax = 50_000_000
            let (store, _) = try #require(try shelf.open())
            let block = Shelf.chain([1])[0]
            let slot = try #require(shelf.save(block, in: store))
            #expect(store.collect(waiting: true) == [])
            script.arm(.stall(nanoseconds: 300_000_000))
            #expect(try shelf.restore([(slot, block)], from: store).failure == .off)
            #expect(!store.isOn && shelf.save(block, in: store) == nil)
            #expect(shelf.notices.count == 1 && shelf.notices[0].contains("has not answered"))
        }
    }

    /// Bits, numbers and lengths of the file are changed at random.
    @Test func damagedFilesGiveNothingWrong() throws {
        try withShelf { shelf in
            let chain = Shelf.chain([1, 2, 3])
            try save(chain, shelf) {}
            let good = try #require(fileBytes(shelf.path))
            let seed = UInt64.random(in: 0...UInt64.max)
            let slotBytes = shelf.identity.slotBytes
            let header = 4096 + slotBytes..<4096 + slotBytes + 480
            let damaged =
                FileMutator.mutations(of: good, seed: seed, count: 80)
                + FileMutator.mutations(of: good, within: header, seed: seed, count: 120)
            for (name, bytes) in damaged {
                try shelf.put(bytes)
                shelf.notices = []
                guard let (store, blocks) = try shelf.open() else { continue }
                let restored = try shelf.restoreEach(blocks, from: store)
                #expect(
                    Set(chain).isSuperset(of: restored) && shelf.notices.count <= 4,
                    "seed \(seed), \(name)")
                if bytes == good { #expect(restored.count == 3) }
            }
            // The file's end is cut off under the store.
            try shelf.put(good)
            let (store, blocks) = try #require(try shelf.open())
            try FileDescriptor(path: shelf.path, mode: .readWrite).truncate(byteCount: 4096)
            #expect(try shelf.restoreEach(blocks, from: store) == [] && store.isOn)
        }
    }

    // MARK: killed, and without power

    /// The process is killed after any block of any write: what is there is whole. The power is cut
    /// and any of the blocks are lost: what is not whole is noticed.
    @Test func cutsLeaveWholeBlocksOrNone() throws {
        try withShelf { shelf in
            let record = WriteRecord()
            shelf.flash.interposer = { RecordingQueue($0, arena: $1, record: record) }
            shelf.slotsMax = 4
            let all = Shelf.chain([1, 2, 3, 4]) + Shelf.chain([5, 6, 7, 8])
            try write(all, shelf)
            let writes = record.writes
            #expect(writes.count >= 8 * 5 + 4)
            shelf.flash.interposer = nil
            let start = Array((fileBytes(shelf.path) ?? []).prefix(4096))
            let seed = UInt64.random(in: 0...UInt64.max)
            var random = SplitMix(seed: seed)
            for end in 0...writes.count {
                try shelf.put(image(start, writes[..<end]))
                shelf.notices = []
                let (found, restored) = try reopen(shelf)
                #expect(restored.count == found.count && shelf.notices == [], "after \(end)")
                #expect(Set(all).isSuperset(of: restored))
                if end == writes.count { #expect(found.count == 4) }

                let some = writes[..<end].filter { _ in
                    Int.random(in: 0..<8, using: &random) > 0
                }
                try shelf.put(image(start, some[...]))
                let whole = try reopen(shelf).restored
                #expect(Set(all).isSuperset(of: whole), "seed \(seed), after \(end)")
            }
        }
    }

    private func reopen(
        _ shelf: Shelf
    ) throws -> (found: [StoredBlock], restored: [PrefixBlock]) {
        let (store, blocks) = try #require(try shelf.open())
        return (blocks, try shelf.restoreEach(blocks, from: store))
    }

    /// The second half takes the slots of the first, last ones first.
    private func write(_ blocks: [PrefixBlock], _ shelf: Shelf) throws {
        let (store, _) = try #require(try shelf.open())
        var slots: [SlotID] = []
        for (index, block) in blocks.enumerated() {
            if index >= 4 { store.free(slots[7 - index]) }
            slots.append(try #require(shelf.save(block, in: store)))
        }
        #expect(store.collect(waiting: true) == [])
    }

    private func image(_ start: [UInt8], _ writes: ArraySlice<WriteRecord.Write>) -> [UInt8] {
        var image = start
        for write in writes {
            let end = Int(write.fileOffset) + write.bytes.count
            if image.count < end { image += repeatElement(0, count: end - image.count) }
            image.replaceSubrange(Int(write.fileOffset)..<end, with: write.bytes)
        }
        return image
    }
}

/// What was written, in blocks of 4 KiB and in the order in which they were asked for.
private final class WriteRecord: @unchecked Sendable {
    struct Write {
        let fileOffset: UInt64
        let bytes: [UInt8]
    }

    // One thread saves.
    var writes: [Write] = []
}

private final class RecordingQueue: StorageQueue {
    var kind: String { queue.kind }
    var depth: Int { queue.depth }
    private let queue: any StorageQueue
    private let arena: MemoryArena
    private let record: WriteRecord

    init(_ queue: any StorageQueue, arena: MemoryArena, record: WriteRecord) {
        self.queue = queue
        self.arena = arena
        self.record = record
    }

    func register(_ file: consuming FileDescriptor) throws(SystemError) -> FileIndex {
        try queue.register(file)
    }

    func push(_ command: StorageCommand) {
        if command.direction == .write {
            let arena = arena
            for start in stride(from: 0, to: command.byteCount, by: 4096) {
                let bytes = arena.bytes(at: command.arenaOffset + start, byteCount: 4096)
                let copy = unsafe bytes.withUnsafeBytes { unsafe Array($0) }
                record.writes.append(
                    .init(fileOffset: command.fileOffset + UInt64(start), bytes: copy))
            }
        }
        queue.push(command)
    }

    func flush() throws(SystemError) { try queue.flush() }

    func next(within nanosecondsMax: UInt64) throws(SystemError) -> StorageResult? {
        try queue.next(within: nanosecondsMax)
    }
}
