// A block's way back: read whole, believed only when all in it agrees with what is looked for, and
// then copied to its pages. While one is checked, the next ones are read.

package import FlashStorage
package import LinuxSystem
internal import ModelFormat

/// A block to restore.
package struct BlockRestore: Sendable {
    package let slot: SlotID
    /// What it must be.
    package let block: PrefixBlock
    /// For each layer where its page goes in the pool; nil where it is not wanted or there is none.
    package let pages: [Int?]

    package init(slot: SlotID, block: PrefixBlock, pages: [Int?]) {
        self.slot = slot
        self.block = block
        self.pages = pages
    }
}

/// Why a block did not come back. Its slot is to be freed.
package enum RestoreFailure: Error, Sendable, Equatable {
    /// The slot holds something else, or nothing that makes sense.
    case damaged(String)
    case read(ReadFailure)
    /// It was never written whole.
    case notSaved
    /// The store is off.
    case off
}

/// How far a chain of blocks was restored.
package struct RestoreOutcome: Sendable, Equatable {
    /// Blocks, from the first on, whose pages are filled.
    package let restoredCount: Int
    /// Of the block after those; nil when all are there. What its pages and those of later blocks
    /// hold means nothing.
    package let failure: RestoreFailure?
}

extension PrefixStore {
    /// Fills the pages of blocks that follow each other, and waits for them. Stops at the first one
    /// that does not come.
    ///
    /// - Precondition: the slots hold blocks, and pages are asked only of layers that have one.
    package func restore(_ wanted: [BlockRestore], into pool: MemoryArena) -> RestoreOutcome {
        var (count, failure) = settle(wanted)
        // By whom each is read, the first one first.
        var reading: [Int] = []
        var (started, restored) = (0, 0)
        while isOn, restored < count {
            while started < count, let buffer = freeBuffer, read(wanted[started].slot, buffer) {
                reading.append(buffer)
                started += 1
            }
            guard let buffer = reading.first, case .read(let cause) = buffers[buffer] else {
                _ = takeCompletion(waiting: true)
                continue
            }
            reading.removeFirst()
            buffers[buffer] = .free
            let found = check(wanted[restored], in: buffer, cause)
            if let found {
                failure = found
                count = restored
            } else {
                copy(wanted[restored], from: buffer, to: pool)
                restored += 1
            }
        }
        statistics.restoredBlocks += restored
        drain(reading)
        return RestoreOutcome(
            restoredCount: restored, failure: isOn || restored == wanted.count ? failure : .off)
    }

    /// Waits for those that are being written.
    ///
    /// - Returns: how many can be read, and what is wrong with the next one.
    private func settle(_ wanted: [BlockRestore]) -> (count: Int, failure: RestoreFailure?) {
        for (index, restore) in wanted.enumerated() {
            precondition(slots.isHeld(restore.slot), "the slot is free")
            while isSaving(restore.slot), takeCompletion(waiting: true) {}
            if lost.contains(restore.slot) { return (index, .notSaved) }
        }
        return (wanted.count, nil)
    }

    /// Waits for reads that nobody wants any more.
    private func drain(_ reading: [Int]) {
        for buffer in reading {
            while case .reading = buffers[buffer], takeCompletion(waiting: true) {}
            if case .read = buffers[buffer] { buffers[buffer] = .free }
        }
    }

    private func payloadBytes(_ slot: SlotID) -> Int {
        options.identity.payloadBytes(pages: slots.layers(of: slot).count)
    }

    /// - Returns: false when the store is off now.
    private func read(_ slot: SlotID, _ buffer: Int) -> Bool {
        buffers[buffer] = .reading
        return submit(
            .read, buffer: buffer, slot: slot,
            bytes: 0..<SlotHeader.byteCount + payloadBytes(slot))
    }

    /// Why what was read is not the block that is wanted; nil when it is.
    private func check(
        _ wanted: BlockRestore, in buffer: Int, _ cause: ReadFailure?
    ) -> RestoreFailure? {
        if let cause, !cause.isDamage {
            statistics.lostBlocks += 1
            noteFailure(cause)
            return .read(cause)
        }
        noteSuccess()
        let damage = cause.map { "\($0)" } ?? damage(wanted, in: buffer)
        guard let damage else { return nil }
        statistics.lostBlocks += 1
        notice("the prefix in slot \(wanted.slot.rawValue) is damaged and not used: \(damage)")
        return .damaged(damage)
    }

    private func damage(_ wanted: BlockRestore, in buffer: Int) -> String? {
        let start = offset(of: buffer)
        let header: SlotHeader
        do {
            header = try SlotHeader(
                bytes(start..<start + SlotHeader.byteCount), options.identity, file: "header")
        } catch {
            return "\(error)"
        }
        guard header.block == wanted.block else { return "it holds another block" }
        guard header.layers == slots.layers(of: wanted.slot) else { return "other layers" }
        let arena = arena
        let found = Checksum.of(
            arena.bytes(
                at: start + SlotHeader.byteCount, byteCount: payloadBytes(wanted.slot)))
        return found == header.payloadChecksum
            ? nil : "expected checksum \(header.payloadChecksum), found \(found)"
    }

    /// Bytes of the store's own memory.
    func bytes(_ range: Range<Int>) -> [UInt8] {
        let arena = arena
        let bytes = arena.bytes(at: range.lowerBound, byteCount: range.count)
        return unsafe bytes.withUnsafeBytes { unsafe Array($0) }
    }

    private func copy(_ wanted: BlockRestore, from buffer: Int, to pool: MemoryArena) {
        let arena = arena
        let pageBytes = options.identity.pageBytes
        let layers = slots.layers(of: wanted.slot)
        precondition(wanted.pages.count == options.identity.layerCount, "a page for each layer")
        var place = offset(of: buffer) + SlotHeader.byteCount
        for (layer, page) in wanted.pages.enumerated() {
            guard layers.contains(layer) else {
                precondition(page == nil, "the block has no page of this layer")
                continue
            }
            if let page { pool.copy(arena.bytes(at: place, byteCount: pageBytes), to: page) }
            place += pageBytes
        }
    }
}
