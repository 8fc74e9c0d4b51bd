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
    /// What a call begins with, where the answer is free but for its calls, which are texts of the
    /// grammar; and the special token that this is.
    let callBegin: [UInt8]?
    let callToken: Int?

    /// - Parameters:
    ///   - thoughts: what may be thought before; nil where the answer begins at once.
    ///   - isThinking: whether the prompt ends within thoughts.
    ///   - callBegin: what each text of the grammar comes after, in an answer that is free but for
    ///     these; empty where the whole answer is one such text.
    ///   - token: the token with a text.
    package init(
        _ grammar: Grammar, thoughts: ThoughtMarkers? = nil, isThinking: Bool = false,
        callBegin: String = "", token: (String) -> TokenID? = { _ in nil }
    ) {
        self.grammar = grammar
        self.thoughts = thoughts
        self.isThinking = isThinking
        func special(_ marker: [UInt8]?) -> Int? {
            marker.flatMap { token(String(decoding: $0, as: UTF8.self))?.index }.flatMap {
                grammar.vocabulary.range($0).isEmpty ? $0 : nil
            }
        }
        self.callBegin = callBegin.isEmpty ? nil : Array(callBegin.utf8)
        callToken = special(self.callBegin)
        beginToken = special(thoughts?.begin)
        endToken = special(thoughts?.end)
    }

    package static func == (left: AnswerConstraint, right: AnswerConstraint) -> Bool {
        left.grammar === right.grammar && left.thoughts == right.thoughts
            && left.isThinking == right.isThinking && left.callBegin == right.callBegin
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
        /// What is said is free until a call begins: so many bytes of the marker before it were
        /// written, and so many of the one that begins thoughts; nil where these cannot follow.
        case speaking(Int, opening: Int?)
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
            switch (constraint.thoughts, constraint.callBegin) {
            case (.some, _) where constraint.isThinking: .thinking(0)
            case (nil, nil): .answering
            case (.some, nil): .undecided
            case (let thoughts, .some): .speaking(0, opening: thoughts == nil ? nil : 0)
            }
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
        var rest: Int?
        if phase != .answering {
            guard let (next, following) = step(token.index) else { return false }
            phase = next
            guard let following else { return true }
            rest = following
        }
        guard try grammar.accept(token.index, from: rest, at: cursor) else { return false }
        if constraint.callBegin != nil, grammar.isComplete(cursor) {
            try grammar.restart(cursor)
            phase = .speaking(0, opening: nil)
        }
        return true
    }

    /// How many of these tokens may come next, one after the other.
    package func allowedCount(_ tokens: some Collection<TokenID>) -> Int {
        guard phase == .answering else {
            // What is free is so, but where it ends is not looked for in guesses.
            guard phase == .thinking(0) || phase == .speaking(0, opening: nil) else { return 0 }
            return tokens.prefix { step($0.index)?.0 == phase }.count
        }
        return grammar.allowedCount(tokens.map(\.index), at: cursor)
    }

    // MARK: thoughts, and what is free

    /// What follows a token before the answer: the next phase, and from where on its bytes are the
    /// answer's; nil where it may not come.
    private func step(_ token: Int) -> (Phase, Int?)? {
        let range = grammar.vocabulary.range(token)
        if case .speaking(let count, let opening) = phase {
            return speak(range, count, opening, token)
        }
        guard let thoughts = constraint.thoughts, !grammar.vocabulary.endings.contains(token) else {
            return nil
        }
        switch phase {
        case .answering, .speaking: return nil
        case .undecided:
            if grammar.allows(token, at: cursor) { return (.answering, range.lowerBound) }
            if token == constraint.beginToken { return (.thinking(0), nil) }
            return range.isEmpty ? nil : open(range, 0, thoughts)
        case .opening(let count):
            return range.isEmpty ? nil : open(range, count, thoughts)
        case .thinking(let count):
            if token == constraint.endToken {
                return (constraint.callBegin == nil ? .between(0) : .speaking(0, opening: nil), nil)
            }
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
                let rest = place + 1..<range.upperBound
                return constraint.callBegin == nil
                    ? separate(rest, 0, token) : speak(rest, 0, nil, token)
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

    /// What follows a token, or the bytes of one, where all may be said.
    private func speak(
        _ range: Range<Int>, _ count: Int, _ opening: Int?, _ token: Int
    ) -> (Phase, Int?)? {
        if range.isEmpty {
            if token == constraint.callToken { return (.answering, nil) }
            if opening != nil, token == constraint.beginToken { return (.thinking(0), nil) }
            return (.speaking(count, opening: opening), nil)
        }
        let marker = constraint.callBegin ?? []
        var (count, opening) = (count, opening)
        for place in range {
            let byte = grammar.vocabulary[byteAt: place]
            if let thoughts = constraint.thoughts, let begun = opening {
                if thoughts.begin[begun] == byte {
                    opening = begun + 1
                    if begun + 1 == thoughts.begin.count {
                        return think(place + 1..<range.upperBound, 0, thoughts, token)
                    }
                } else if begun > 0 || !Self.isSpace(byte) {
                    opening = nil
                }
            }
            count = Self.matched(marker, count, byte)
            if count == marker.count {
                let rest = place + 1
                if rest == range.upperBound { return (.answering, nil) }
                return grammar.allows(token, from: rest, at: cursor) ? (.answering, rest) : nil
            }
        }
        return (.speaking(count, opening: opening), nil)
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
