// Finds the tokens that are recognised in text before it is split: control tokens where the caller
// allows them, user-defined ones everywhere.

internal import ModelFormat

/// A piece of text to tokenize, or a token found in it.
enum Fragment: Equatable {
    case text(Range<Int>)
    case token(TokenID, Range<Int>)
}

/// Cuts text at special tokens: the longest token first, then from left to right, as llama.cpp
/// does. (A search from left to right that prefers the longest at each place is another thing: it
/// would let a short token take the beginning of a longer one.)
struct SpecialTokenMatcher: Sendable {
    /// Special tokens in the order of their bytes.
    private let tokens: [Int32]
    /// Lengths that occur, longest first.
    private let lengths: [Int]
    private let texts: StringTable
    /// For tokens that are only recognised where the caller allows it.
    private let isControl: [Bool]
    /// For bytes that some token begins with.
    private let isFirstByte: [Bool]

    /// A place where some special token is.
    private struct Place {
        let start: Int
        /// Length of the longest allowed token here.
        let longest: Int
        /// Where the range of control tokens around this place ends; the place itself outside of
        /// any.
        let allowedEnd: Int

        var end: Int { start + longest }
    }

    init(texts: StringTable, kinds: [TokenKind]) {
        self.texts = texts
        var tokens: [Int32] = []
        for (index, kind) in kinds.enumerated() where !texts.range(index).isEmpty {
            switch kind {
            case .control, .unknown, .userDefined: tokens.append(Int32(index))
            case .normal, .unused, .byte, .undefined: break
            }
        }
        tokens.sort { texts[Int($0)].lexicographicallyPrecedes(texts[Int($1)]) }
        // Of tokens with one text the last is meant.
        tokens = tokens.indices.compactMap { place in
            let next = place + 1
            let isLast =
                next == tokens.count || texts[Int(tokens[place])] != texts[Int(tokens[next])]
            return isLast ? tokens[place] : nil
        }
        self.tokens = tokens
        isControl = tokens.map { kinds[Int($0)] != .userDefined }
        lengths = Set(tokens.map { texts.range(Int($0)).count }).sorted(by: >)
        var isFirstByte = [Bool](repeating: false, count: 256)
        for token in tokens { isFirstByte[Int(texts[Int(token)].first ?? 0)] = true }
        self.isFirstByte = isFirstByte
    }

    var residentBytes: Int { tokens.count * 5 + lengths.count * 8 + isFirstByte.count }

    /// The special token with exactly this text.
    func token(_ text: [UInt8]) -> TokenID? {
        find(text, 0..<text.count).map { TokenID(rawValue: tokens[$0]) }
    }

    /// Cuts `bytes` at user-defined tokens, and at control tokens that lie whole in one of
    /// `controlRanges` (ascending, not overlapping).
    ///
    /// Where the text is open, of which more may follow, the fragments end before whatever that
    /// could change.
    func fragments(
        _ bytes: [UInt8], controlRanges: [Range<Int>], isOpen: Bool = false
    ) -> [Fragment] {
        let searched = isOpen ? max(0, bytes.count - (lengths.first ?? 1) + 1) : bytes.count
        var places = places(bytes[..<searched], of: bytes, controlRanges)
        var settled = searched
        // Places that overlap are decided together, so they stay together.
        if let start = openCluster(places, searched) {
            settled = start
            while let last = places.last, last.start >= start { places.removeLast() }
        }
        if places.isEmpty { return settled == 0 ? [] : [.text(0..<settled)] }
        return fragments(bytes, places, end: settled)
    }

    private func fragments(_ bytes: [UInt8], _ places: [Place], end: Int) -> [Fragment] {
        var isTaken = [Bool](repeating: false, count: end)
        var found: [(start: Int, end: Int, token: Int32)] = []
        for length in lengths {
            for place in places where place.longest >= length {
                let end = place.start + length
                // Tokens found so far are no shorter: they cover an end of any that they overlap.
                if isTaken[place.start] || isTaken[end - 1] { continue }
                guard let index = find(bytes, place.start..<end) else { continue }
                if isControl[index], place.allowedEnd < end { continue }
                for taken in place.start..<end { isTaken[taken] = true }
                found.append((place.start, end, tokens[index]))
            }
        }
        found.sort { $0.start < $1.start }
        var fragments: [Fragment] = []
        var start = 0
        for match in found {
            if start < match.start { fragments.append(.text(start..<match.start)) }
            fragments.append(.token(TokenID(rawValue: match.token), match.start..<match.end))
            start = match.end
        }
        if start < end { fragments.append(.text(start..<end)) }
        return fragments
    }

    /// Where the places begin that overlap each other and reach beyond `end`, or nil.
    private func openCluster(_ places: [Place], _ end: Int) -> Int? {
        var start = 0
        var reach = 0
        for place in places {
            if place.start >= reach { start = place.start }
            reach = max(reach, place.end)
        }
        return reach > end ? start : nil
    }

    private func places(
        _ searched: ArraySlice<UInt8>, of bytes: [UInt8], _ controlRanges: [Range<Int>]
    ) -> [Place] {
        if tokens.isEmpty { return [] }
        var places: [Place] = []
        var ranges = controlRanges[...]
        for start in searched.indices where isFirstByte[Int(bytes[start])] {
            while let range = ranges.first, range.upperBound <= start { ranges.removeFirst() }
            let range = ranges.first.flatMap { $0.contains(start) ? $0 : nil }
            let allowedEnd = range?.upperBound ?? start
            let longest = longestMatch(bytes, start, allowedEnd: allowedEnd)
            if longest == 0 { continue }
            places.append(Place(start: start, longest: longest, allowedEnd: allowedEnd))
        }
        return places
    }

    /// Length of the longest special token at `start`, or 0. Control tokens end by `allowedEnd`.
    private func longestMatch(_ bytes: [UInt8], _ start: Int, allowedEnd: Int) -> Int {
        var candidates = 0..<tokens.count
        var depth = 0
        var longest = 0
        while start + depth < bytes.count {
            // All candidates share the first `depth` bytes; a token of just those comes first.
            let byte = Int(bytes[start + depth])
            let low = firstIndex(in: candidates) { self.byte($0, depth) >= byte }
            let high = firstIndex(in: low..<candidates.upperBound) { self.byte($0, depth) > byte }
            if low == high { break }
            candidates = low..<high
            depth += 1
            if texts.range(Int(tokens[low])).count == depth,
                !isControl[low] || start + depth <= allowedEnd
            {
                longest = depth
            }
        }
        return longest
    }

    /// Byte `depth` of special token `index`, or -1 after its end.
    private func byte(_ index: Int, _ depth: Int) -> Int {
        let range = texts.range(Int(tokens[index]))
        return depth < range.count ? Int(texts.bytes[range.lowerBound + depth]) : -1
    }

    /// The index among `tokens` of the one with the text `bytes[range]`.
    private func find(_ bytes: [UInt8], _ range: Range<Int>) -> Int? {
        let text = bytes[range]
        let index = firstIndex(in: 0..<tokens.count) {
            !texts[Int(tokens[$0])].lexicographicallyPrecedes(text)
        }
        guard index < tokens.count, texts[Int(tokens[index])].elementsEqual(text) else {
            return nil
        }
        return index
    }

    /// The first index in `range` that satisfies `isAfter`, which all later ones do too.
    private func firstIndex(in range: Range<Int>, _ isAfter: (Int) -> Bool) -> Int {
        var low = range.lowerBound
        var high = range.upperBound
        while low < high {
            let middle = (low + high) / 2
            if isAfter(middle) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
