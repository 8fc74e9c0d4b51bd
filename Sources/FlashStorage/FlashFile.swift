// Opens a packed file for streaming: finds out whether O_DIRECT really works, and picks io_uring or
// threads.

package import Knobs
package import LinuxSystem
internal import Memory

/// How a file is read.
package struct FlashOptions: Sendable {
    package var reader = ReaderChoice.automatic
    /// Flash collects garbage for a second now and then; four are a broken drive.
    package static let stallNanosecondsDefault: UInt64 = 4_000_000_000

    /// How long a request waits for a drive that does not answer, before it fails.
    package var stallNanosecondsMax = stallNanosecondsDefault
    /// Told of every read that ends, and of waiting within ``stallNanosecondsMax``.
    package var progress: ProgressCounter?
    /// Asked while waiting for the drive: whether to give up.
    package var isCancelled: (@Sendable () -> Bool)?
    /// Reads in flight at most.
    package var queueDepth = 32
    /// Larger reads are split into pieces of this many bytes.
    package var pieceBytesMax = 1 << 20
    /// Bytes that nobody needs, between two small reads, that cost less than another read.
    package var gapBytesMax = 16 << 10
    /// Reads of single neurons begin and end at multiples of the drive's blocks, but of no less
    /// than this.
    package var readBytesMin = 512
    /// Expert bundles under way beyond which none is read ahead of its demand; 0 is none at all.
    package var prefetchesMax = 0
    /// Whether O_DIRECT is tried at all.
    package var mayReadDirectly = true
    /// Chooses ``queueDepth`` and ``pieceBytesMax`` for a file's drive when it is opened; nil
    /// leaves them as they are.
    package var tuner: (any FlashTuner)?
    /// Puts something between the reader and the device: how tests make drives fail. Nil puts
    /// nothing.
    package var interposer: (@Sendable (any StorageQueue, MemoryArena) -> any StorageQueue)?

    package init() {}
}

/// Knows drives, or gets to know them.
package protocol FlashTuner: Sendable {
    /// `options` as they suit the drive that holds `path`. Never fails: options that suit less are
    /// better than no model.
    ///
    /// Called on the thread that will read. May take `memoryBytes` of memory until it returns.
    func tuned(_ options: FlashOptions, path: String, memoryBytes: Int) -> FlashOptions

    /// What is known of the drive that holds `path`, of memory and the processor. Measures nothing.
    func speeds(forFile path: String) -> MachineSpeeds

    /// Gets to know how fast products are, where nobody knows and they may be measured: with
    /// `measure`, on so many threads, which takes milliseconds.
    func learnProducts(threads: Int, _ measure: () -> Double?)
}

extension FlashTuner {
    package func learnProducts(threads: Int, _ measure: () -> Double?) {}
}

