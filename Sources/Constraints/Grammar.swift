// A grammar over one vocabulary: where texts are within it, which tokens may come next, and masks.
//
// XGrammar (arXiv 2411.15100) computes beforehand, for each position of each rule, which tokens do
// not depend on what is around the rule. Here nothing is computed beforehand. The automaton is
// determined as texts go through it, so that a byte costs a look-up. Where few tokens may come,
// they are found by one walk over the sorted vocabulary, which leaves out whole branches, and kept
// by the whole state, stacks included; where many may, as within strings, those alone are tried
// that a sampler would take, which are few hundred of any vocabulary. docs/STRUCTURED.md has the
// costs.

internal import ModelFormat
internal import Synchronization

/// How a sampler is told what may come.
package enum TokenSelection: Sendable {
    /// These tokens, ascending.
    case few([Int32])
    /// The tokens whose bits are set.
    case mask(TokenMask)
    /// Those that are allowed when asked for one by one.
    case each
}

/// A grammar that texts follow. Any thread may ask, one at a time.
package final class Grammar: Sendable {
    /// A text's place.
    struct Cursor: Hashable, Sendable {
        fileprivate let id: Int
    }

    private struct Books {
        var table: StateTable
        var places: [Int: StateID] = [:]
        var nextID = 0
        /// What was found for states, and when it was used last.
        var kept: [StateID: Kept] = [:]
        var keptBytes = 0
        var uses = 0
        /// States where many tokens were tried in vain.
        var costly: Set<StateID> = []
    }

    private struct Kept {
        let selection: TokenSelection
        let bytes: Int
        var lastUse: Int
    }

    /// Where more than so small a part of the vocabulary may come, tokens are tried one by one.
    private static let widePart = 8
    /// Where fewer than so small a part may, they are a list.
    private static let fewPart = 64
    /// Tokens tried in vain, after which a state's mask is worth its time.
    private static let costlyCount = 2048
    /// What a dictionary takes for an entry, beside what is in it.
    private static let entryBytes = 96

    let vocabulary: VocabularyIndex
    /// The vocabulary's tokens that the automaton names, in its order.
    private let tokens: [Int]
    /// Bytes for what is kept of states.
    private let keptBytesMax: Int
    private let books: Mutex<Books>

    /// - Parameters:
    ///   - tokens: those that the automaton names.
    ///   - bytesMax: for what is found out about states.
    ///   - masksMax: masks that there is room for besides.
    init(
        _ automaton: Automaton, vocabulary: VocabularyIndex, tokens: [Int], bytesMax: Int,
        masksMax: Int
    ) {
        self.vocabulary = vocabulary
        self.tokens = tokens
        keptBytesMax = masksMax * TokenMask.byteCount(tokenCount: vocabulary.tokenCount)
        books = Mutex(Books(table: StateTable(automaton, bytesMax: bytesMax)))
    }

    // MARK: texts

    /// A text that begins.
    ///
    /// - Throws: `ConstraintError.tooLarge` where there is no room for it.
    func begin() throws(ConstraintError) -> Cursor {
        try books.withLock { books throws(ConstraintError) in
            let state = try Self.retrying(&books) { books throws(StateTable.Problem) in
                try books.table.start()
            }
            books.nextID += 1
            books.places[books.nextID] = state
            return Cursor(id: books.nextID)
        }
    }

    /// Another text begins where one was.
    ///
    /// - Throws: `ConstraintError.tooLarge` where there is no room for it.
    func restart(_ cursor: Cursor) throws(ConstraintError) {
        try books.withLock { books throws(ConstraintError) in
            books.places[cursor.id] = try Self.retrying(&books) {
                books throws(StateTable.Problem) in try books.table.start()
            }
        }
    }

    func end(_ cursor: Cursor) { books.withLock { _ = $0.places.removeValue(forKey: cursor.id) } }

    /// Whether a text may end here.
    func isAccepting(_ cursor: Cursor) -> Bool {
        books.withLock { books in
            books.places[cursor.id].map { books.table.isAccepting($0) } ?? true
        }
    }

    /// Whether nothing can follow.
    func isComplete(_ cursor: Cursor) -> Bool {
        books.withLock { books in
            books.places[cursor.id].map { books.table.isComplete($0) } ?? true
        }
    }

    /// Whether the token may come next, or what is left of its bytes.
    func allows(_ token: Int, from start: Int? = nil, at cursor: Cursor) -> Bool {
        books.withLock { books in
            let next = try? Self.retrying(&books) { books throws(StateTable.Problem) in
                try self.next(token, start, cursor, &books)
            }
            return next != nil
        }
    }

    /// The token comes next, or what is left of its bytes.
    ///
    /// - Returns: false where it may not; the place is then what it was.
    /// - Throws: `ConstraintError.tooLarge` where there is no room for what follows.
    func accept(
        _ token: Int, from start: Int? = nil, at cursor: Cursor
    ) throws(ConstraintError) -> Bool {
        try books.withLock { books throws(ConstraintError) in
            let next = try Self.retrying(&books) { books throws(StateTable.Problem) in
                try self.next(token, start, cursor, &books)
            }
            guard let next else { return false }
            books.places[cursor.id] = next
            return true
        }
    }

    /// How many of these tokens may come next, one after the other.
    func allowedCount(_ following: some Collection<Int>, at cursor: Cursor) -> Int {
        books.withLock { books in
            let count = try? Self.retrying(&books) { books throws(StateTable.Problem) in
                guard var state = books.places[cursor.id] else { return 0 }
                var count = 0
                for token in following {
                    guard let next = try self.next(token, nil, state, &books) else { break }
                    state = next
                    count += 1
                }
                return count
            }
            return count ?? 0
        }
    }

    private func next(
        _ token: Int, _ start: Int?, _ cursor: Cursor, _ books: inout Books
    ) throws(StateTable.Problem) -> StateID? {
        guard let state = books.places[cursor.id] else { return nil }
        return try next(token, start, state, &books)
    }

    private func next(
        _ token: Int, _ start: Int?, _ state: StateID, _ books: inout Books
    ) throws(StateTable.Problem) -> StateID? {
        if !tokens.isEmpty, let own = tokens.firstIndex(of: token),
            let next = try books.table.next(state, token: own)
        {
            return next
        }
        let range = vocabulary.range(token)
        var state = state
        var place = start ?? range.lowerBound
        guard place < range.upperBound else { return nil }
        while place < range.upperBound {
            guard let next = try books.table.next(state, byte: vocabulary[byteAt: place]) else {
                return nil
            }
            state = next
            place += 1
        }
        return state
    }

    // MARK: what may come next

    /// What may come next: as a list, as a mask, or one by one.
    ///
    /// - Parameter candidatesMax: as many tokens the sampler chooses from, at most.
    func selection(at cursor: Cursor, candidatesMax: Int) -> TokenSelection {
        books.withLock { books in
            guard let state = books.places[cursor.id] else { return .each }
            books.uses += 1
            books.table.beginToken()
            if let kept = books.kept[state] {
                books.kept[state]?.lastUse = books.uses
                return kept.selection
            }
            let tokenCount = vocabulary.tokenCount
            guard
                candidatesMax > tokenCount / Self.widePart || books.costly.contains(state)
                    || !isWide(state, &books)
            else { return .each }
            let mask = try? Self.retrying(&books) { books throws(StateTable.Problem) in
                guard let state = books.places[cursor.id] else {
                    return TokenMask(tokenCount: tokenCount)
                }
                return try self.mask(state, &books)
            }
            guard let mask, let state = books.places[cursor.id] else { return .each }
            let isFew = mask.count <= tokenCount / Self.fewPart
            let selection = isFew ? TokenSelection.few(mask.tokens) : .mask(mask)
            keep(selection, for: state, &books)
            return selection
        }
    }

    /// Asks for tokens one after the other.
    ///
    /// - Parameter body: is given what tells whether a token may come next.
    func withChecks<Result>(
        at cursor: Cursor, _ body: ((TokenID) -> Bool) -> Result
    ) -> Result {
        books.withLock { books in
            let mayEnd = books.places[cursor.id].map { books.table.isAccepting($0) } ?? true
            var refusals = 0
            let result = body { token in
                if mayEnd, vocabulary.endings.contains(token.index) { return true }
                let next = try? Self.retrying(&books) { books throws(StateTable.Problem) in
                    try self.next(token.index, nil, cursor, &books)
                }
                let isAllowed = next != nil
                if !isAllowed { refusals += 1 }
                return isAllowed
            }
            if refusals > Self.costlyCount, let state = books.places[cursor.id] {
                books.costly.insert(state)
            }
            return result
        }
    }

    /// Whether many tokens may come, by those at even distances in the order.
    private func isWide(_ state: StateID, _ books: inout Books) -> Bool {
        var allowed = 0
        let samples = vocabulary.samples
        for token in samples {
            do {
                if try next(token, nil, state, &books) != nil { allowed += 1 }
            } catch {
                // Where there is no room to find out, tokens are tried one by one.
                return true
            }
        }
        return allowed * Self.widePart > samples.count
    }

    private func keep(_ selection: TokenSelection, for state: StateID, _ books: inout Books) {
        var bytes = Self.entryBytes
        switch selection {
        case .few(let tokens): bytes += 4 * tokens.count
        case .mask: bytes += TokenMask.byteCount(tokenCount: vocabulary.tokenCount)
        case .each: return
        }
        while books.keptBytes + bytes > keptBytesMax,
            let oldest = books.kept.min(by: { $0.value.lastUse < $1.value.lastUse })
        {
            books.keptBytes -= oldest.value.bytes
            books.kept[oldest.key] = nil
        }
        books.keptBytes += bytes
        books.kept[state] = Kept(selection: selection, bytes: bytes, lastUse: books.uses)
    }

    private func mask(
        _ state: StateID, _ books: inout Books
    ) throws(StateTable.Problem) -> TokenMask {
        var mask = TokenMask(tokenCount: vocabulary.tokenCount)
        try vocabulary.walk(
            from: state,
            step: { state, byte throws(StateTable.Problem) in
                try books.table.next(state, byte: byte)
            }, visit: { mask.insert($0) })
        for (own, token) in tokens.enumerated() {
            if try books.table.next(state, token: own) != nil { mask.insert(token) }
        }
        if books.table.isAccepting(state) {
            for token in vocabulary.endings { mask.insert(token) }
        }
        return mask
    }

    // MARK: memory

    /// What is asked for; where there is no room for it, once more after all is forgotten that no
    /// text needs.
    private static func retrying<Result>(
        _ books: inout Books,
        _ body: (inout Books) throws(StateTable.Problem) -> Result
    ) throws(ConstraintError) -> Result {
        do {
            return try body(&books)
        } catch {
            guard error == .full else { throw ambiguous }
            try forget(&books)
        }
        do {
            return try body(&books)
        } catch {
            guard error == .full else { throw ambiguous }
            throw .tooLarge("the text so far needs more memory than there is for grammars")
        }
    }

    private static let ambiguous = ConstraintError.tooLarge(
        "the grammar allows too many ways to read the text so far")

    private static func forget(_ books: inout Books) throws(ConstraintError) {
        let cursors = books.places.keys.sorted()
        let states = cursors.compactMap { books.places[$0] }
        books.kept = [:]
        books.keptBytes = 0
        books.costly = []
        do {
            let now = try books.table.forget(keeping: states)
            books.places = Dictionary(zip(cursors, now), uniquingKeysWith: { first, _ in first })
        } catch {
            books.places = [:]
            throw .tooLarge("the texts so far need more memory than there is for grammars")
        }
    }
}
