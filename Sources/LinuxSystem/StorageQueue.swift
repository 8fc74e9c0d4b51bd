// The face of asynchronous file reading and writing: commands in, results out, a bounded number in
// flight. Two twins stand behind it: io_uring, and threads that call pread and pwrite for kernels
// that refuse io_uring.

/// One of the files of a queue.
package struct FileIndex: RawRepresentable, Sendable, Hashable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }

    /// The file that a queue was made for.
    package static let first = FileIndex(rawValue: 0)
}

/// Which way bytes go.
package enum StorageDirection: Sendable, Equatable {
    /// From the file to memory.
    case read
    /// From memory to the file.
    case write
}

/// One transfer between a file and the queue's memory.
package struct StorageCommand: Sendable, Equatable {
    /// Comes back with the result, also with a failed one.
    package var tag: UInt64
    package var direction: StorageDirection
    package var file: FileIndex
    package var fileOffset: UInt64
    package var byteCount: Int
    /// Where the bytes go to or come from: an offset in the arena that the queue was made for.
    package var arenaOffset: Int

    package init(
        tag: UInt64, _ direction: StorageDirection = .read, file: FileIndex = .first,
        fileOffset: UInt64, byteCount: Int, arenaOffset: Int
    ) {
        self.tag = tag
        self.direction = direction
        self.file = file
        self.fileOffset = fileOffset
        self.byteCount = byteCount
        self.arenaOffset = arenaOffset
    }
}

/// What became of a command: bytes transferred (possibly fewer than asked), or an errno value.
package struct StorageResult: Sendable, Equatable {
    package var tag: UInt64
    package var outcome: Outcome

    package enum Outcome: Sendable, Equatable {
        case bytes(Int)
        case failed(errorNumber: Int32)
    }

    package init(tag: UInt64, outcome: Outcome) {
        self.tag = tag
        self.outcome = outcome
    }
}

/// Transfers between files and one arena. One thread submits and collects; results come in any
/// order, also of a read and a write of the same bytes.
package protocol StorageQueue: AnyObject {
    /// `io_uring` or `pread`, for reports.
    var kind: String { get }
    /// Commands that may be in flight at once.
    var depth: Int { get }

    /// Takes one more file. Commands may be in flight.
    ///
    /// - Throws: `SystemError` when it would be more than ``StorageQueueLimits/filesMax``, or the
    ///   kernel refuses it.
    func register(_ file: consuming FileDescriptor) throws(SystemError) -> FileIndex

    /// Takes a command; it starts at the latest with the next ``flush()``.
    ///
    /// - Precondition: fewer than ``depth`` commands are in flight; the file is registered.
    func push(_ command: StorageCommand)

    /// Starts everything pushed.
    func flush() throws(SystemError)

    /// A finished command, or nil when none finishes within `nanosecondsMax`; 0 does not wait.
    ///
    /// - Precondition: when this waits, at least one command is in flight.
    func next(within nanosecondsMax: UInt64) throws(SystemError) -> StorageResult?
}

/// What all queues have in common.
package enum StorageQueueLimits {
    /// Files of one queue.
    package static let filesMax = 16
}

extension StorageQueue {
    /// A finished command, however long it takes, or with `waiting` false only if there is one.
    package func next(waiting: Bool) throws(SystemError) -> StorageResult? {
        guard waiting else { return try next(within: 0) }
        while true {
            if let result = try next(within: 1 << 40) { return result }
        }
    }
}

/// A queue's files. Never taken out: a command may be under way.
struct OpenFiles {
    /// Arrays hold no descriptors themselves.
    private final class OpenFile {
        let descriptor: FileDescriptor
        init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
    }

    private var files: [OpenFile] = []

    init(_ first: consuming FileDescriptor) { files = [OpenFile(first)] }

    /// - Throws: `SystemError` with `EMFILE` beyond ``StorageQueueLimits/filesMax``.
    mutating func add(_ file: consuming FileDescriptor) throws(SystemError) -> FileIndex {
        guard files.count < StorageQueueLimits.filesMax else {
            throw SystemError("open", errorNumber: SystemError.tooManyFiles, subject: file.path)
        }
        files.append(OpenFile(file))
        return FileIndex(rawValue: files.count - 1)
    }

    /// The system's number of a file.
    subscript(_ index: FileIndex) -> Int32 { files[index.rawValue].descriptor.rawValue }

    func path(_ index: FileIndex) -> String { files[index.rawValue].descriptor.path }
}
