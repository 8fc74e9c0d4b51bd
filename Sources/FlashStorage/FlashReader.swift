// Reads and writes whole extents through a StorageQueue: splits them into pieces, finishes short
// transfers, repeats interrupted ones, and keeps the number in flight bounded. Knows nothing about
// what the bytes mean.

package import LinuxSystem

/// How a reader splits, waits and reports.
package struct FlashReaderLimits: Sendable {
    /// Larger requests are split into pieces of this many bytes; a multiple of 4 KiB.
    package var pieceBytesMax: Int
    /// How long a caller waits for any request to end.
    package var stallNanosecondsMax = FlashOptions.stallNanosecondsDefault
    /// Told of every piece that ends, and of waiting within that time.
    package var progress: ProgressCounter?

    package init(
        pieceBytesMax: Int,
        stallNanosecondsMax: UInt64 = FlashOptions.stallNanosecondsDefault,
        progress: ProgressCounter? = nil
    ) {
        precondition(pieceBytesMax % 4096 == 0 && pieceBytesMax > 0, "pieces are whole blocks")
        self.pieceBytesMax = pieceBytesMax
        self.stallNanosecondsMax = stallNanosecondsMax
        self.progress = progress
    }
}

/// A file of a reader.
private final class FlashSource {
    let name: String
    /// What requests begin and end at multiples of.
    let blockBytes: Int
    /// The file when the queue goes through the page cache, whose pages are dropped as soon as they
    /// were copied: a memory limit counts them.
    let cached: FileDescriptor?

    init(name: String, blockBytes: Int, cached: consuming FileDescriptor?) {
        precondition(blockBytes > 0 && 4096 % blockBytes == 0, "blocks divide pages")
        self.name = name
        self.blockBytes = blockBytes
        self.cached = cached
    }
}

