// The hard budget as a value: named terms that must sum to at most a limit.

/// What memory is for, before any of it is taken.
package struct MemoryBudget: Sendable, Equatable {
    package struct Term: Sendable, Equatable {
        package let name: String
        package let bytes: Int
    }

    package var limitBytes: Int
    package private(set) var terms: [Term] = []

    package init(limitBytes: Int) { self.limitBytes = limitBytes }

    package mutating func add(_ name: String, _ bytes: Int) {
        terms.append(Term(name: name, bytes: bytes))
    }

    package var sumBytes: Int { terms.reduce(0) { $0 + $1.bytes } }
    /// The sum of the terms with these names.
    package func sumBytes(of names: Set<String>) -> Int {
        terms.reduce(0) { $0 + (names.contains($1.name) ? $1.bytes : 0) }
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
    package let needed: MemoryBudget
    package let contextTokens: Int
    /// A context that is no longer than the shortest that makes sense.
    package let shortContextTokens: Int
    /// All that is needed with it.
    package let shortContextBytes: Int

    package init(
        needed: MemoryBudget, contextTokens: Int, shortContextTokens: Int, shortContextBytes: Int
    ) {
        self.needed = needed
        self.contextTokens = contextTokens
        self.shortContextTokens = shortContextTokens
        self.shortContextBytes = shortContextBytes
    }

    package var description: String {
        let less =
            shortContextBytes < needed.sumBytes
            ? " (\(MemoryBudget.mebibytes(shortContextBytes)) for one of \(shortContextTokens))"
            : ""
        return "the memory limit is \(MemoryBudget.mebibytes(needed.limitBytes)), but at least "
            + "\(MemoryBudget.mebibytes(needed.sumBytes)) are needed for a context of "
            + "\(contextTokens) tokens\(less): \(needed.sumDescription)"
    }
}

extension MemoryBudget {
    /// What the process itself takes: code, runtime, thread stacks, allocator.
    package static let processBytes = 16 << 20
    /// The least that connections are given.
    package static let connectionBytesMin = 3 << 19
    /// No daemon does with less for everything.
    package static let bytesMin = processBytes + connectionBytesMin
}
