// Blocks come back from the file as they were saved, over restarts, within its size, and for nobody
// else's model.

import FlashStorage
import Glibc
import Knobs
import LinuxSystem
import Memory
import ModelFormat
import SequenceState
import TestSupport
import Testing

@Suite struct PrefixStoreTests {
    /// Two sequences that begin alike, one of them another user's, some layers without a page.
    @Test(arguments: [ReaderChoice.ring, .threads], [true, false])
    func whatIsSavedIsFoundAgain(reader: ReaderChoice, isDirect: Bool) throws {
        try withShelf { shelf in
            shelf.flash.reader = reader
            shelf.flash.mayReadDirectly = isDirect
            let common = Shelf.chain([1, 2, 3])
            let own = Shelf.chain([1, 2, 4, 5], .user(7))
            do {
                let (store, blocks) = try #require(try shelf.open())
                #expect(blocks == [] && store.heldSlots == 0)
                for (index, block) in (common + own).enumerated() {
                    let absent: Set<Int> = index % 3 == 1 ? [1] : index == 5 ? [0, 1, 2] : []
                    #expect(shelf.save(block, in: store, without: absent) != nil)
                }
                #expect(store.collect(waiting: true) == [] && store.statistics.savedBlocks == 7)
            }
            let (store, blocks) = try #require(try shelf.open())
            #expect(Set(blocks.map(\.block)) == Set(common + own) && store.heldSlots == 7)
            for sequence in [common, own] {
                let found = sequence.compactMap { block in blocks.first { $0.block == block } }
                let outcome = try shelf.restore(
                    found.map { ($0.slot, $0.block) }, from: store)
                #expect(outcome.restoredCount == sequence.count && outcome.failure == nil)
            }
            let bare = try #require(blocks.first { $0.block == own[2] })
            #expect(store.hasPages(bare.slot) == [false, false, false])
            // Parents come before their children.
            for (index, block) in blocks.enumerated() where block.block.parent != .none {
                #expect(blocks[..<index].contains { $0.block.digest == block.block.parent })
            }
            #expect(shelf.notices == [] && store.statistics.restoredBlocks == 7)
        }
    }

    /// A block that is still on its way is waited for; one buffer does, however slowly.
    @Test(arguments: [1, 2, 8]) func whatIsBeingSavedIsRestored(bufferCount: Int) throws {
        try withShelf { shelf in
            shelf.bufferCount = bufferCount
            let (store, _) = try #require(try shelf.open())
            let chain = Shelf.chain(Array(0..<10))
            let slots = chain.compactMap { shelf.save($0, in: store) }
            #expect(slots.count == 10)
            let outcome = try shelf.restore(Array(zip(slots, chain)), from: store)
            #expect(outcome.restoredCount == 10 && outcome.failure == nil)
            #expect(store.collect(waiting: true) == [] && store.statistics.savedBlocks == 10)
        }
    }

