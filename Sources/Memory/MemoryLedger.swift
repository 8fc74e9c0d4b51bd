// The process's memory as a ledger: who takes some reserves it first, and what would exceed the
// limit is refused. Holds numbers, never memory.

internal import Synchronization

/// Memory that was asked for is more than is left.
package struct MemoryError: Error, Sendable, Equatable, CustomStringConvertible {
    package let asked: [MemoryPlan.Term]
    package let leftBytes: Int
    package let limitBytes: Int

    package var description: String {
        let names = asked.map { "\($0.name) \(MemoryPlan.mebibytes($0.bytes))" }
        return "of the memory limit, \(MemoryPlan.mebibytes(limitBytes)), "
            + "\(MemoryPlan.mebibytes(max(0, leftBytes))) are left, too little for "
            + names.joined(separator: " + ")
    }
}

/// What every term holds of one limit. One for a process; any thread may use it.
package final class MemoryLedger: Sendable {
    private struct Books {
        var limitBytes: Int
        var held: [MemoryTerm: Int] = [:]

        var sumBytes: Int { held.values.reduce(0, +) }
    }

    /// What the process itself takes: code, runtime, thread stacks, allocator.
    package static let processBytes = 16 << 20
    /// The least that connections are given.
    package static let connectionBytesMin = 3 << 19
    /// No daemon does with less for everything.
    package static let bytesMin = processBytes + connectionBytesMin
    /// A limit that nothing reaches.
    package static let unlimitedBytes = Int.max >> 4

    private let books: Mutex<Books>

    /// A ledger of what a process holds at first, and for good: itself and its clients, whether the
    /// limit holds them or not.
    package init(limitBytes: Int, connectionBytes: Int = 0) {
        books = Mutex(
            Books(
                limitBytes: limitBytes,
                held: [.process: Self.processBytes, .connections: connectionBytes]))
    }

    /// One whose limit nothing reaches, for tools and tests.
    package static func unlimited() -> MemoryLedger { MemoryLedger(limitBytes: unlimitedBytes) }

    /// The limit for everything. It may change where nobody has set it: what is held stays.
    package var limitBytes: Int {
        get { books.withLock { $0.limitBytes } }
        set { books.withLock { $0.limitBytes = newValue } }
    }

    /// What is not held; none where more is than the limit.
    package var leftBytes: Int { books.withLock { max(0, $0.limitBytes - $0.sumBytes) } }

    package func bytes(of term: MemoryTerm) -> Int { books.withLock { $0.held[term] ?? 0 } }

    /// What is held now, in the order of the terms.
    package var held: MemoryPlan {
        books.withLock { books in
            var plan = MemoryPlan(limitBytes: books.limitBytes)
            for term in MemoryTerm.allCases {
                if let bytes = books.held[term], bytes > 0 { plan.add(term, bytes) }
            }
            return plan
        }
    }

    /// What a model may divide that is the only one.
    package var wholeShare: MemoryPlan {
        var whole = share
        whole.limitBytes = limitBytes
        return whole
    }

    /// What one more model may divide: the limit without what others hold, and, counted once, the
    /// process and its clients.
    package var share: MemoryPlan {
        books.withLock { books in
            let process = books.held[.process] ?? 0
            let connections = books.held[.connections] ?? 0
            let others = books.sumBytes - process - connections
            var plan = MemoryPlan(limitBytes: books.limitBytes - others)
            plan.add(.process, process)
            plan.add(.connections, connections)
            return plan
        }
    }

    /// Reserves bytes for a term until the reservation ends.
    ///
    /// - Throws: `MemoryError` where they are more than is left.
    package func reserve(
        _ term: MemoryTerm, _ byteCount: Int
    ) throws(MemoryError) -> MemoryReservation {
        try reserve([MemoryPlan.Term(term: term, bytes: byteCount)])
    }

    /// Reserves for several terms: all of it or nothing.
    package func reserve(
        _ terms: [MemoryPlan.Term]
    ) throws(MemoryError) -> MemoryReservation {
        try exchange([:], for: terms)
        return MemoryReservation(ledger: self, terms: terms)
    }

    /// Gives back and takes at once.
    fileprivate func exchange(
        _ old: [MemoryTerm: Int], for new: [MemoryPlan.Term]
    ) throws(MemoryError) {
        precondition(new.allSatisfy { $0.bytes >= 0 }, "sizes are checked before they get here")
        let oldBytes = old.values.reduce(0, +)
        let newBytes = new.reduce(0) { $0 + $1.bytes }
        try books.withLock { books throws(MemoryError) in
            let left = books.limitBytes - books.sumBytes + oldBytes
            // What grows nothing is never refused, whatever became of the limit.
            guard newBytes <= max(left, oldBytes) else {
                throw MemoryError(asked: new, leftBytes: left, limitBytes: books.limitBytes)
            }
            for (term, bytes) in old { books.held[term, default: 0] -= bytes }
            for term in new { books.held[term.term, default: 0] += term.bytes }
        }
    }

    fileprivate func giveBack(_ held: [MemoryTerm: Int]) {
        books.withLock { books in
            for (term, bytes) in held { books.held[term, default: 0] -= bytes }
        }
    }
}

/// Bytes of a ledger that are one owner's. Its end gives them back.
package struct MemoryReservation: ~Copyable, Sendable {
    /// Nil within the process's own term.
    private let ledger: MemoryLedger?
    private var held: [MemoryTerm: Int]

    fileprivate init(ledger: MemoryLedger?, terms: [MemoryPlan.Term]) {
        self.ledger = ledger
        held = Dictionary(terms.map { ($0.term, $0.bytes) }, uniquingKeysWith: +)
    }

    private init(ledger: MemoryLedger?, held: [MemoryTerm: Int]) {
        self.ledger = ledger
        self.held = held
    }

    deinit { ledger?.giveBack(held) }

    /// A few pages for a moment, which the term of the process covers.
    ///
    /// - Precondition: they are few.
    package static func ofProcess(_ byteCount: Int) -> MemoryReservation {
        precondition(byteCount <= 64 << 10, "more than the process's own term covers")
        return MemoryReservation(ledger: nil, held: [.process: byteCount])
    }

    package var byteCount: Int { held.values.reduce(0, +) }

    package func bytes(of term: MemoryTerm) -> Int { held[term] ?? 0 }

    /// Cuts off everything that is for these terms.
    package mutating func split(_ terms: Set<MemoryTerm>) -> MemoryReservation {
        let cut = held.filter { terms.contains($0.key) }
        for term in cut.keys { held[term] = nil }
        return MemoryReservation(ledger: ledger, held: cut)
    }

    /// Divides the reservation anew, with more or with less: all of it or nothing.
    ///
    /// - Throws: `MemoryError` where there is less left than more is asked for.
    package mutating func divide(anew terms: [MemoryPlan.Term]) throws(MemoryError) {
        try ledger?.exchange(held, for: terms)
        held = Dictionary(terms.map { ($0.term, $0.bytes) }, uniquingKeysWith: +)
    }
}
