// How fast a file's drive reads, over the size of reads and their number in flight: what streamed
// decoding runs into, and what reads are split by.

internal import LinuxSystem
internal import ModelFiles

/// The speed of one kind of reading.
package struct DriveSpeed: Sendable, Equatable {
    package enum Pattern: String, Sendable, CaseIterable {
        /// From front to back.
        case forward
        /// At random places of the whole file.
        case scattered
    }

    package let pattern: Pattern
    package let readBytes: Int
    package let depth: Int
    package let bytesPerSecond: Double

    package init(pattern: Pattern, readBytes: Int, depth: Int, bytesPerSecond: Double) {
        self.pattern = pattern
        self.readBytes = readBytes
        self.depth = depth
        self.bytesPerSecond = bytesPerSecond
    }
}

/// What a drive was measured at.
package struct DriveProfile: Sendable, Equatable {
    /// Of the fastest speed, what a size or depth must reach to be chosen: smaller reads and
    /// shorter queues answer sooner.
    private static let shareWanted = 0.95

    /// `io_uring` or `pread`.
    package let readerKind: String
    /// Whether reads bypass the page cache.
    package let isDirect: Bool
    /// Not empty.
    package let speeds: [DriveSpeed]

    package init(readerKind: String, isDirect: Bool, speeds: [DriveSpeed]) {
        precondition(!speeds.isEmpty, "a profile has measurements")
        self.readerKind = readerKind
        self.isDirect = isDirect
        self.speeds = speeds
    }

    /// The most that was measured.
    package var bytesPerSecondMax: Double { speeds.map(\.bytesPerSecond).max() ?? 0 }

    /// The smallest scattered reads, and the fewest of them, that are nearly as fast as any.
    package var choice: DriveSpeed {
        let scattered = speeds.filter { $0.pattern == .scattered }
        let candidates = scattered.isEmpty ? speeds : scattered
        let wanted = (candidates.map(\.bytesPerSecond).max() ?? 0) * Self.shareWanted
        let good = candidates.filter { $0.bytesPerSecond >= wanted }
        guard
            let least = good.min(by: { ($0.readBytes, $0.depth) < ($1.readBytes, $1.depth) })
        else { preconditionFailure("the fastest is good") }
        return least
    }
}

/// Measures drives.
package enum DriveProbe {
    package static let readSizes = [64 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20]
    package static let depths = [1, 2, 4, 8, 16, 32]
    /// Memory that reads land in, also those of the largest size and depth.
    private static let arenaBytes = 16 << 20

    /// Measures the drive that holds `path` through the queue that streams weights: a second or
    /// two, 16 MiB of memory. What was read last of every kind is compared with what the page cache
    /// gives.
    ///
    /// - Returns: nil for files smaller than two of the smallest reads.
    /// - Throws: `WeightError` when the file cannot be opened or read, or when a direct read
    ///   returned other bytes than a buffered one.
    package static func measure(
        path: String, options: FlashOptions
    ) throws(WeightError) -> DriveProfile? {
        var options = options
        options.pieceBytesMax = arenaBytes
        let fileBytes: UInt64
        do throws(SystemError) {
            fileBytes = try FileDescriptor(path: path, mode: .read).byteCount()
            if options.mayReadDirectly {
                options.mayReadDirectly = try FlashFile.supportsDirectReads(path: path)
            }
        } catch {
            throw .system(error)
        }
        var speeds: [DriveSpeed] = []
        var kind = ""
        for depth in depths {
            options.queueDepth = depth
            let track = try DriveTrack(path: path, options: options, arenaBytes: arenaBytes)
            kind = track.readerKind
            for readBytes in readSizes
            where readBytes * depth <= arenaBytes && 2 * UInt64(readBytes) <= fileBytes {
                for pattern in DriveSpeed.Pattern.allCases {
                    speeds.append(
                        try track.measure(
                            pattern, readBytes: readBytes, depth: depth, fileBytes: fileBytes))
                }
            }
        }
        guard !speeds.isEmpty else { return nil }
        return DriveProfile(
            readerKind: kind, isDirect: options.mayReadDirectly, speeds: speeds)
    }
}

/// A queue of one depth with the memory that it reads into.
private struct DriveTrack {
    private static let nanosecondsPerSpeed: UInt64 = 30_000_000

