// Opens the prefix file: takes it for this process alone, looks whether it belongs to the model,
// and begins anew where it does not. Whatever does not work is a notice and no store.

internal import FlashStorage
internal import LinuxSystem
package import Memory
internal import ModelFormat

extension PrefixStore {
    /// Opens the file, or makes one, and finds what is in it.
    ///
    /// - Parameters:
    ///   - staging: the store's own memory; see ``stagingBytes(_:)``.
    ///   - onNotice: told in one line each what is wrong and what is done about it.
    /// - Returns: nil where no prefixes can be kept. Blocks come after those that they follow.
    package static func open(
        _ options: PrefixStoreOptions, staging: consuming MemoryReservation,
        onNotice: @escaping (String) -> Void
    ) -> (store: PrefixStore, blocks: [StoredBlock])? {
        let refusal: String
        do {
            let store = try make(options, staging: staging, onNotice: onNotice)
            let blocks = store.scan()
            return store.isOn ? (store, blocks) : nil
        } catch let error as Refusal {
            refusal = error.reason
        } catch {
            refusal = "\(error)"
        }
        onNotice("\(options.path): prefixes are not kept on flash: \(refusal)")
        return nil
    }

    private struct Refusal: Error {
        let reason: String
    }

    private static func make(
        _ options: PrefixStoreOptions, staging: consuming MemoryReservation,
        onNotice: @escaping (String) -> Void
    ) throws -> PrefixStore {
        let identity = options.identity
        guard options.slotsMax > 0 else {
            throw Refusal(reason: "a block takes \(identity.slotBytes) bytes, more than allowed")
        }
        let bytes = min(staging.byteCount, buffersMax * identity.slotBytes)
        guard bytes >= identity.slotBytes else {
            throw Refusal(reason: "no memory is left to read them with")
        }
        let arena = try MemoryArena(byteCount: bytes, of: staging)
        let lock = try openFile(options.path)
        // Refuses what is no file, before anything is done to it.
        _ = try lock.byteCount()
        guard try lock.lockForThisProcess() else {
            throw Refusal(reason: "another process keeps its own there")
        }
        let slotCount = try prepare(lock, options, onNotice)
        var flash = options.flash
        flash.tuner = nil
        let reader = try FlashFile.reader(path: options.path, arena: arena, options: flash)
        let file = try FlashFile.register(path: options.path, with: reader, options: flash)
        return PrefixStore(
            options: options, reader: reader, arena: arena, file: file, lock: lock,
            slots: SlotTable(
                slotsMax: options.slotsMax, writtenCount: slotCount,
                layerCount: identity.layerCount),
            onNotice: onNotice)
    }

    private static func openFile(_ path: String) throws(SystemError) -> FileDescriptor {
        do {
            return try FileDescriptor(path: path, mode: .createNew, permissions: 0o600)
        } catch {
            guard error.isTaken else { throw error }
            return try FileDescriptor(path: path, mode: .readWrite)
        }
    }

    /// Sees to it that the file begins with this identity's header and is not too long.
    ///
    /// - Returns: slots that were written, the last one perhaps in part.
    private static func prepare(
        _ file: borrowing FileDescriptor, _ options: PrefixStoreOptions,
        _ onNotice: (String) -> Void
    ) throws -> Int {
        let headerBytes = UInt64(SlotHeader.byteCount)
        let slotBytes = UInt64(options.identity.slotBytes)
        let bytesMax = headerBytes + UInt64(options.slotsMax) * slotBytes
        let length = try file.byteCount()
        if length > 0 {
            let bytes = try readHeader(file)
            guard SlotHeader.isPrefixFile(bytes) else {
                throw Refusal(reason: "it is another kind of file, and is left alone")
            }
            do {
                try SlotHeader.checkFile(bytes, options.identity, file: options.path)
                if length > bytesMax { try file.truncate(byteCount: bytesMax) }
                return Int((min(length, bytesMax) - headerBytes + slotBytes - 1) / slotBytes)
            } catch let error as FormatError {
                onNotice("\(error); begun anew")
            }
        }
        try file.truncate(byteCount: 0)
        try file.write(
            unsafe SlotHeader.encodeFile(options.identity).span.bytes, at: 0)
        try file.synchronize()
        return 0
    }

    /// Fewer bytes where the file has no more.
    private static func readHeader(
        _ file: borrowing FileDescriptor
    ) throws(SystemError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: SlotHeader.byteCount)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        let count = try file.read(at: 0, into: &raw)
        return Array(bytes.prefix(count))
    }
}