    /// Without a limit, as many slots as there may be.
    @Test func filesHaveNoMoreSlotsThanThereMayBe() {
        let identity = PrefixFileIdentity(
            modelDigest: Digest256(hashing: "m"), kvFormat: "16", pageBytes: 1 << 20,
            layerCount: 64)
        let most = PrefixStoreOptions.fileBytes(identity, slots: PrefixStore.slotsMax)
        #expect(PrefixStoreOptions.fileBytes(identity, slots: .max) == most)
        #expect(
            PrefixStoreOptions.fileBytes(identity, slots: 1) == UInt64(4096 + identity.slotBytes))
    }

    @Test func theFileIsNoLongerThanItMayBe() throws {
        try withShelf { shelf in
            shelf.slotsMax = 3
            let chain = Shelf.chain(Array(0..<5))
            do {
                let (store, _) = try #require(try shelf.open())
                let slots = chain.map { shelf.save($0, in: store) }
                #expect(slots[2] != nil && slots[3] == nil && !store.hasFreeSlot)
                store.free(try #require(slots[2]))
                #expect(store.hasFreeSlot && shelf.save(chain[2], in: store) == slots[2])
                #expect(store.collect(waiting: true) == [])
                #expect(store.heldSlots == 3)
            }
            let length = try SystemCalls.status(shelf.path).bytes
            #expect(length <= shelf.options.bytesMax && length > UInt64(4096 + 2 * 4096))
            // Less room: what is beyond is gone, and what followed it.
            shelf.slotsMax = 2
            do {
                let (store, blocks) = try #require(try shelf.open())
                #expect(blocks.map(\.block) == Array(chain[..<2]))
                #expect(try shelf.restoreEach(blocks, from: store) == Array(chain[..<2]))
            }
            shelf.slotsMax = 9
            let (store, blocks) = try #require(try shelf.open())
            #expect(blocks.count == 2 && store.hasFreeSlot)
            for block in chain[2...] { #expect(shelf.save(block, in: store) != nil) }
            #expect(store.collect(waiting: true) == [] && shelf.notices == [])
        }
    }

    /// What was freed and written anew is the new block only.
    @Test func slotsAreUsedAgain() throws {
        try withShelf { shelf in
            shelf.slotsMax = 2
            let (old, new) = (Shelf.chain([1, 2]), Shelf.chain([3]))
            do {
                let (store, _) = try #require(try shelf.open())
                let slots = old.compactMap { shelf.save($0, in: store) }
                store.free(slots[0])
                #expect(shelf.save(new[0], in: store) == slots[0])
                #expect(store.collect(waiting: true) == [])
                let outcome = try shelf.restore([(slots[0], old[0])], from: store)
                #expect(outcome.failure == .damaged("it holds another block"))
            }
            // The second block's beginning is gone, and the block with it.
            let (store, blocks) = try #require(try shelf.open())
            #expect(blocks.map(\.block) == new && store.heldSlots == 1)
        }
    }

    @Test func anotherModelsFileIsBegunAnew() throws {
        try withShelf { shelf in
            let identity = shelf.identity
            func changed(
                digest: String = "model", format: String = "k8v4", pageBytes: Int = 5000,
                layers: Int = 3
            ) -> PrefixFileIdentity {
                PrefixFileIdentity(
                    modelDigest: Digest256(hashing: digest), kvFormat: format,
                    pageBytes: pageBytes, layerCount: layers)
            }
            let others = [
                (changed(digest: "other"), "another model's"), (changed(format: "16"), "k8v4"),
                (changed(pageBytes: 4096), "of 5000"), (changed(layers: 2), "found 3 of")
            ]
            for (other, words) in others {
                shelf.identity = identity
                try saveOne(shelf)
                shelf.identity = other
                shelf.notices = []
                let (store, blocks) = try #require(try shelf.open())
                #expect(blocks == [] && store.heldSlots == 0)
                #expect(shelf.notices.count == 1 && shelf.notices[0].contains(words))
            }
        }
    }

    /// Another version, a torn header, and what is no prefix file.
    @Test func headersAreChecked() throws {
        try withShelf { shelf in
            try saveOne(shelf)
            let good = try #require(fileBytes(shelf.path))
            var version = good
            version[8] = 2
            let sum = unsafe Checksum.of(version.span.bytes.extracting(0..<4092))
            for index in 0..<4 {
                version[4092 + index] = UInt8(truncatingIfNeeded: sum >> (8 * index))
            }
            var torn = good
            torn[100] ^= 1
            for (bytes, words) in [
                (version, "version 1"), (torn, "checksum"), (Array(good[..<100]), "checksum")
            ] {
                try shelf.put(bytes)
                shelf.notices = []
                #expect(try shelf.open()?.blocks == [])
                #expect(shelf.notices.count == 1)
                #expect(shelf.notices.first?.contains(words) == true)
                #expect(fileBytes(shelf.path)?.count == 4096)
            }
            let letter = Array("Dear Ada, ...".utf8)
            try shelf.put(letter)
            shelf.notices = []
            #expect(try shelf.open() == nil)
            #expect(fileBytes(shelf.path) == letter && shelf.notices.count == 1)
            // Made, and not yet written to, when the process was killed.
            try shelf.put([])
            shelf.notices = []
            #expect(try shelf.open() != nil && shelf.notices == [])
        }
    }

    @Test func onlyOneProcessHasTheFile() throws {
        try withShelf { shelf in
            do {
                let first = try #require(try shelf.open())
                #expect(try shelf.open() == nil)
                #expect(shelf.notices.count == 1 && shelf.notices[0].contains("another process"))
                #expect(shelf.save(Shelf.chain([1])[0], in: first.store) != nil)
                #expect(first.store.collect(waiting: true) == [])
            }
            #expect(try shelf.open()?.blocks.count == 1)
        }
    }

    @Test func whereNoFileCanBeThereIsNoStore() throws {
        try withTemporaryDirectory { directory in
            for path in ["\(directory)/missing/prefixes", directory, "\(directory)/pipe"] {
                if path.hasSuffix("pipe") { #expect(unsafe mkfifo(path, 0o600) == 0) }
                let shelf = try Shelf(directory)
                var options = shelf.options
                options.path = path
                var notices: [String] = []
                let staging = try MemoryReservation.unlimited(shelf.identity.slotBytes)
                #expect(PrefixStore.open(options, staging: staging) { notices.append($0) } == nil)
                #expect(notices.count == 1 && notices[0].contains("not kept on flash"))
            }
            // Too small a file, too little memory.
            let shelf = try Shelf(directory)
            shelf.slotsMax = 0
            #expect(try shelf.open() == nil)
            shelf.slotsMax = 1
            shelf.bufferCount = 0
            #expect(try shelf.open() == nil && shelf.notices.count == 2)
            #expect(fileBytes(shelf.path) == nil)
        }
    }

    @Test func nobodyElseMayReadTheFile() throws {
        try withShelf { shelf in
            _ = try #require(try shelf.open())
            var status = stat()
            #expect(unsafe stat(shelf.path, &status) == 0 && status.st_mode & 0o777 == 0o600)
        }
    }

    private func saveOne(_ shelf: Shelf) throws {
        let (store, _) = try #require(try shelf.open())
        #expect(shelf.save(Shelf.chain([1])[0], in: store) != nil)
        #expect(store.collect(waiting: true) == [])
    }
}