/// Reads extents of files, and writes them. Lives on one thread.
package final class FlashReader {
    package private(set) var statistics = FlashStatistics()
    package var kind: String { queue.kind }
    /// Pieces in flight at most.
    package var queueDepth: Int { queue.depth }
    package let limits: FlashReaderLimits
    /// Asked while waiting: whether the wait is to be given up.
    package var isCancelled: (() -> Bool)?
    /// Why the kernel refused io_uring, where threads read instead.
    package internal(set) var ringRefusal: SystemError?

    private let queue: any StorageQueue
    /// By their indices in the queue.
    private var files: [FlashSource]
    private var requests = RequestTable()
    /// Decrypts what comes of the first file; nil where that is not encrypted.
    private let seal: SealedReads?
    private var pieces: PieceQueue
    private var busySince: UInt64 = 0
    /// A wait is no longer than this before it is told of.
    private static let sliceNanoseconds: UInt64 = 250_000_000

    /// A reader of the file that `queue` was made for.
    ///
    /// - Parameters:
    ///   - blockBytes: what requests begin and end at multiples of; divides 4 KiB.
    ///   - cachedFile: the file, when `queue` goes through the page cache.
    ///   - seal: what decrypts the file's bytes; nil where they are as they are.
    package init(
        queue: any StorageQueue, fileName: String, limits: FlashReaderLimits,
        blockBytes: Int = 4096, droppingPagesOf cachedFile: consuming FileDescriptor? = nil,
        seal: SealedReads? = nil
    ) {
        self.seal = seal
        self.queue = queue
        self.limits = limits
        files = [FlashSource(name: fileName, blockBytes: blockBytes, cached: cachedFile)]
        pieces = PieceQueue(depth: queue.depth)
    }

    /// Takes one more file. Requests may be in flight.
    ///
    /// - Parameters: as of the first one.
    /// - Throws: `SystemError` when it is one too many, or the kernel refuses it.
    package func register(
        _ file: consuming FileDescriptor, blockBytes: Int = 4096,
        droppingPagesOf cachedFile: consuming FileDescriptor? = nil
    ) throws(SystemError) -> FileIndex {
        let source = FlashSource(name: file.path, blockBytes: blockBytes, cached: cachedFile)
        let index = try queue.register(file)
        precondition(index.rawValue == files.count, "all files of a queue are its reader's")
        files.append(source)
        return index
    }

    /// Whether the first file is encrypted: its units are read whole.
    package var isSealed: Bool { seal != nil }

    /// Requests not yet handed back by ``next(waiting:)``.
    package var requestsInFlight: Int { requests.count }

    /// What requests of a file begin and end at multiples of.
    package func blockBytes(of file: FileIndex = .first) -> Int { files[file.rawValue].blockBytes }

    /// The whole blocks of the first file that hold `bytes`.
    package func blocks(_ bytes: Range<Int>) -> Range<Int> {
        let blockBytes = blockBytes()
        let last = (bytes.upperBound + blockBytes - 1) / blockBytes
        return bytes.lowerBound / blockBytes * blockBytes..<last * blockBytes
    }

    /// Starts a request. Completions come from ``next(waiting:)``, in any order.
    ///
    /// Of requests under way none may write what another one reads or writes, in the file or in
    /// the arena.
    /// - Parameter isLast: whether the kernel is to be told at once; of several small requests,
    ///   only the last one need be.
    /// - Throws: `ReadFailure` when the kernel does not take commands at all.
    package func submit(
        _ request: FlashRequest, isLast: Bool = true
    ) throws(ReadFailure) {
        let blockBytes = blockBytes(of: request.file)
        precondition(
            request.byteCount > 0 && request.byteCount % blockBytes == 0
                && request.fileOffset % UInt64(blockBytes) == 0,
            "extents are whole blocks")
        let pieceBytes = min(limits.pieceBytesMax, request.pieceBytesMax)
        if requests.activeCount == 0 { busySince = MonotonicClock.nanoseconds }
        let number = requests.add(
            request, pieces: (request.byteCount + pieceBytes - 1) / pieceBytes)
        for start in stride(from: 0, to: request.byteCount, by: pieceBytes) {
            pieces.append(
                FlashPiece(
                    request: number,
                    command: StorageCommand(
                        tag: 0, request.direction, file: request.file,
                        fileOffset: request.fileOffset + UInt64(start),
                        byteCount: min(pieceBytes, request.byteCount - start),
                        arenaOffset: request.arenaOffset + start)))
        }
        if isLast { try issue() }
    }

    /// A finished request, or nil when none is finished and `waiting` is false.
    ///
    /// - Precondition: with `waiting`, at least one request is in flight.
    /// - Throws: `ReadFailure` when the kernel takes no commands, when nothing ends for too long or
    ///   when ``isCancelled`` says so: the requests are then still under way, and their completions
    ///   come later.
    package func next(waiting: Bool) throws(ReadFailure) -> FlashCompletion? {
        if let completion = popFinished() { return completion }
        let start = waiting ? MonotonicClock.nanoseconds : 0
        defer {
            if waiting { statistics.waitNanoseconds += MonotonicClock.nanoseconds - start }
        }
        while true {
            guard let result = try waiting ? wait() : result(within: 0) else { return nil }
            finish(result)
            try issue()
            if let completion = popFinished() { return completion }
        }
    }

    private func popFinished() -> FlashCompletion? {
        let completion = requests.popFinished()
        return seal.flatMap { seal in completion.map { seal.opened($0) } } ?? completion
    }

    /// The next result, waited for in slices, each of which is progress: a drive may be slow.
    private func wait() throws(ReadFailure) -> StorageResult {
        let deadline = MonotonicClock.nanoseconds + limits.stallNanosecondsMax
        while true {
            let now = MonotonicClock.nanoseconds
            let slice = min(Self.sliceNanoseconds, deadline > now ? deadline - now : 0)
            if let result = try result(within: slice) { return result }
            limits.progress?.note()
            let isOver = MonotonicClock.nanoseconds >= deadline
            guard isOver || isCancelled?() ?? false else { continue }
            let seconds = Double(limits.stallNanosecondsMax) / 1e9
            throw failure(pieces.oldest, isOver ? .stalled(seconds: seconds) : .cancelled)
        }
    }

    private func result(within nanosecondsMax: UInt64) throws(ReadFailure) -> StorageResult? {
        do {
            return try queue.next(within: nanosecondsMax)
        } catch {
            throw failure(nil, .system(error))
        }
    }

    /// Moves commands from the backlog into the queue as far as its depth allows.
    private func issue() throws(ReadFailure) {
        var pushed = false
        while let command = pieces.issue() {
            queue.push(command)
            pushed = true
        }
        guard pushed else { return }
        do { try queue.flush() } catch { throw failure(nil, .system(error)) }
    }

    private func finish(_ result: StorageResult) {
        let piece = pieces.take(tag: result.tag)
        let command = piece.command
        limits.progress?.note()
        files[command.file.rawValue].cached?.dropPages(
            offset: command.fileOffset, byteCount: UInt64(command.byteCount),
            writesFirst: command.direction == .write)
        switch result.outcome {
        case .bytes(let count) where count > 0: transferred(count, of: piece)
        case .bytes:
            switch command.direction {
            case .read: end(piece, failure(command, .endOfFile))
            // Nothing was wrong, and nothing was written.
            case .write: repeatRest(of: piece, after: 0, orFail: Self.nothingWritten)
            }
        case .failed(let number) where SystemError.isTransient(number):
            repeatRest(of: piece, after: 0, orFail: Self.cause(command, errorNumber: number))
        case .failed(let number):
            end(piece, failure(command, Self.cause(command, errorNumber: number)))
        }
    }

    private func transferred(_ count: Int, of piece: FlashPiece) {
        let command = piece.command
        statistics.count(count, command.direction)
        guard count < command.byteCount else { return end(piece, nil) }
        let blockBytes = blockBytes(of: command.file)
        repeatRest(
            of: piece, after: count / blockBytes * blockBytes,
            orFail: command.direction == .read ? .endOfFile : Self.nothingWritten)
    }

    private static var nothingWritten: ReadFailure.Cause {
        .system(SystemError("write", errorNumber: SystemError.inputOutputError))
    }

    private static func cause(
        _ command: StorageCommand, errorNumber: Int32
    ) -> ReadFailure.Cause {
        switch command.direction {
        case .read: .system(SystemError("read", errorNumber: errorNumber))
        case .write where SystemError.isFull(errorNumber): .full(byteCount: command.byteCount)
        case .write: .system(SystemError("write", errorNumber: errorNumber))
        }
    }

    /// Goes on after `done` bytes, whole blocks; gives up when no block came for too long.
    private func repeatRest(
        of piece: FlashPiece, after done: Int, orFail cause: ReadFailure.Cause
    ) {
        var rest = piece
        rest.command.fileOffset += UInt64(done)
        rest.command.arenaOffset += done
        rest.command.byteCount -= done
        rest.attempts = done > 0 ? 0 : rest.attempts + 1
        guard rest.attempts <= FlashPiece.attemptsMax else {
            return end(piece, failure(rest.command, cause))
        }
        pieces.append(rest)
    }

    private func end(_ piece: FlashPiece, _ failure: ReadFailure?) {
        requests.endPiece(of: piece.request, failure: failure)
        guard requests.activeCount == 0 else { return }
        statistics.busyNanoseconds += MonotonicClock.nanoseconds - busySince
    }

    /// - Parameter command: nil is none in particular.
    private func failure(_ command: StorageCommand?, _ cause: ReadFailure.Cause) -> ReadFailure {
        ReadFailure(
            file: files[command?.file.rawValue ?? 0].name, fileOffset: command?.fileOffset ?? 0,
            cause: cause)
    }
}
