// Memory as it is to be divided: bytes for each term, and the limit that they must not exceed.

/// What memory is for, before any of it is taken.
package struct MemoryPlan: Sendable, Equatable {
    package struct Term: Sendable, Equatable {
        package let term: MemoryTerm
        package var bytes: Int

        package var name: String { term.rawValue }
    }

    package var limitBytes: Int
    /// In the order in which they were added, each once.
    package private(set) var terms: [Term] = []

    package init(limitBytes: Int) { self.limitBytes = limitBytes }

    package mutating func add(_ term: MemoryTerm, _ bytes: Int) {
        if let index = terms.firstIndex(where: { $0.term == term }) {
            terms[index].bytes += bytes
        } else {
            terms.append(Term(term: term, bytes: bytes))
        }
    }

    /// Bytes of a term; 0 where there is none.
    package subscript(term: MemoryTerm) -> Int {
        terms.first { $0.term == term }?.bytes ?? 0
    }

    package var sumBytes: Int { terms.reduce(0) { $0 + $1.bytes } }
    package func sumBytes(of chosen: Set<MemoryTerm>) -> Int {
        terms.reduce(0) { $0 + (chosen.contains($1.term) ? $1.bytes : 0) }
    }

    package var fits: Bool { sumBytes <= limitBytes }
    package var leftBytes: Int { limitBytes - sumBytes }

    /// The terms as one line: `process 16.0 MiB + KV pages 1.5 MiB + ...`.
    package var sumDescription: String {
        terms.filter { $0.bytes > 0 }.map { "\($0.name) \(Self.mebibytes($0.bytes))" }
            .joined(separator: " + ")
    }

    /// `12.3 MiB`, rounded up, so that what is said to suffice does.
    package static func mebibytes(_ bytes: Int) -> String {
        let tenths = (bytes * 10 + (1 << 20) - 1) >> 20
        return "\(tenths / 10).\(tenths % 10) MiB"
    }
}

/// The model does not fit: how much it needs at least, term by term.
package struct BudgetError: Error, Sendable, Equatable, CustomStringConvertible {
    /// With a context of ``contextTokens``.
    package let needed: MemoryPlan
    package let contextTokens: Int
    /// A context that is no longer than the shortest that makes sense.
    package let shortContextTokens: Int
    /// All that is needed with it.
    package let shortContextBytes: Int
    /// Contexts that fit, longer than the short one, and how keys and values are kept for each.
    package var fitting: [FittingContext] = []

    package init(
        needed: MemoryPlan, contextTokens: Int, shortContextTokens: Int, shortContextBytes: Int
    ) {
        self.needed = needed
        self.contextTokens = contextTokens
        self.shortContextTokens = shortContextTokens
        self.shortContextBytes = shortContextBytes
    }

    package var description: String {
        let less =
            shortContextBytes < needed.sumBytes
            ? " (\(MemoryPlan.mebibytes(shortContextBytes)) for one of \(shortContextTokens))"
            : ""
        return "the memory limit is \(MemoryPlan.mebibytes(needed.limitBytes)), but at least "
            + "\(MemoryPlan.mebibytes(needed.sumBytes)) are needed for a context of "
            + "\(contextTokens) tokens\(less): \(needed.sumDescription)\(alternatives)"
    }

    private var alternatives: String {
        let each = fitting.map { "\($0.contextTokens) tokens at \($0.kvBits) bits" }
        return each.isEmpty ? "" : "; what fits: \(each.joined(separator: ", "))"
    }
}

/// A context that fits a limit, and the bits of keys and values at which it does.
package struct FittingContext: Sendable, Equatable {
    package let contextTokens: Int
    package let kvBits: String

    package init(contextTokens: Int, kvBits: String) {
        self.contextTokens = contextTokens
        self.kvBits = kvBits
    }
}
