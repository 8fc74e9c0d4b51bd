// What clients may cost in memory, as a part of the budget: the limits of the HTTP interface follow
// from it, so that no crowd of clients can break the sum.

package import HTTPInterface
internal import LinuxSystem
internal import Memory

/// The budget's term for connections, and the limits that keep it.
package struct ConnectionBudget: Sendable, Equatable {
    private static let bytesRange = MemoryBudget.connectionBytesMin...(24 << 20)
    /// Share of the whole budget.
    private static let divisor = 16
    /// What a connection takes: its channel and handlers, and one read (4 KiB), as measured.
    private static let connectionBytes = 12 << 10
    /// Descriptors that are not for clients: standard streams, event loops, models, drives.
    package static let otherDescriptors = 64

    package let byteCount: Int
    /// What the limits divide: the rest is for one body twice, while it is read.
    private let sharedBytes: Int
    /// Longest body. Budgets that hold nothing but small models have small contexts too, so theirs
    /// shrinks faster than they do.
    private let bodyBytesMax: Int

    /// - Parameters:
    ///   - memoryBytes: the whole budget; nil is what the machine and the cgroups allow.
    ///   - limitBytes: what they allow.
    package init(memoryBytes: UInt64?, limitBytes: Int) {
        let budget = min(memoryBytes.map { Int(clamping: $0) } ?? limitBytes, limitBytes)
        let share = budget / Self.divisor
        sharedBytes = min(max(share, Self.bytesRange.lowerBound), Self.bytesRange.upperBound)
        let body = sharedBytes / 2 / 64 * min(64, max(8, budget >> 20))
        bodyBytesMax = min(HTTPLimits().bodyBytesMax, body)
        byteCount = sharedBytes + bodyBytesMax
    }

    /// On this machine, in this cgroup.
    package init(memoryBytes: UInt64?) {
        self.init(memoryBytes: memoryBytes, limitBytes: MemoryLimits.smallestBytes())
    }

    /// Half for what arrives, a quarter for connections as such, a quarter for answers on their way
    /// out. A fifth of all connections is for telling clients that they have to wait, and a quarter
    /// of the rest stays free of generations.
    ///
    /// - Parameters:
    ///   - descriptors: how many files the process may have open.
    ///   - queueMax: requests that may wait for the model.
    package func limits(descriptors: Int, queueMax: Int) -> HTTPLimits {
        var limits = HTTPLimits()
        limits.bodyBytesTotalMax = sharedBytes / 2
        limits.bodyBytesMax = bodyBytesMax
        let connections = min(
            limits.connectionsMax + limits.leavingMax, sharedBytes / 4 / Self.connectionBytes,
            max(descriptors - Self.otherDescriptors, 5))
        limits.leavingMax = max(connections / 5, 1)
        limits.connectionsMax = connections - limits.leavingMax
        limits.generationsMax = max(min(queueMax, limits.connectionsMax * 3 / 4), 1)
        limits.answerBytesTotalMax = sharedBytes / 4
        limits.pendingBytesMax = min(limits.pendingBytesMax, sharedBytes / 4 / 4)
        return limits
    }
}
