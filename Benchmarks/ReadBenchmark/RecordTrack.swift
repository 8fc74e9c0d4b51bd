// Keeps a number of reads of records in flight for a while. Reads of whole 4 KiB blocks go through
// FlashReader as weights do, shorter ones through its queue alone, which is all that knows them.

internal import FlashStorage
internal import Knobs
internal import LinuxSystem
internal import Memory

struct RecordSpeed {
    let turnsPerSecond: Double
    let bytesPerTurn: Double
    var bytesPerSecond: Double { turnsPerSecond * bytesPerTurn }
}

final class RecordTrack {
    private enum Way {
        case reader(FlashReader)
        case queue(any StorageQueue)
    }

    private struct Read {
        let fileOffset: UInt64
        let byteCount: Int
    }

    let through: String
    private let way: Way
    private let kind: RecordKind
    private let depth: Int
    private let slotBytes: Int
    /// Of each part of the file.
    private let partBytes: UInt64
    private var part = 0

    init(path: String, kind: RecordKind, depth: Int, reader: ReaderChoice) throws {
        var options = FlashOptions()
        options.queueDepth = depth
        options.reader = reader
        guard try FlashFile.supportsDirectReads(path: path) else {
            throw SystemError("open", errorNumber: 22, subject: "\(path) with O_DIRECT")
        }
        slotBytes = (kind.readBytesMax + 4095) / 4096 * 4096
        let arena = try MemoryArena(
            byteCount: depth * slotBytes, for: .measuring, in: .unlimited())
        if kind.alignment == 4096 {
            options.pieceBytesMax = slotBytes
            let reader = try FlashFile.reader(path: path, arena: arena, options: options)
            way = .reader(reader)
            through = "\(reader.kind) reader"
        } else {
            let file = try FileDescriptor(path: path, mode: .readDirect)
            let queue: any StorageQueue =
                reader == .threads
                ? try ThreadQueue(file: file, arena: arena, depth: depth)
                : try RingQueue(file: file, arena: arena, depth: depth)
            way = .queue(queue)
            through = "\(queue.kind) queue"
        }
        self.kind = kind
        self.depth = depth
        let bytes = try FileDescriptor(path: path, mode: .read).byteCount()
        partBytes = bytes / UInt64(kind.recordBytes.count) / 4096 * 4096
        guard partBytes >= UInt64(2 * slotBytes) else {
            throw SystemError("read", errorNumber: 22, subject: "\(path): too small")
        }
    }

    /// Everything that came until the time was over, the reads then in flight included.
    func measure(nanoseconds: UInt64) throws -> RecordSpeed {
        let start = MonotonicClock.nanoseconds
        var (reads, bytes, inFlight) = (0, 0, 0)
        var freeSlots = Array(0..<depth)
        var isOver = false
        repeat {
            while !isOver, let slot = freeSlots.popLast() {
                try submit(next(), slot: slot)
                inFlight += 1
            }
            let (slot, byteCount) = try collect()
            freeSlots.append(slot)
            inFlight -= 1
            reads += 1
            bytes += byteCount
            isOver = MonotonicClock.nanoseconds - start >= nanoseconds
        } while inFlight > 0 || !isOver
        let seconds = Double(MonotonicClock.nanoseconds - start) / 1e9
        let turns = Double(reads) / Double(kind.recordBytes.count)
        return RecordSpeed(turnsPerSecond: turns / seconds, bytesPerTurn: Double(bytes) / turns)
    }

    /// A record of the next part, with the blocks that it lies in.
    private func next() -> Read {
        let record = UInt64(kind.recordBytes[part])
        let alignment = UInt64(kind.alignment)
        let first =
            partBytes * UInt64(part)
            + UInt64.random(in: 0..<partBytes / record) * record
        part = (part + 1) % kind.recordBytes.count
        let start = first / alignment * alignment
        let end = (first + record + alignment - 1) / alignment * alignment
        return Read(fileOffset: start, byteCount: Int(end - start))
    }

    private func submit(_ read: Read, slot: Int) throws {
        switch way {
        case .reader(let reader):
            try reader.submit(
                FlashRequest(
                    FlashTicket(rawValue: UInt64(slot)), fileOffset: read.fileOffset,
                    byteCount: read.byteCount, arenaOffset: slot * slotBytes))
        case .queue(let queue):
            // The count comes back with the slot: reads cut short are failures here.
            queue.push(
                StorageCommand(
                    tag: UInt64(slot) << 32 | UInt64(read.byteCount), fileOffset: read.fileOffset,
                    byteCount: read.byteCount, arenaOffset: slot * slotBytes))
            try queue.flush()
        }
    }

    private func collect() throws -> (slot: Int, byteCount: Int) {
        switch way {
        case .reader(let reader):
            guard let completion = try reader.next(waiting: true) else {
                preconditionFailure("a read is in flight")
            }
            if let failure = completion.failure { throw failure }
            let request = completion.request
            return (Int(request.ticket.rawValue), request.byteCount)
        case .queue(let queue):
            guard let result = try queue.next(waiting: true) else {
                preconditionFailure("a read is in flight")
            }
            let byteCount = Int(result.tag & 0xffff_ffff)
            switch result.outcome {
            case .bytes(byteCount): return (Int(result.tag >> 32), byteCount)
            case .bytes: throw SystemError("read", errorNumber: 5, subject: "a read cut short")
            case .failed(let number): throw SystemError("read", errorNumber: number)
            }
        }
    }
}
