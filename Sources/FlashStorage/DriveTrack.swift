// Files, their queues and the memory that a drive is measured with: keeps a number of reads in
// flight for a while and times what comes.

internal import LinuxSystem
internal import Memory

final class DriveTrack {
    /// A rate that holds for longer than a burst.
    struct Rate {
        let bytesPerSecond: Double
        let isPaced: Bool
    }

    private struct File {
        let path: String
        let byteCount: Int
        let reader: FlashReader
    }

    /// Bytes that had come by a time.
    private struct Sample {
        let seconds: Double
        let bytes: Double
    }

    /// Nothing for so long, with reads in flight, is a pause.
    private static let pauseSeconds = 0.02
    /// Pauses of this share of the time are somebody's doing.
    private static let pausesShareMin = 0.25
    /// Blocks of 4 KiB compared after a measurement.
    private static let blocksCompared = 16

    let isDirect: Bool
    let memoryBytes: Int
    private let files: [File]
    private let arena: MemoryArena

    var readerKind: String { files[0].reader.kind }
    /// Of the file that matters.
    var fileBytes: Int { files[0].byteCount }
    var patterns: [DriveSpeed.Pattern] {
        files.count > 1 ? [.forward, .scattered, .across] : [.forward, .scattered]
    }

    /// - Returns: nil when the first of `paths` is smaller than two of the smallest reads.
    init?(
        paths: [String], options: FlashOptions, memory: consuming MemoryReservation
    ) throws(FlashError) {
        var options = options
        var files: [File] = []
        let memoryBytes = memory.byteCount
        do throws(SystemError) {
            let arena = try MemoryArena(byteCount: memoryBytes, of: memory)
            for path in paths.prefix(DriveProbe.filesMax) {
                let bytes = Int(
                    clamping: try FileDescriptor(path: path, mode: .read).byteCount())
                guard bytes >= 2 * DriveProbe.readSizes[0] else {
                    if files.isEmpty { return nil }
                    continue
                }
                // All in the same way: the first file decides.
                if files.isEmpty, options.mayReadDirectly {
                    options.mayReadDirectly = try FlashFile.supportsDirectReads(path: path)
                }
                files.append(
                    File(
                        path: path, byteCount: bytes,
                        reader: try FlashFile.reader(path: path, arena: arena, options: options)))
            }
            self.arena = arena
        } catch {
            throw .system(error)
        }
        guard !files.isEmpty else { return nil }
        self.files = files
        self.memoryBytes = memoryBytes
        isDirect = options.mayReadDirectly
        if !isDirect { try requireDrive() }
    }

    /// Pages that stay in memory would be measured in place of a drive.
    private func requireDrive() throws(FlashError) {
        let path = files[0].path
        do throws(SystemError) {
            guard try FlashFile.staysInMemory(path: path) else { return }
        } catch {
            throw .system(error)
        }
        throw .read(ReadFailure(file: path, fileOffset: 0, cause: .inMemory))
    }

    /// The speed of everything within a short time, the last reads' end included.
    func bytesPerSecond(
        _ pattern: DriveSpeed.Pattern, readBytes: Int, depth: Int, nanoseconds: UInt64
    ) throws(FlashError) -> Double {
        let start = MonotonicClock.nanoseconds
        var count = 0
        try run(pattern, readBytes: readBytes, depth: depth) { _ in
            count += 1
            return MonotonicClock.nanoseconds - start < nanoseconds
        }
        let seconds = Double(MonotonicClock.nanoseconds - start) / 1e9
        return Double(count * readBytes) / seconds
    }

    /// The rate that lasts: the slope of the line through all completions but those of the first
    /// quarter, which bursts do not bend.
    func sustained(
        _ pattern: DriveSpeed.Pattern = .scattered, readBytes: Int, depth: Int,
        nanoseconds: ClosedRange<UInt64>
    ) throws(FlashError) -> Rate {
        let start = MonotonicClock.nanoseconds
        var samples = [Sample(seconds: 0, bytes: 0)]
        var paused = 0.0
        var isPaced = false
        try run(pattern, readBytes: readBytes, depth: depth) { isLast in
            let now = MonotonicClock.nanoseconds - start
            let last = samples[samples.count - 1]
            let seconds = Double(now) / 1e9
            guard !isLast else { return false }
            samples.append(Sample(seconds: seconds, bytes: last.bytes + Double(readBytes)))
            if seconds - last.seconds > Self.pauseSeconds { paused += seconds - last.seconds }
            isPaced = paused >= Self.pausesShareMin * seconds
            return now < (isPaced ? nanoseconds.upperBound : nanoseconds.lowerBound)
        }
        return Rate(bytesPerSecond: Self.slope(samples), isPaced: isPaced)
    }

