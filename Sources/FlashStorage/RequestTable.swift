// The books of a reader: requests under way, and the pieces that they were split into.

internal import LinuxSystem

/// Requests under way, and those that ended and were not handed back yet.
struct RequestTable {
    private struct Active {
        let request: FlashRequest
        /// None are left of a free place.
        var piecesLeft: Int
        var failure: ReadFailure?
    }

    /// By number.
    private var active: [Active] = []
    /// Numbers of free places: reads of single neurons are many, and looking for one takes longer
    /// than all else about them.
    private var free: [Int] = []
    private(set) var activeCount = 0
    private var finished: [FlashCompletion] = []

    /// Not yet handed back by ``popFinished()``.
    var count: Int { activeCount + finished.count }

    /// - Returns: the request's number until its last piece ends.
    mutating func add(_ request: FlashRequest, pieces: Int) -> Int {
        let new = Active(request: request, piecesLeft: pieces)
        activeCount += 1
        if let number = free.popLast() {
            active[number] = new
            return number
        }
        active.append(new)
        return active.count - 1
    }

    mutating func popFinished() -> FlashCompletion? { finished.popLast() }

    /// A piece ended. A request fails as its first piece that failed.
    mutating func endPiece(of number: Int, failure: ReadFailure?) {
        precondition(active[number].piecesLeft > 0, "a piece without a request")
        active[number].piecesLeft -= 1
        if let failure, active[number].failure == nil { active[number].failure = failure }
        guard active[number].piecesLeft == 0 else { return }
        free.append(number)
        activeCount -= 1
        let ended = active[number]
        finished.append(FlashCompletion(request: ended.request, failure: ended.failure))
    }
}

/// A part of a request: one command of the queue.
struct FlashPiece {
    /// Less than a block, time and again, is a broken drive or a file cut off within a block.
    static let attemptsMax = 64

    /// The number of its request.
    let request: Int
    var command: StorageCommand
    /// Counts those issued.
    var number: UInt64 = 0
    /// Since the last block that was transferred.
    var attempts = 0
}

/// Pieces that wait for a place in the queue, and those that have one.
struct PieceQueue {
    /// By tag; nil is a free one.
    private var issued: [FlashPiece?]
    private var freeTags: [Int]
    private var backlog: [FlashPiece] = []
    private var backlogStart = 0
    private var issuedCount: UInt64 = 0

    init(depth: Int) {
        issued = Array(repeating: nil, count: depth)
        freeTags = Array(0..<depth)
    }

    mutating func append(_ piece: FlashPiece) { backlog.append(piece) }

    /// The next command to push; nil when none waits or the queue is full.
    mutating func issue() -> StorageCommand? {
        guard backlogStart < backlog.count, let tag = freeTags.popLast() else { return nil }
        var piece = backlog[backlogStart]
        backlogStart += 1
        if backlogStart == backlog.count {
            backlog.removeAll(keepingCapacity: true)
            backlogStart = 0
        }
        piece.command.tag = UInt64(tag)
        piece.number = issuedCount
        issuedCount += 1
        issued[tag] = piece
        return piece.command
    }

    /// The piece whose command ended.
    mutating func take(tag: UInt64) -> FlashPiece {
        guard let piece = issued[Int(tag)] else {
            preconditionFailure("a result without a command")
        }
        issued[Int(tag)] = nil
        freeTags.append(Int(tag))
        return piece
    }

    /// The command that has been under way for longest.
    var oldest: StorageCommand? {
        issued.compactMap { $0 }.min { $0.number < $1.number }?.command
    }
}
