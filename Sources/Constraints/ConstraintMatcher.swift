// An answer on its way through a grammar, which begins where the model has thought.

package import ModelFormat

/// What a model's thoughts are between.
package struct ThoughtMarkers: Sendable, Equatable {
    let begin: [UInt8]
    let end: [UInt8]

    package init(begin: [UInt8], end: [UInt8]) {
        self.begin = begin
        self.end = end
    }
}

/// A grammar, and what may come before it.
package struct AnswerConstraint: Sendable, Equatable {
    let grammar: Grammar
    let thoughts: ThoughtMarkers?
    let isThinking: Bool
    /// Special tokens that are the markers.
    let beginToken: Int?
    let endToken: Int?

    /// - Parameters:
    ///   - thoughts: what may be thought before; nil where the answer begins at once.
    ///   - isThinking: whether the prompt ends within thoughts.
    ///   - token: the token with a text.
    package init(
        _ grammar: Grammar, thoughts: ThoughtMarkers? = nil, isThinking: Bool = false,
        token: (String) -> TokenID? = { _ in nil }
    ) {
        self.grammar = grammar
        self.thoughts = thoughts
        self.isThinking = isThinking
        func special(_ marker: [UInt8]?) -> Int? {
            marker.flatMap { token(String(decoding: $0, as: UTF8.self))?.index }.flatMap {
                grammar.vocabulary.range($0).isEmpty ? $0 : nil
            }
        }
        beginToken = special(thoughts?.begin)
        endToken = special(thoughts?.end)
    }

    package static func == (left: AnswerConstraint, right: AnswerConstraint) -> Bool {
        left.grammar === right.grammar && left.thoughts == right.thoughts
            && left.isThinking == right.isThinking
    }
}

