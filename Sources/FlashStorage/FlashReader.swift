// Reads whole extents through a ReadQueue: splits them into pieces, finishes short reads, repeats
// interrupted ones, and keeps the number in flight bounded. Knows nothing about what the bytes
// mean.

package import LinuxSystem

/// What a read is for; comes back with its completion.
package enum ReadPurpose: Sendable, Equatable {
    /// An extent into the dense ring.
    case dense(entry: Int)
    /// An extent that stays for good.
    case pinned(unit: Int)
    /// An expert's bundle into a slot.
    case expert(slot: Int)
    /// Bundles of neurons into a slot.
    case neurons(slot: Int)
    /// A page window of the embeddings.
    case embedding(row: Int)
}

/// One extent to read into the arena.
package struct ReadRequest: Sendable, Equatable {
    package var purpose: ReadPurpose
    /// A multiple of the reader's blocks.
    package var fileOffset: UInt64
    /// A multiple of the reader's blocks.
    package var byteCount: Int
    package var arenaOffset: Int
    /// Read in pieces of at most so many bytes, whole sectors.
    package var pieceBytesMax: Int

    package init(
        purpose: ReadPurpose, fileOffset: UInt64, byteCount: Int, arenaOffset: Int,
        pieceBytesMax: Int = .max
    ) {
        self.purpose = purpose
        self.fileOffset = fileOffset
        self.byteCount = byteCount
        self.arenaOffset = arenaOffset
        self.pieceBytesMax = pieceBytesMax
    }
}

/// Why weights could not be had. The request that needed them ends; the cache stays as it was.
package struct ReadFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Cause: Sendable, Equatable {
        case system(SystemError)
        case endOfFile
        case checksum(expected: UInt32, found: UInt32)
        /// Nothing arrived for so many seconds.
        case stalled(seconds: Double)
        /// The file is another now, or has other contents, than when its reading began.
        case changed
        /// O_DIRECT gave other bytes than the page cache.
        case directReadDiffers
        /// Nobody wants the result any more.
        case cancelled
        /// The page cache keeps what is read: there is no drive to measure.
        case inMemory
    }

    package let file: String
    package let fileOffset: UInt64
    package let cause: Cause

    package init(file: String, fileOffset: UInt64, cause: Cause) {
        self.file = file
        self.fileOffset = fileOffset
        self.cause = cause
    }

    /// Whether the bytes came and were wrong, rather than not at all.
    package var isDamage: Bool {
        switch cause {
        case .checksum, .endOfFile: true
        case .system, .directReadDiffers, .stalled, .cancelled, .changed, .inMemory: false
        }
    }

    /// Whether the drive merely did not answer in time, or nobody waits any more.
    package var isDelay: Bool {
        switch cause {
        case .stalled, .cancelled: true
        case .system, .endOfFile, .checksum, .directReadDiffers, .changed, .inMemory: false
        }
    }

    package var description: String {
        let place = "\(file) at byte \(fileOffset)"
        return switch cause {
        case .system(let error): "\(place): \(error)"
        case .endOfFile: "\(place): the file ends too early; was it replaced or cut short?"
        case .stalled(let seconds):
            "\(place): the drive has not answered for \(seconds) s, the most that a read may take"
        case .changed: "\(file): the file was changed while it was being read"
        case .inMemory: "\(file): reads come from memory, not from a drive that could be measured"
        case .cancelled: "\(file): reading was cancelled"
        case .directReadDiffers:
            "\(place): direct reads return other bytes than buffered ones"
        case .checksum(let expected, let found):
            "\(place): weights are damaged: expected checksum \(expected), found \(found)"
        }
    }
}

/// A request that ended, well or badly.
package struct ReadCompletion: Sendable, Equatable {
    package let request: ReadRequest
    package let failure: ReadFailure?
}

