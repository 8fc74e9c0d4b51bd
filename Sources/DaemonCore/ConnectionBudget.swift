// What clients may cost in memory, as a part of the budget: the limits of the HTTP interface follow
// from it, so that no crowd of clients can break the sum.

package import HTTPInterface
internal import LinuxSystem

/// The budget's term for connections, and the limits that keep it.
package struct ConnectionBudget: Sendable, Equatable {
    private static let bytesRange = (3 << 19)...(24 << 20)
    /// Share of the whole budget.
    private static let divisor = 16
    /// What an idle connection takes, rounded up from a measurement (8 KiB).
    private static let connectionBytes = 16 << 10

    package let byteCount: Int

    /// - Parameters:
    ///   - memoryBytes: the whole budget; nil is what the machine and the cgroups allow.
    ///   - limitBytes: what they allow.
    package init(memoryBytes: UInt64?, limitBytes: Int) {
        let budget = min(memoryBytes.map { Int(clamping: $0) } ?? limitBytes, limitBytes)
        let share = budget / Self.divisor
        byteCount = min(max(share, Self.bytesRange.lowerBound), Self.bytesRange.upperBound)
    }

    /// On this machine, in this cgroup.
    package init(memoryBytes: UInt64?) {
        self.init(memoryBytes: memoryBytes, limitBytes: MemoryLimits.smallestBytes())
    }

    /// Half for bodies on their way in, a quarter for idle connections, a quarter for answers on
    /// their way out.
    package var limits: HTTPLimits {
        var limits = HTTPLimits()
        limits.bodyBytesTotalMax = byteCount / 2
        limits.bodyBytesMax = min(limits.bodyBytesMax, limits.bodyBytesTotalMax)
        limits.connectionsMax = min(
            limits.connectionsMax, byteCount / 4 / Self.connectionBytes)
        limits.pendingBytesMax = min(limits.pendingBytesMax, byteCount / 4 / 4)
        return limits
    }
}
