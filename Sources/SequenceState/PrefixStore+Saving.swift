// A block's way to flash: copied at once, written step by step while others compute.

package import LinuxSystem
internal import FlashStorage
internal import ModelFormat

extension PrefixStore {
    /// Begins to write a block. Its pages are copied at once and may be used for something else
    /// when this returns. Waits only while all of the store's memory is on its way.
    ///
    /// - Parameter pages: for each layer where its page is in `pool`; nil where it has none.
    /// - Returns: where the block will be; nil when no slot is free, or the store is off. If it is
    ///   not there in the end, ``collect(waiting:)`` says so.
    package func save(_ block: PrefixBlock, pages: [Int?], from pool: MemoryArena) -> SlotID? {
        let identity = options.identity
        precondition(
            pages.count == identity.layerCount, "a block has a page for each layer, or nil")
        while isOn, freeBuffer == nil { _ = takeCompletion(waiting: true) }
        guard isOn, let buffer = freeBuffer, let (slot, wasWritten) = slots.take() else {
            return nil
        }
        let arena = arena
        let start = offset(of: buffer)
        var layers = LayerSet(layerCount: identity.layerCount)
        var end = start + SlotHeader.byteCount
        for (layer, page) in pages.enumerated() {
            guard let page else { continue }
            layers.insert(layer)
            arena.copy(pool.bytes(at: page, byteCount: identity.pageBytes), to: end)
            end += identity.pageBytes
        }
        let payloadBytes = identity.payloadBytes(pages: layers.count)
        clear(start..<start + SlotHeader.byteCount)
        clear(end..<start + SlotHeader.byteCount + payloadBytes)
        stamp += 1
        let checksum = Checksum.of(
            arena.bytes(at: start + SlotHeader.byteCount, byteCount: payloadBytes))
        let header = SlotHeader(
            block: block, stamp: stamp, layers: layers, payloadChecksum: checksum)
        slots.set(layers, of: slot)
        let save = Save(
            slot: slot, header: header, payloadBytes: payloadBytes, isNew: !wasWritten,
            step: wasWritten ? .oldHeader : payloadBytes > 0 ? .payload : .header)
        begin(save, in: buffer)
        return slot
    }

    /// Takes in what was written meanwhile.
    ///
    /// - Parameter waiting: whether to wait for all that is on its way: before the store goes away,
    ///   for whatever is cut short then is not kept.
    /// - Returns: slots whose blocks are not there after all, each once. They are to be freed.
    package func collect(waiting: Bool = false) -> [SlotID] {
        while takeCompletion(waiting: waiting) {}
        let failed = lost
        lost = []
        return failed
    }

    /// Starts a step of a save.
    private func begin(_ save: Save, in buffer: Int) {
        buffers[buffer] = .saving(save)
        let header = 0..<SlotHeader.byteCount
        let bytes: Range<Int>
        switch save.step {
        case .oldHeader: bytes = header
        case .payload: bytes = header.upperBound..<header.upperBound + save.payloadBytes
        case .header:
            arena.copy(
                unsafe save.header.encode(options.identity).span.bytes, to: offset(of: buffer))
            bytes = header
        }
        _ = submit(.write, buffer: buffer, slot: save.slot, bytes: bytes)
    }

    /// A step of a save ended.
    func continueSave(_ save: Save, in buffer: Int, after failure: ReadFailure?) {
        if let failure {
            buffers[buffer] = .free
            return abandon(save, failure)
        }
        noteSuccess()
        var next = save
        switch save.step {
        case .oldHeader: next.step = save.payloadBytes > 0 ? .payload : .header
        case .payload: next.step = .header
        case .header:
            buffers[buffer] = .free
            statistics.savedBlocks += 1
            return
        }
        begin(next, in: buffer)
    }

    private func abandon(_ save: Save, _ failure: ReadFailure) {
        statistics.lostBlocks += 1
        lost.append(save.slot)
        guard save.isNew, case .full = failure.cause else { return noteFailure(failure) }
        noteFull(save.slot)
    }

    private func clear(_ range: Range<Int>) {
        let arena = arena
        var bytes = arena.mutableBytes(at: range.lowerBound, byteCount: range.count)
        _ = unsafe bytes.withUnsafeMutableBytes {
            unsafe $0.initializeMemory(as: UInt8.self, repeating: 0)
        }
    }
}