/// The place of one answer. Tells which tokens may come next; the answer's owner says which came.
package final class ConstraintMatcher {
    private enum Phase: Equatable {
        /// Thoughts may begin, or the answer.
        case undecided
        /// So many bytes of the marker that begins thoughts were written.
        case opening(Int)
        /// The same of the marker that ends them.
        case thinking(Int)
        /// White space, so many bytes of it, before the answer.
        case between(Int)
        case answering
    }

    /// White space after thoughts, at most.
    private static let spaceMax = 16

    private let constraint: AnswerConstraint
    private let cursor: Grammar.Cursor
    private var phase: Phase

    private var grammar: Grammar { constraint.grammar }

    /// - Throws: `ConstraintError.tooLarge` where there is no room for one more answer.
    package init(_ constraint: AnswerConstraint) throws(ConstraintError) {
        self.constraint = constraint
        phase =
            constraint.thoughts == nil
            ? .answering : constraint.isThinking ? .thinking(0) : .undecided
        cursor = try constraint.grammar.begin()
    }

    deinit { grammar.end(cursor) }

    /// How a sampler that chooses from so many tokens is told what may come next.
    package func selection(candidatesMax: Int) -> TokenSelection {
        guard phase == .answering else { return .each }
        return grammar.selection(at: cursor, candidatesMax: candidatesMax)
    }

    /// Asks for tokens one after the other, which is faster than ``allows(_:)`` for each.
    ///
    /// - Parameter body: is given what tells whether a token may come next.
    package func withChecks<Result>(_ body: ((TokenID) -> Bool) -> Result) -> Result {
        guard phase == .answering else { return body { allows($0) } }
        return grammar.withChecks(at: cursor, body)
    }

    /// Whether a token may come next.
    package func allows(_ token: TokenID) -> Bool {
        if phase == .answering {
            if grammar.vocabulary.endings.contains(token.index) {
                return grammar.isAccepting(cursor)
            }
            return grammar.allows(token.index, at: cursor)
        }
        return step(token.index) != nil
    }

    /// Whether nothing can follow any more.
    package var isComplete: Bool { phase == .answering && grammar.isComplete(cursor) }

    /// A token came.
    ///
    /// - Returns: false where it may not have.
    /// - Throws: `ConstraintError.tooLarge` where there is no room for what follows.
    package func accept(_ token: TokenID) throws(ConstraintError) -> Bool {
        if phase == .answering { return try grammar.accept(token.index, at: cursor) }
        guard let (next, rest) = step(token.index) else { return false }
        phase = next
        guard let rest else { return true }
        return try grammar.accept(token.index, from: rest, at: cursor)
    }

    /// How many of these tokens may come next, one after the other.
    package func allowedCount(_ tokens: some Collection<TokenID>) -> Int {
        guard phase == .answering else {
            // Thoughts are free, but where they end is not looked for in guesses.
            guard case .thinking(0) = phase else { return 0 }
            let free = tokens.prefix { token in
                guard let next = step(token.index) else { return false }
                return next.0 == .thinking(0)
            }
            return free.count
        }
        return grammar.allowedCount(tokens.map(\.index), at: cursor)
    }

    // MARK: thoughts

    /// What follows a token before the answer: the next phase, and from where on its bytes are the
    /// answer's; nil where it may not come.
    private func step(_ token: Int) -> (Phase, Int?)? {
        guard let thoughts = constraint.thoughts, !grammar.vocabulary.endings.contains(token) else {
            return nil
        }
        let range = grammar.vocabulary.range(token)
        switch phase {
        case .answering: return nil
        case .undecided:
            if grammar.allows(token, at: cursor) { return (.answering, range.lowerBound) }
            if token == constraint.beginToken { return (.thinking(0), nil) }
            return range.isEmpty ? nil : open(range, 0, thoughts)
        case .opening(let count):
            return range.isEmpty ? nil : open(range, count, thoughts)
        case .thinking(let count):
            if token == constraint.endToken { return (.between(0), nil) }
            return think(range, count, thoughts, token)
        case .between(let count):
            return range.isEmpty ? nil : separate(range, count, token)
        }
    }

    private func open(
        _ range: Range<Int>, _ count: Int, _ thoughts: ThoughtMarkers
    ) -> (Phase, Int?)? {
        var count = count
        for place in range {
            // What is thought is free.
            if count == thoughts.begin.count { break }
            guard grammar.vocabulary[byteAt: place] == thoughts.begin[count] else { return nil }
            count += 1
        }
        return (count == thoughts.begin.count ? .thinking(0) : .opening(count), nil)
    }

    private func think(
        _ range: Range<Int>, _ count: Int, _ thoughts: ThoughtMarkers, _ token: Int
    ) -> (Phase, Int?)? {
        var count = count
        for place in range {
            count = Self.matched(thoughts.end, count, grammar.vocabulary[byteAt: place])
            if count == thoughts.end.count {
                return separate(place + 1..<range.upperBound, 0, token)
            }
        }
        return (.thinking(count), nil)
    }

    private func separate(_ range: Range<Int>, _ count: Int, _ token: Int) -> (Phase, Int?)? {
        var place = range.lowerBound
        while place < range.upperBound, Self.isSpace(grammar.vocabulary[byteAt: place]) {
            place += 1
        }
        let spaces = count + place - range.lowerBound
        guard spaces <= Self.spaceMax else { return nil }
        if place == range.upperBound { return (.between(spaces), nil) }
        return grammar.allows(token, from: place, at: cursor) ? (.answering, place) : nil
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    /// Bytes of the marker that a text ends with, which ended with `count` of them before `byte`.
    private static func matched(_ marker: [UInt8], _ count: Int, _ byte: UInt8) -> Int {
        var length = min(count + 1, marker.count)
        while length > 0 {
            // What was matched, and the byte, end with the marker's first `length` bytes.
            if marker[length - 1] == byte,
                marker[..<(length - 1)].elementsEqual(
                    marker[(count - (length - 1))..<count])
            {
                return length
            }
            length -= 1
        }
        return 0
    }
}