    private static func slope(_ samples: [Sample]) -> Double {
        let end = samples[samples.count - 1]
        let late = samples.filter { $0.seconds >= end.seconds / 4 }
        let count = Double(late.count)
        let meanSeconds = late.reduce(0) { $0 + $1.seconds } / count
        let meanBytes = late.reduce(0) { $0 + $1.bytes } / count
        var (along, across) = (0.0, 0.0)
        for sample in late {
            let distance = sample.seconds - meanSeconds
            along += distance * distance
            across += distance * (sample.bytes - meanBytes)
        }
        let slope = across / along
        return slope.isFinite && slope > 0 ? slope : end.bytes / max(end.seconds, 1e-9)
    }

    /// Keeps `depth` reads in flight until `goesOn`, asked after each, says no; then waits for the
    /// rest, for which it is asked with true, and compares some bytes.
    private func run(
        _ pattern: DriveSpeed.Pattern, readBytes: Int, depth: Int, goesOn: (Bool) -> Bool
    ) throws(FlashError) {
        let files =
            pattern == .across ? self.files.filter { $0.byteCount >= readBytes } : [self.files[0]]
        var places = DrivePlaces(pattern, counts: files.map { $0.byteCount / readBytes })
        var freeSlots = Array(0..<depth)
        // Files of the reads in flight, in the order of their beginning.
        var underWay: [Int] = []
        var last: (file: File, request: FlashRequest)?
        // Every slot is used at least once, however slow the drive.
        var unused = depth
        var isOver = false
        do throws(ReadFailure) {
            repeat {
                while unused > 0 || !isOver, let slot = freeSlots.popLast() {
                    unused -= 1
                    let (number, place) = places.next()
                    try files[number].reader.submit(
                        FlashRequest(
                            FlashTicket(rawValue: UInt64(slot)),
                            fileOffset: UInt64(place * readBytes), byteCount: readBytes,
                            arenaOffset: slot * readBytes))
                    underWay.append(number)
                }
                guard let oldest = underWay.first,
                    let completion = try files[oldest].reader.next(waiting: true)
                else { break }
                underWay.removeFirst()
                if let failure = completion.failure { throw failure }
                freeSlots.append(Int(completion.request.ticket.rawValue))
                last = (files[oldest], completion.request)
                isOver = !goesOn(isOver) || isOver
            } while !underWay.isEmpty || !isOver
        } catch {
            throw .read(error)
        }
        if let last { try verify(last.file, last.request) }
    }

    /// Compares some of a read's bytes with the page cache's: first and last block, and others.
    /// All would take longer than the reads did.
    private func verify(_ file: File, _ request: FlashRequest) throws(FlashError) {
        let blockBytes = 4096
        let blocks = request.byteCount / blockBytes
        var chosen: Set<Int> = [0, blocks - 1]
        while chosen.count < min(blocks, Self.blocksCompared) {
            chosen.insert(Int.random(in: 0..<blocks))
        }
        var areSame = true
        let arena = arena
        do throws(SystemError) {
            let cached = try FileDescriptor(path: file.path, mode: .read)
            cached.stopReadingAhead()
            let expected = try MemoryArena(byteCount: blockBytes, of: .ofProcess(blockBytes))
            for block in chosen {
                let offset = request.fileOffset + UInt64(block * blockBytes)
                var bytes = expected.mutableBytes(at: 0, byteCount: blockBytes)
                let count = try cached.read(at: offset, into: &bytes)
                cached.dropPages(offset: offset, byteCount: UInt64(blockBytes), writesFirst: false)
                let found = arena.bytes(
                    at: request.arenaOffset + block * blockBytes, byteCount: blockBytes)
                let isSame = FlashFile.areEqual(
                    expected.bytes(at: 0, byteCount: blockBytes), found)
                if count != blockBytes || !isSame { areSame = false }
            }
        } catch {
            throw .system(error)
        }
        guard areSame else {
            throw .read(
                ReadFailure(
                    file: file.path, fileOffset: request.fileOffset, cause: .directReadDiffers))
        }
    }
}

/// Where the next read goes.
private struct DrivePlaces {
    private let pattern: DriveSpeed.Pattern
    /// Reads that fit into each file.
    private let counts: [Int]
    private var following: Int

    init(_ pattern: DriveSpeed.Pattern, counts: [Int]) {
        self.pattern = pattern
        self.counts = counts
        // Not where the last kind of reading has just been.
        following = Int.random(in: 0..<self.counts[0])
    }

    /// A file's number, and a place in it, counted in reads.
    mutating func next() -> (file: Int, place: Int) {
        following += 1
        switch pattern {
        case .forward: return (0, following % counts[0])
        case .scattered: return (0, Int.random(in: 0..<counts[0]))
        case .across:
            let file = following % counts.count
            return (file, Int.random(in: 0..<counts[file]))
        }
    }
}
