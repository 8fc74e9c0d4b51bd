// A log line about something that may happen thousands of times a second: the first is written at
// once, then one at most every ten seconds, with how often it happened.

internal import Knobs
internal import LinuxSystem
internal import Synchronization

/// Any thread may report.
final class RepeatedNotice: Sendable {
    private struct Memory {
        var loggedAt: UInt64?
        var count = 0
    }

    private static let pauseMicroseconds: UInt64 = 10_000_000

    private let log: Log
    private let message: String
    private let memory = Mutex(Memory())

    init(_ message: String, log: Log) {
        self.message = message
        self.log = log
    }

    /// Notes that it happened once more, `now` in microseconds.
    func report(_ reason: String, now: UInt64 = MonotonicClock.microseconds) {
        let count: Int? = memory.withLock { memory in
            memory.count += 1
            if let last = memory.loggedAt, now - last < Self.pauseMicroseconds { return nil }
            defer { memory = Memory(loggedAt: now) }
            return memory.count
        }
        guard let count else { return }
        log.log(.warning, message, ["times": "\(count)", "reason": reason])
    }
}
