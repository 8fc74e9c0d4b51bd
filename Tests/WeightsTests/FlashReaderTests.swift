// The reader over a queue that does as it is told: pieces, rests, repetitions, failures.

import FlashStorage
import Glibc
import LinuxSystem
import Testing

@Suite struct FlashReaderTests {
    @Test func largeRequestsAreSplitAndBounded() throws {
        let queue = ScriptedQueue(depth: 3)
        let reader = Self.reader(queue, pieceBytesMax: 8192)
        try reader.submit(request(slot: 0, offset: 4096, count: 5 * 8192 + 4096))
        let completion = try #require(try reader.next(waiting: true))
        #expect(completion.failure == nil)
        #expect(queue.inFlightMost == 3)
        #expect(queue.seen.map(\.byteCount) == [8192, 8192, 8192, 8192, 8192, 4096])
        #expect(queue.seen.map(\.fileOffset) == (0..<6).map { 4096 + UInt64($0) * 8192 })
        #expect(queue.seen.map(\.arenaOffset) == (0..<6).map { $0 * 8192 })
        #expect(reader.statistics.bytesRead == UInt64(5 * 8192 + 4096))
        #expect(reader.requestsInFlight == 0)
    }

    @Test func shortReadsGoOnAtWholeBlocks() throws {
        let queue = ScriptedQueue(depth: 2)
        queue.outcomes = [.bytes(5000), .failed(errorNumber: EINTR), .failed(errorNumber: EAGAIN)]
        let reader = Self.reader(queue, pieceBytesMax: 1 << 20)
        try reader.submit(request(slot: 0, offset: 0, count: 16384))
        let completion = try #require(try reader.next(waiting: true))
        #expect(completion.failure == nil)
        #expect(queue.seen.map(\.fileOffset) == [0, 4096, 4096, 4096])
        #expect(queue.seen.map(\.byteCount) == [16384, 12288, 12288, 12288])
    }

    @Test func failureEndsItsRequestAlone() throws {
        let queue = ScriptedQueue(depth: 4)
        queue.outcomes = [.failed(errorNumber: EIO)]
        let reader = Self.reader(queue, pieceBytesMax: 4096)
        try reader.submit(request(slot: 0, offset: 8192, count: 8192))
        try reader.submit(request(slot: 1, offset: 65536, count: 8192))
        var failures: [Int: ReadFailure?] = [:]
        for _ in 0..<2 {
            let completion = try #require(try reader.next(waiting: true))
            failures[Int(completion.request.ticket.rawValue)] = completion.failure
        }
        #expect(failures[1] == .some(nil))
        let failure = try #require(failures[0] ?? nil)
        #expect(failure.fileOffset == 8192 && failure.file == "f")
        #expect(failure.description == "f at byte 8192: read: Input/output error")
    }

    @Test func endOfFileAndCrumbsEnd() throws {
        for outcome in [StorageResult.Outcome.bytes(0), .bytes(100)] {
            let queue = ScriptedQueue(depth: 1)
            queue.outcomes = Array(repeating: outcome, count: 1000)
            let reader = Self.reader(queue, pieceBytesMax: 4096)
            try reader.submit(request(slot: 0, offset: 0, count: 4096))
            #expect(try reader.next(waiting: true)?.failure != nil)
            #expect(queue.seen.count < 100)
        }
    }

    /// A drive may be slow within its limit, and is then counted as getting somewhere; beyond it
    /// the error says which read, and how long.
    @Test func silenceWithinTheLimitIsProgress() throws {
        let queue = ScriptedQueue(depth: 2)
        queue.isSilent = true
        let progress = ProgressCounter()
        let reader = FlashReader(
            queue: queue, fileName: "f",
            limits: FlashReaderLimits(
                pieceBytesMax: 4096, stallNanosecondsMax: 1_100_000_000, progress: progress))
        try reader.submit(request(slot: 0, offset: 8192, count: 4096))
        try reader.submit(request(slot: 1, offset: 65536, count: 4096))
        do throws(ReadFailure) {
            _ = try reader.next(waiting: true)
            Issue.record("silence was not noticed")
        } catch {
            #expect(error.cause == .stalled(seconds: 1.1) && error.fileOffset == 8192)
            #expect(error.description.contains("has not answered for 1.1 s"))
        }
        #expect(progress.count >= 4)
        // What comes later is not lost.
        queue.isSilent = false
        #expect(try reader.next(waiting: true)?.failure == nil)
        #expect(try reader.next(waiting: true)?.failure == nil)
    }

    @Test func nobodyWaitsForWhatNobodyWants() throws {
        let queue = ScriptedQueue(depth: 1)
        queue.isSilent = true
        let reader = FlashReader(
            queue: queue, fileName: "f",
            limits: FlashReaderLimits(
                pieceBytesMax: 4096, stallNanosecondsMax: 3_600_000_000_000))
        reader.isCancelled = { true }
        try reader.submit(request(slot: 0, offset: 0, count: 4096))
        do throws(ReadFailure) {
            _ = try reader.next(waiting: true)
            Issue.record("the wait went on")
        } catch {
            #expect(error.cause == .cancelled)
        }
    }

    private static func reader(_ queue: any StorageQueue, pieceBytesMax: Int) -> FlashReader {
        FlashReader(
            queue: queue, fileName: "f", limits: FlashReaderLimits(pieceBytesMax: pieceBytesMax))
    }

    private func request(slot: Int, offset: UInt64, count: Int) -> FlashRequest {
        FlashRequest(
            FlashTicket(rawValue: UInt64(slot)), fileOffset: offset, byteCount: count,
            arenaOffset: 0)
    }
}

/// Ends commands in order, with given outcomes first and whole reads afterwards.
private final class ScriptedQueue: StorageQueue {
    let kind = "scripted"
    let depth: Int
    var outcomes: [StorageResult.Outcome] = []
    /// Nothing ends.
    var isSilent = false
    private(set) var seen: [StorageCommand] = []
    private(set) var inFlightMost = 0
    private var waiting: [StorageCommand] = []

    init(depth: Int) { self.depth = depth }

    func register(_ file: consuming FileDescriptor) throws(SystemError) -> FileIndex {
        throw SystemError("open", errorNumber: EMFILE)
    }

    func push(_ command: StorageCommand) {
        seen.append(command)
        waiting.append(command)
        inFlightMost = max(inFlightMost, waiting.count)
    }

    func flush() throws(SystemError) {}

    func next(within nanosecondsMax: UInt64) throws(SystemError) -> StorageResult? {
        if isSilent { Thread.sleep(microseconds: UInt32(nanosecondsMax / 1000)) }
        guard !waiting.isEmpty, !isSilent else { return nil }
        let command = waiting.removeFirst()
        let outcome = outcomes.isEmpty ? .bytes(command.byteCount) : outcomes.removeFirst()
        return StorageResult(tag: command.tag, outcome: outcome)
    }
}
