// Counters of what was served since the start.

package import HTTPInterface
internal import Synchronization

/// Sums over answered requests. Any thread may read.
package final class Metrics: Sendable {
    package struct Counts: Sendable, Equatable {
        package var requests = 0
        /// Statuses 400 to 499.
        package var clientErrors = 0
        /// Statuses 500 and above.
        package var serverErrors = 0
        package var disconnects = 0
        /// Requests and connections that were told to come back later: too many at once.
        package var refusals = 0
        package var promptTokens = 0
        package var generatedTokens = 0
    }

    private let counts = Mutex(Counts())

    package init() {}

    package var current: Counts { counts.withLock { $0 } }

    package func add(_ record: RequestRecord) {
        counts.withLock { counts in
            counts.requests += 1
            if (400..<500).contains(record.status) { counts.clientErrors += 1 }
            if record.status >= 500 { counts.serverErrors += 1 }
            if record.isRefusal { counts.refusals += 1 }
            if record.outcome == "disconnected" { counts.disconnects += 1 }
            counts.promptTokens += record.promptTokens
            counts.generatedTokens += record.generatedTokens
        }
    }
}