/// Reads extents of one file. Lives on one thread.
package final class FlashReader {
    /// Bytes asked of the device by completed reads.
    package private(set) var bytesRead: UInt64 = 0
    /// Time that callers spent waiting in ``next(waiting:)``.
    package private(set) var waitNanoseconds: UInt64 = 0
    /// Time during which requests were under way, as far as callers looked: one that ends while
    /// they compute counts until they look.
    package private(set) var busyNanoseconds: UInt64 = 0
    private var activeCount = 0
    private var busySince: UInt64 = 0
    package var kind: String { queue.kind }
    /// Reads in flight at most.
    package var queueDepth: Int { queue.depth }

    private let queue: any ReadQueue
    private let fileName: String
    /// Larger reads are split into pieces of this many bytes.
    package let pieceBytesMax: Int
    /// What reads begin and end at multiples of.
    package let blockBytes: Int
    /// The file when it is read through the page cache, whose pages are dropped as soon as they
    /// were copied: a memory limit counts them.
    private let cachedFile: FileDescriptor?
    /// How long a caller waits for any read to end.
    package let stallNanosecondsMax: UInt64
    /// A wait is no longer than this before it is told of.
    private static let sliceNanoseconds: UInt64 = 250_000_000
    private let progress: ProgressCounter?
    /// Asked while waiting: whether the wait is to be given up.
    package var isCancelled: (() -> Bool)?
    /// Why the kernel refused io_uring, where threads read instead.
    package internal(set) var ringRefusal: SystemError?
    private var piecesIssued: UInt64 = 0
    /// Requests under way, by index; nil is a free place.
    private var active: [ActiveRequest?] = []
    /// Commands in the queue, by tag; nil is a free tag.
    private var issued: [IssuedPiece?]
    private var freeTags: [Int]
    private var backlog: [IssuedPiece] = []
    private var backlogStart = 0
    private var finished: [ReadCompletion] = []

    /// - Parameters:
    ///   - pieceBytesMax: reads larger than this are split; a multiple of 4 KiB.
    ///   - blockBytes: what requests begin and end at multiples of; divides 4 KiB.
    ///   - cachedFile: the file, when `queue` reads it through the page cache.
    ///   - stallNanosecondsMax: how long a caller waits for any read to end.
    ///   - progress: told of every read that ends, and of waiting within that time.
    package init(
        queue: any ReadQueue, fileName: String, pieceBytesMax: Int, blockBytes: Int = 4096,
        droppingPagesOf cachedFile: consuming FileDescriptor? = nil,
        stallNanosecondsMax: UInt64 = FlashOptions.stallNanosecondsDefault,
        progress: ProgressCounter? = nil
    ) {
        precondition(pieceBytesMax % 4096 == 0 && pieceBytesMax > 0, "pieces are whole blocks")
        precondition(blockBytes > 0 && 4096 % blockBytes == 0, "blocks divide pages")
        self.queue = queue
        self.fileName = fileName
        self.pieceBytesMax = pieceBytesMax
        self.blockBytes = blockBytes
        self.cachedFile = cachedFile
        self.stallNanosecondsMax = stallNanosecondsMax
        self.progress = progress
        issued = Array(repeating: nil, count: queue.depth)
        freeTags = Array(0..<queue.depth)
    }

    /// Requests not yet handed back by ``next(waiting:)``.
    package var requestsInFlight: Int { activeCount + finished.count }

    /// The whole blocks that hold `bytes`.
    package func blocks(_ bytes: Range<Int>) -> Range<Int> {
        let last = (bytes.upperBound + blockBytes - 1) / blockBytes
        return bytes.lowerBound / blockBytes * blockBytes..<last * blockBytes
    }

    /// Starts reading. Completions come from ``next(waiting:)``, in any order.
    ///
    /// - Parameter isLast: whether the kernel is to be told at once; of several small requests,
    ///   only the last one need be.
    /// - Throws: `ReadFailure` when the kernel does not take reads at all.
    package func submit(
        _ request: ReadRequest, isLast: Bool = true
    ) throws(ReadFailure) {
        precondition(
            request.byteCount > 0 && request.byteCount % blockBytes == 0
                && request.fileOffset % UInt64(blockBytes) == 0,
            "extents are whole blocks")
        let index = place(request)
        var done = 0
        while done < request.byteCount {
            let count = min(pieceBytesMax, request.pieceBytesMax, request.byteCount - done)
            backlog.append(
                IssuedPiece(
                    request: index,
                    command: ReadCommand(
                        tag: 0, fileOffset: request.fileOffset + UInt64(done), byteCount: count,
                        arenaOffset: request.arenaOffset + done)))
            active[index]?.piecesLeft += 1
            done += count
        }
        if isLast { try issue() }
    }

    /// A finished request, or nil when none is finished and `waiting` is false.
    ///
    /// - Precondition: with `waiting`, at least one request is in flight.
    /// - Throws: `ReadFailure` when the kernel takes no reads, when nothing ends for too long or
    ///   when ``isCancelled`` says so: the reads are then still under way, and their completions
    ///   come later.
    package func next(waiting: Bool) throws(ReadFailure) -> ReadCompletion? {
        if let completion = finished.popLast() { return completion }
        let start = waiting ? MonotonicClock.nanoseconds : 0
        defer { if waiting { waitNanoseconds += MonotonicClock.nanoseconds - start } }
        while true {
            guard let result = try waiting ? wait() : result(within: 0) else { return nil }
            finish(result)
            try issue()
            if let completion = finished.popLast() { return completion }
        }
    }

    /// The next result, waited for in slices, each of which is progress: a drive may be slow.
    private func wait() throws(ReadFailure) -> ReadResult {
        let deadline = MonotonicClock.nanoseconds + stallNanosecondsMax
        while true {
            let now = MonotonicClock.nanoseconds
            let slice = min(Self.sliceNanoseconds, deadline > now ? deadline - now : 0)
            if let result = try result(within: slice) { return result }
            progress?.note()
            let isOver = MonotonicClock.nanoseconds >= deadline
            guard isOver || isCancelled?() ?? false else { continue }
            let seconds = Double(stallNanosecondsMax) / 1e9
            throw ReadFailure(
                file: fileName, fileOffset: oldestOffset,
                cause: isOver ? .stalled(seconds: seconds) : .cancelled)
        }
    }

    private func result(within nanosecondsMax: UInt64) throws(ReadFailure) -> ReadResult? {
        do { return try queue.next(within: nanosecondsMax) } catch { throw failure(error) }
    }

    /// Where the read begins that has been under way for longest.
    private var oldestOffset: UInt64 {
        let pieces = issued.compactMap { $0 }
        return pieces.min { $0.number < $1.number }?.command.fileOffset ?? 0
    }

    private func place(_ request: ReadRequest) -> Int {
        let new = ActiveRequest(request: request)
        if activeCount == 0 { busySince = MonotonicClock.nanoseconds }
        activeCount += 1
        if let free = active.firstIndex(where: { $0 == nil }) {
            active[free] = new
            return free
        }
        active.append(new)
        return active.count - 1
    }

    /// Moves commands from the backlog into the queue as far as its depth allows.
    private func issue() throws(ReadFailure) {
        var pushed = false
        while backlogStart < backlog.count, let tag = freeTags.popLast() {
            var piece = backlog[backlogStart]
            backlogStart += 1
            piece.command.tag = UInt64(tag)
            piece.number = piecesIssued
            piecesIssued += 1
            issued[tag] = piece
            queue.push(piece.command)
            pushed = true
        }
        if backlogStart == backlog.count {
            backlog.removeAll(keepingCapacity: true)
            backlogStart = 0
        }
        if pushed { do { try queue.flush() } catch { throw failure(error) } }
    }

    private func finish(_ result: ReadResult) {
        let tag = Int(result.tag)
        guard let piece = issued[tag] else { preconditionFailure("a result without a command") }
        issued[tag] = nil
        freeTags.append(tag)
        progress?.note()
        cachedFile?.dropPages(
            offset: piece.command.fileOffset, byteCount: UInt64(piece.command.byteCount),
            writesFirst: false)
        switch result.outcome {
        case .bytes(let count) where count == piece.command.byteCount:
            bytesRead += UInt64(count)
            endPiece(of: piece.request, failure: nil)
        case .bytes(let count) where count > 0:
            bytesRead += UInt64(count)
            repeatRest(of: piece, after: count / blockBytes * blockBytes, orFail: .endOfFile)
        case .bytes:
            let offset = piece.command.fileOffset
            endPiece(
                of: piece.request,
                failure: ReadFailure(file: fileName, fileOffset: offset, cause: .endOfFile))
        case .failed(let number) where SystemError.isTransient(number):
            let error = SystemError("read", errorNumber: number)
            repeatRest(of: piece, after: 0, orFail: .system(error))
        case .failed(let number):
            let error = SystemError("read", errorNumber: number)
            endPiece(
                of: piece.request,
                failure: ReadFailure(
                    file: fileName, fileOffset: piece.command.fileOffset, cause: .system(error)))
        }
    }

    /// Reads on after `done` bytes, whole blocks; gives up when no block came for too long.
    private func repeatRest(
        of piece: IssuedPiece, after done: Int, orFail cause: ReadFailure.Cause
    ) {
        var rest = piece
        rest.command.fileOffset += UInt64(done)
        rest.command.arenaOffset += done
        rest.command.byteCount -= done
        rest.attempts = done > 0 ? 0 : rest.attempts + 1
        if rest.attempts > IssuedPiece.attemptsMax {
            endPiece(
                of: piece.request,
                failure: ReadFailure(
                    file: fileName, fileOffset: rest.command.fileOffset, cause: cause))
            return
        }
        backlog.append(rest)
    }

    private func endPiece(of index: Int, failure: ReadFailure?) {
        guard var request = active[index] else { preconditionFailure("a piece without a request") }
        request.piecesLeft -= 1
        request.failure = request.failure ?? failure
        guard request.piecesLeft == 0 else {
            active[index] = request
            return
        }
        active[index] = nil
        activeCount -= 1
        if activeCount == 0 { busyNanoseconds += MonotonicClock.nanoseconds - busySince }
        finished.append(ReadCompletion(request: request.request, failure: request.failure))
    }

    private func failure(_ error: SystemError) -> ReadFailure {
        ReadFailure(file: fileName, fileOffset: 0, cause: .system(error))
    }
}

private struct ActiveRequest {
    let request: ReadRequest
    var piecesLeft = 0
    var failure: ReadFailure?
}

private struct IssuedPiece {
    /// Less than a block, time and again, is a broken drive or a file cut off within a block.
    static let attemptsMax = 64

    let request: Int
    var command: ReadCommand
    /// Counts those issued.
    var number: UInt64 = 0
    /// Since the last block that came.
    var attempts = 0
}

extension ReadFailure: EndingError {
    package var exitStatus: ExitStatus { isDamage ? .badData : .inputOutput }
}