    private let path: String
    private let arena: MemoryArena
    private let reader: FlashReader

    var readerKind: String { reader.kind }

    init(path: String, options: FlashOptions, arenaBytes: Int) throws(WeightError) {
        self.path = path
        do throws(SystemError) {
            arena = try MemoryArena(byteCount: arenaBytes)
            reader = try FlashFile.reader(path: path, arena: arena, options: options)
        } catch {
            throw .system(error)
        }
    }

    /// Keeps `depth` reads in flight for a while.
    func measure(
        _ pattern: DriveSpeed.Pattern, readBytes: Int, depth: Int, fileBytes: UInt64
    ) throws(WeightError) -> DriveSpeed {
        var places = DrivePlaces(pattern, readBytes: readBytes, fileBytes: fileBytes)
        let before = reader.bytesRead
        let start = MonotonicClock.nanoseconds
        let last: ReadRequest
        do throws(ReadFailure) {
            last = try readThrough(&places, readBytes: readBytes, depth: depth)
        } catch {
            throw .read(error)
        }
        let seconds = Double(MonotonicClock.nanoseconds - start) / 1e9
        try verify(last)
        return DriveSpeed(
            pattern: pattern, readBytes: readBytes, depth: depth,
            bytesPerSecond: Double(reader.bytesRead - before) / seconds)
    }

    /// - Returns: the request that ended last.
    private func readThrough(
        _ places: inout DrivePlaces, readBytes: Int, depth: Int
    ) throws(ReadFailure) -> ReadRequest {
        let deadline = MonotonicClock.nanoseconds + Self.nanosecondsPerSpeed
        var freeSlots = Array(0..<depth)
        var last: ReadRequest?
        // Every slot is used at least once, however slow the drive.
        var unused = depth
        while true {
            let isOver = unused <= 0 && MonotonicClock.nanoseconds >= deadline
            while !isOver, let slot = freeSlots.popLast() {
                unused -= 1
                try reader.submit(
                    ReadRequest(
                        purpose: .expert(slot: slot), fileOffset: places.next(),
                        byteCount: readBytes, arenaOffset: slot * readBytes))
            }
            guard reader.requestsInFlight > 0 else { break }
            guard let completion = try reader.next(waiting: true) else { continue }
            if let failure = completion.failure { throw failure }
            if case .expert(let slot) = completion.request.purpose { freeSlots.append(slot) }
            last = completion.request
        }
        guard let last else { preconditionFailure("every slot was used") }
        return last
    }

    /// Compares a read's bytes with the page cache's.
    private func verify(_ request: ReadRequest) throws(WeightError) {
        let found = arena
        do throws(SystemError) {
            let file = try FileDescriptor(path: path, mode: .read)
            let expected = try MemoryArena(byteCount: request.byteCount)
            var bytes = expected.mutableBytes(at: 0, byteCount: request.byteCount)
            let count = try file.read(at: request.fileOffset, into: &bytes)
            file.dropPages(
                offset: request.fileOffset, byteCount: UInt64(request.byteCount),
                writesFirst: false)
            if count == request.byteCount,
                FlashFile.areEqual(
                    expected.bytes(at: 0, byteCount: count),
                    found.bytes(at: request.arenaOffset, byteCount: count))
            {
                return
            }
        } catch {
            throw .system(error)
        }
        throw .read(
            ReadFailure(file: path, fileOffset: request.fileOffset, cause: .directReadDiffers))
    }
}

/// Where the next read goes.
private struct DrivePlaces {
    private let pattern: DriveSpeed.Pattern
    private let readBytes: UInt64
    private let count: UInt64
    private var generator = SystemRandomNumberGenerator()
    private var following: UInt64

    init(_ pattern: DriveSpeed.Pattern, readBytes: Int, fileBytes: UInt64) {
        self.pattern = pattern
        self.readBytes = UInt64(readBytes)
        count = max(1, fileBytes / UInt64(readBytes))
        // Not where the last kind of reading has just been.
        following = UInt64.random(in: 0..<count, using: &generator)
    }

    mutating func next() -> UInt64 {
        if pattern == .scattered {
            return UInt64.random(in: 0..<count, using: &generator) * readBytes
        }
        following = (following + 1) % count
        return following * readBytes
    }
}
