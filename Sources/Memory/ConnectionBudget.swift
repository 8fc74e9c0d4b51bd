// What clients may cost in memory, as a part of the budget.

/// The budget's term for connections.
package struct ConnectionBudget: Sendable, Equatable {
    private static let bytesRange = MemoryLedger.connectionBytesMin...(24 << 20)
    /// Share of the whole budget, at most.
    private static let divisor = 16
    /// What a model needs first. Of what a budget has beyond it, clients have this share at most:
    /// below 64 MiB every mebibyte decides how many weights stay in memory, while few clients are
    /// to be expected, and short prompts. (Of 50 MiB, a sixteenth left no room for the neurons
    /// that half a model of 75 MiB keeps, and cost a quarter of its speed.)
    private static let modelBytes = 48 << 20
    private static let divisorBeyondModel = 4
    /// No body is longer, in whatever memory.
    package static let bodyBytesMost = 8 << 20

    package let byteCount: Int
    /// What the limits divide: the rest is for one body twice, while it is read.
    package let sharedBytes: Int
    /// Longest body. Budgets that hold nothing but small models have small contexts too, so theirs
    /// shrinks faster than they do.
    package let bodyBytesMax: Int

    /// - Parameters:
    ///   - memoryBytes: the whole budget; nil is what the machine and the cgroups allow.
    ///   - limitBytes: what they allow.
    package init(memoryBytes: UInt64?, limitBytes: Int) {
        let budget = min(memoryBytes.map { Int(clamping: $0) } ?? limitBytes, limitBytes)
        let share = min(
            budget / Self.divisor, (budget - Self.modelBytes) / Self.divisorBeyondModel)
        sharedBytes = min(max(share, Self.bytesRange.lowerBound), Self.bytesRange.upperBound)
        let body = sharedBytes / 2 / 64 * min(64, max(8, budget >> 20))
        bodyBytesMax = min(Self.bodyBytesMost, body)
        byteCount = sharedBytes + bodyBytesMax
    }
}