/// Files opened for streaming.
package enum FlashFile {
    /// The options with what is known about the drive that holds `path`, which may be measured now.
    package static func tuned(_ options: FlashOptions, path: String, arena: MemoryArena)
        -> FlashOptions
    {
        guard let tuner = options.tuner else { return options }
        var tuned = tuner.tuned(options, path: path, memoryBytes: arena.byteCount)
        tuned.tuner = nil
        return tuned
    }

    /// Opens `path` and makes a reader of it into `arena`.
    ///
    /// Must be called on the thread that will read, before the arena is used: until then, its
    /// memory may serve to measure the drive.
    /// - Parameter seal: what decrypts the file's bytes; nil where they are as they are.
    /// - Throws: `SystemError` when the file cannot be opened or neither kind of queue can be made.
    package static func reader(
        path: String, arena: MemoryArena, options: FlashOptions, seal: SealedReads? = nil
    ) throws(SystemError) -> FlashReader {
        let options = tuned(options, path: path, arena: arena)
        var isDirect = options.mayReadDirectly
        if isDirect { isDirect = try supportsDirectReads(path: path) }
        let (queue, refusal) = try queue(
            path: path, isDirect: isDirect, arena: arena, options: options)
        let reader = FlashReader(
            queue: options.interposer?(queue, arena) ?? queue, fileName: path,
            limits: FlashReaderLimits(
                pieceBytesMax: options.pieceBytesMax,
                stallNanosecondsMax: options.stallNanosecondsMax, progress: options.progress),
            blockBytes: isDirect ? try directBlockBytes(path, options) : 4096,
            droppingPagesOf: isDirect ? nil : try FileDescriptor(path: path, mode: .read),
            seal: seal)
        reader.isCancelled = options.isCancelled
        reader.ringRefusal = refusal
        return reader
    }

    /// Opens one more file for `reader`, to read and to write: directly where that works, else
    /// through the page cache, which keeps nothing of it.
    ///
    /// The file must be there, and as long as what is written to it will be if a full drive is to
    /// be known before (``FileDescriptor/reserve(byteCount:)``). Requests are in whole blocks of
    /// 4 KiB.
    /// - Throws: `SystemError` when the file cannot be opened, or is one too many for the reader.
    package static func register(
        path: String, with reader: FlashReader, options: FlashOptions
    ) throws(SystemError) -> FileIndex {
        var isDirect = options.mayReadDirectly
        if isDirect { isDirect = try supportsDirectReads(path: path) }
        let file = try FileDescriptor(path: path, mode: isDirect ? .readWriteDirect : .readWrite)
        if !isDirect { file.stopReadingAhead() }
        return try reader.register(
            file, droppingPagesOf: isDirect ? nil : try FileDescriptor(path: path, mode: .read))
    }

    /// Whether O_DIRECT reads of `path` work, bypass the page cache and return what buffered reads
    /// return. Opening alone proves nothing: file systems accept the flag and fail, or lie, or
    /// read through the page cache all the same, on the first read.
    package static func supportsDirectReads(path: String) throws(SystemError) -> Bool {
        try supportsDirectReads(path: path) { $0.isCached(offset: $1, byteCount: $2) }
    }

    /// - Parameter isCached: whether any of a range is in the page cache; nil is not known.
    package static func supportsDirectReads(
        path: String, isCached: (borrowing FileDescriptor, UInt64, UInt64) -> Bool?
    ) throws(SystemError) -> Bool {
        let buffered = try FileDescriptor(path: path, mode: .read)
        guard !buffered.refusesDirectReads, !buffered.isInMemory,
            let direct = try? FileDescriptor(path: path, mode: .readDirect)
        else { return false }
        let probeBytes = 4096
        let blocks = try buffered.byteCount() / UInt64(probeBytes)
        let arena = try MemoryArena(byteCount: 2 * probeBytes, of: .ofProcess(2 * probeBytes))
        buffered.stopReadingAhead()
        // Somebody else may read the same page at the same time: every probe must say the same.
        var (leftPages, leftNone) = (false, false)
        for block in Set([0, blocks / 2, max(blocks, 1) - 1]) {
            let offset = block * UInt64(probeBytes)
            buffered.dropPages(offset: offset, byteCount: UInt64(probeBytes), writesFirst: false)
            let wasCached = isCached(buffered, offset, UInt64(probeBytes)) ?? true
            var found = arena.mutableBytes(at: probeBytes, byteCount: probeBytes)
            guard let count = try? direct.read(at: offset, into: &found) else { return false }
            if !wasCached {
                let isNow = isCached(buffered, offset, UInt64(probeBytes)) ?? false
                if isNow { leftPages = true } else { leftNone = true }
            }
            var expected = arena.mutableBytes(at: 0, byteCount: probeBytes)
            let expectedCount = try buffered.read(at: offset, into: &expected)
            buffered.dropPages(offset: offset, byteCount: UInt64(probeBytes), writesFirst: false)
            guard count == expectedCount,
                Self.areEqual(
                    arena.bytes(at: 0, byteCount: count),
                    arena.bytes(at: probeBytes, byteCount: count))
            else { return false }
        }
        return leftNone || !leftPages
    }

    /// Whether what was read of `path` through the page cache stays there when it is dropped: the
    /// file system holds it in memory, or another program does.
    static func staysInMemory(path: String) throws(SystemError) -> Bool {
        let file = try FileDescriptor(path: path, mode: .read)
        if file.isInMemory { return true }
        file.stopReadingAhead()
        let probeBytes = 4096
        let blocks = try file.byteCount() / UInt64(probeBytes)
        let arena = try MemoryArena(byteCount: probeBytes, of: .ofProcess(probeBytes))
        var bytes = arena.mutableBytes(at: 0, byteCount: probeBytes)
        for block in Set([0, blocks / 2, max(blocks, 1) - 1]) {
            let offset = block * UInt64(probeBytes)
            _ = try file.read(at: offset, into: &bytes)
            file.dropPages(offset: offset, byteCount: UInt64(probeBytes), writesFirst: true)
            guard file.isCached(offset: offset, byteCount: UInt64(probeBytes)) == true else {
                return false
            }
        }
        return true
    }

    /// What reads of `path` begin and end at multiples of: pages, or a drive's blocks where direct
    /// reads work.
    package static func blockBytes(
        path: String, options: FlashOptions
    ) throws(SystemError) -> Int {
        guard options.mayReadDirectly, try supportsDirectReads(path: path) else { return 4096 }
        return try directBlockBytes(path, options)
    }

    /// The least that works, from ``FlashOptions/readBytesMin`` to 4 KiB.
    private static func directBlockBytes(
        _ path: String, _ options: FlashOptions
    ) throws(SystemError) -> Int {
        let file = try FileDescriptor(path: path, mode: .readDirect)
        let arena = try MemoryArena(byteCount: 4096, of: .ofProcess(4096))
        for bytes in [512, 1024, 2048] where bytes >= options.readBytesMin {
            var room = arena.mutableBytes(at: bytes % 4096, byteCount: bytes)
            if (try? file.read(at: UInt64(bytes), into: &room)) == bytes { return bytes }
        }
        return 4096
    }

    private static func queue(
        path: String, isDirect: Bool, arena: MemoryArena, options: FlashOptions
    ) throws(SystemError) -> (any StorageQueue, refusal: SystemError?) {
        func file() throws(SystemError) -> FileDescriptor {
            let file = try FileDescriptor(path: path, mode: isDirect ? .readDirect : .read)
            if !isDirect { file.stopReadingAhead() }
            return file
        }
        func threads() throws(SystemError) -> any StorageQueue {
            try ThreadQueue(file: file(), arena: arena, depth: options.queueDepth)
        }
        if options.reader == .threads { return (try threads(), nil) }
        let file = try file()
        do {
            return (try RingQueue(file: file, arena: arena, depth: options.queueDepth), nil)
        } catch {
            guard options.reader == .automatic else { throw error }
            return (try threads(), error)
        }
    }

    static func areEqual(_ left: RawSpan, _ right: RawSpan) -> Bool {
        for offset in 0..<left.byteCount
        where unsafe left.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            != right.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
        {
            return false
        }
        return true
    }
}
