// A prefix file in a directory of its own, and a pool whose pages say which block they are of.

import FlashStorage
import Knobs
import LinuxSystem
import Memory
import ModelFormat
import SequenceState
import TestSupport
import Testing

final class Shelf {
    let path: String
    /// Pages are no whole blocks of the drive.
    var identity = PrefixFileIdentity(
        modelDigest: Digest256(hashing: "model"), kvFormat: "k8v4", pageBytes: 5000, layerCount: 3)
    var slotsMax = 16
    /// Blocks in the store's own memory.
    var bufferCount = 3
    var flash = FlashOptions()
    var notices: [String] = []
    let pool: MemoryArena
    private let pagesMax = 64

    init(_ directory: String) throws {
        path = "\(directory)/prefixes"
        pool = try MemoryArena(byteCount: pagesMax * 5000)
        flash.queueDepth = 4
        flash.pieceBytesMax = 8192
    }

    var options: PrefixStoreOptions {
        PrefixStoreOptions(
            path: path, identity: identity,
            bytesMax: UInt64(4096 + slotsMax * identity.slotBytes), flash: flash)
    }

    func open() throws -> (store: PrefixStore, blocks: [StoredBlock])? {
        let staging = try MemoryReservation.unlimited(bufferCount * identity.slotBytes)
        return PrefixStore.open(options, staging: staging) { self.notices.append($0) }
    }

    // MARK: blocks

    /// The blocks of a sequence.
    static func chain(_ kinds: [Int], _ owner: PrefixOwner = .everyone) -> [PrefixBlock] {
        var parent = Digest256.none
        return kinds.map { kind in
            let block = PrefixBlock(tokens: blockTokens(kind), owner: owner, parent: parent)
            parent = block.digest
            return block
        }
    }

    private func contents(_ block: PrefixBlock, layer: Int) -> [UInt8] {
        var random = SplitMix(seed: UInt64(block.digest.words[0]) << 32 | UInt64(layer))
        return random.bytes(identity.pageBytes)
    }

    private func place(_ page: Int) -> Int { page * identity.pageBytes }

    /// Begins to save a block whose pages are in the pool for the moment alone.
    func save(_ block: PrefixBlock, in store: PrefixStore, without absent: Set<Int> = []) -> SlotID?
    {
        for layer in 0..<identity.layerCount {
            pool.copy(unsafe contents(block, layer: layer).span.bytes, to: place(layer))
        }
        let pages = (0..<identity.layerCount).map { absent.contains($0) ? nil : place($0) }
        let slot = store.save(block, pages: pages, from: pool)
        for page in 0..<identity.layerCount { clear(page) }
        return slot
    }

    /// What a restore of blocks asks for, each with pages of its own.
    func wanted(_ blocks: [(slot: SlotID, block: PrefixBlock)], in store: PrefixStore)
        -> [BlockRestore]
    {
        blocks.enumerated().map { index, block in
            let pages = store.hasPages(block.slot).enumerated().map { layer, has in
                has ? place(index * identity.layerCount + layer) : nil
            }
            return BlockRestore(slot: block.slot, block: block.block, pages: pages)
        }
    }

    /// Restores blocks and compares all that came with what they were made of.
    func restore(_ blocks: [(slot: SlotID, block: PrefixBlock)], from store: PrefixStore) throws
        -> RestoreOutcome
    {
        for page in 0..<pagesMax { clear(page) }
        let wanted = wanted(blocks, in: store)
        let outcome = store.restore(wanted, into: pool)
        for restore in wanted.prefix(outcome.restoredCount) {
            for (layer, page) in restore.pages.enumerated() {
                guard let page else { continue }
                #expect(bytes(page) == contents(restore.block, layer: layer), "a wrong page")
            }
        }
        return outcome
    }

    /// Restores each block alone, whatever became of others.
    ///
    /// - Returns: those that came.
    func restoreEach(_ blocks: [StoredBlock], from store: PrefixStore) throws -> [PrefixBlock] {
        try blocks.filter {
            try restore([($0.slot, $0.block)], from: store).restoredCount == 1
        }.map(\.block)
    }

    private func bytes(_ page: Int) -> [UInt8] {
        let pool = pool
        let bytes = pool.bytes(at: page, byteCount: identity.pageBytes)
        return unsafe bytes.withUnsafeBytes { unsafe Array($0) }
    }

    private func clear(_ page: Int) {
        let zeros = [UInt8](repeating: 0, count: identity.pageBytes)
        pool.copy(unsafe zeros.span.bytes, to: place(page))
    }

    /// Replaces the whole file.
    func put(_ bytes: [UInt8]) throws {
        let file = try FileDescriptor(path: path, mode: .create, permissions: 0o600)
        try file.write(unsafe bytes.span.bytes, at: 0)
    }
}

func withShelf(_ body: (Shelf) throws -> Void) throws {
    try withTemporaryDirectory { try body(Shelf($0)) }
}
