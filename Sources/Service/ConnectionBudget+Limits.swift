// The limits of the HTTP interface follow from the budget's term for connections, so that no crowd
// of clients can break the sum.

package import HTTPInterface
package import Memory

extension ConnectionBudget {
    /// What a connection takes: its channel and handlers, and one read (4 KiB), as measured.
    private static let connectionBytes = 12 << 10
    /// Descriptors that are not for clients: standard streams, event loops, models, drives.
    package static let otherDescriptors = 64

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
