// The face of asynchronous file reading: commands in, results out, a bounded number in flight. Two
// twins stand behind it: io_uring, and threads that call pread for kernels that refuse io_uring.

/// One read into the queue's destination memory.
package struct ReadCommand: Sendable, Equatable {
    /// Comes back with the result, also with a failed one.
    package var tag: UInt64
    package var fileOffset: UInt64
    package var byteCount: Int
    /// Where the bytes go: an offset in the arena that the queue was made for.
    package var arenaOffset: Int

    package init(tag: UInt64, fileOffset: UInt64, byteCount: Int, arenaOffset: Int) {
        self.tag = tag
        self.fileOffset = fileOffset
        self.byteCount = byteCount
        self.arenaOffset = arenaOffset
    }
}

/// What became of a command: bytes read (possibly fewer than asked), or an errno value.
package struct ReadResult: Sendable, Equatable {
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

/// Reads of one file into one arena. One thread submits and collects; results come in any order.
package protocol ReadQueue: AnyObject {
    /// `io_uring` or `pread`, for reports.
    var kind: String { get }
    /// Commands that may be in flight at once.
    var depth: Int { get }

    /// Takes a command; it starts at the latest with the next ``flush()``.
    ///
    /// - Precondition: fewer than ``depth`` commands are in flight.
    func push(_ command: ReadCommand)

    /// Starts everything pushed.
    func flush() throws(SystemError)

    /// A finished command, or nil when none finishes within `nanosecondsMax`; 0 does not wait.
    ///
    /// - Precondition: when this waits, at least one command is in flight.
    func next(within nanosecondsMax: UInt64) throws(SystemError) -> ReadResult?
}

extension ReadQueue {
    /// A finished command, however long it takes, or with `waiting` false only if there is one.
    package func next(waiting: Bool) throws(SystemError) -> ReadResult? {
        guard waiting else { return try next(within: 0) }
        while true {
            if let result = try next(within: 1 << 40) { return result }
        }
    }
}
