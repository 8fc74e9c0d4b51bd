// Counters of what was served since the start.

package import GenerationAPI
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

    /// What requests are counted by.
    package struct Kind: Sendable, Hashable {
        package let route: String
        package let status: Int
    }

    /// Everything that is counted.
    package struct Books: Sendable {
        package var counts = Counts()
        /// See ``PressureStep``.
        package var pressureStep = 0
        package var requests: [Kind: Int] = [:]
        /// Reasons for which answers ended, and errors' codes: words of the program's own.
        package var outcomes: [String: Int] = [:]
        /// What answers took that came to their end.
        package var took = GenerationStatistics()
        /// From a request's beginning to the first of its answer.
        package var firstPieces = Histogram(
            bounds: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600])
        /// Between one piece of an answer and the next.
        package var gaps = Histogram(
            bounds: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10])
    }

    private let books = Mutex(Books())

    package init() {}

    package var current: Counts { books.withLock { $0.counts } }

    package var all: Books { books.withLock { $0 } }

    package func set(pressureStep: Int) { books.withLock { $0.pressureStep = pressureStep } }

    package func add(_ record: RequestRecord) {
        books.withLock { books in
            books.counts.requests += 1
            if (400..<500).contains(record.status) { books.counts.clientErrors += 1 }
            if record.status >= 500 { books.counts.serverErrors += 1 }
            if record.isRefusal { books.counts.refusals += 1 }
            if record.outcome == "disconnected" { books.counts.disconnects += 1 }
            books.counts.promptTokens += record.promptTokens
            books.counts.generatedTokens += record.generatedTokens
            books.requests[Kind(route: record.route, status: record.status), default: 0] += 1
            if let outcome = record.outcome { books.outcomes[outcome, default: 0] += 1 }
            books.took.add(record.statistics, includesPrompt: true)
        }
    }

    /// A piece of an answer came, so long after its request or after the piece before it.
    package func addPiece(after seconds: Double, isFirst: Bool) {
        books.withLock { books in
            if isFirst {
                books.firstPieces.add(seconds)
            } else {
                books.gaps.add(seconds)
            }
        }
    }
}

/// How often values were within bounds, as Prometheus counts them.
package struct Histogram: Sendable, Equatable {
    /// Ascending; above the last there is no bound.
    package let bounds: [Double]
    /// Of values up to each bound, and above the last one; not added up.
    private var counts: [Int]
    package private(set) var sum = 0.0

    package init(bounds: [Double]) {
        self.bounds = bounds
        counts = Array(repeating: 0, count: bounds.count + 1)
    }

    package mutating func add(_ value: Double) {
        guard value.isFinite else { return }
        counts[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
        sum += value
    }

    package var count: Int { counts.reduce(0, +) }

    /// Of values up to each bound.
    package var cumulated: [Int] {
        var total = 0
        return counts.dropLast().map { count in
            total += count
            return total
        }
    }
}
