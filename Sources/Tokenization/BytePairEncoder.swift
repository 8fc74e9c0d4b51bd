// BPE (Sennrich et al., arXiv 1508.07909), on bytes as in GPT-2 or on characters: words are merged
// pair by pair in the order of the vocabulary's merge list.

internal import ModelFormat

/// Turns text into tokens by the merges of a `gpt2` or `gemma4` vocabulary.
///
/// Symbols are token ids; texts that merges name but the vocabulary lacks have ids after those.
struct BytePairEncoder: Sendable {
    private static let notSymbol: Int32 = -1

    private let preTokenizer: PreTokenizer
    private let tokens: TokenLookup
    private let merges: MergeTable
    /// Texts of the symbols after the vocabulary's.
    private let extra: TextTable
    /// The symbol for each byte, where words are bytes.
    private let byteSymbols: [Int32]
    /// The token for each byte of a symbol that is none, or `notSymbol`.
    private let byteTokens: [Int32]
    /// Characters that some merge has next to each other, where words are characters.
    private let neighbours: CharacterPairs?

    init(_ vocabulary: Vocabulary, tokens: TokenLookup) throws(TokenizerError) {
        let isOfCharacters = vocabulary.model == .characterPairEncoding
        preTokenizer = try PreTokenizer(
            name: isOfCharacters ? vocabulary.model.rawValue : vocabulary.preTokenizer)
        var extra = TextTable()
        func symbol(_ text: [UInt8], _ range: Range<Int>) -> Int32 {
            if let token = tokens.plainToken(text, range) { return token }
            return Int32(tokens.count + extra.insert(Array(text[range])))
        }
        switch preTokenizer.alphabet {
        case .bytes:
            byteSymbols = (0..<256).map { byte in
                var text: [UInt8] = []
                ByteAlphabet.append(UInt8(byte), to: &text)
                return symbol(text, 0..<text.count)
            }
            byteTokens = (0..<256).map {
                tokens.plainToken([UInt8($0)], 0..<1) ?? Self.notSymbol
            }
        case .characters:
            byteSymbols = []
            byteTokens = (0..<256).map {
                tokens.anyToken(ByteToken.text(UInt8($0))) ?? Self.notSymbol
            }
        }
        let list = vocabulary.merges
        var merges = MergeTable(capacity: list.count)
        var merged: [UInt8] = []
        var neighbours: CharacterPairs? = byteSymbols.isEmpty ? CharacterPairs() : nil
        for index in 0..<list.count {
            let merge = list[index]
            // The left part may begin with a space, never hold one.
            guard let space = merge.dropFirst().firstIndex(of: 0x20) else { continue }
            merged.removeAll(keepingCapacity: true)
            merged += merge[..<space]
            let seam = merged.count
            merged += merge[(space + 1)...]
            merges.append(
                left: symbol(merged, 0..<seam), right: symbol(merged, seam..<merged.count),
                merged: symbol(merged, 0..<merged.count))
            neighbours?.add(merged[...])
        }
        self.neighbours = neighbours
        self.tokens = tokens
        self.merges = merges
        self.extra = extra
    }

    var addsBeginning: Bool { preTokenizer.addsBeginning }
    var alwaysAddsBeginning: Bool { preTokenizer.alwaysAddsBeginning }

    var isByteLevel: Bool {
        if case .bytes = preTokenizer.alphabet { true } else { false }
    }

    var escapesSpaces: Bool {
        if case .characters(escapesSpaces: true) = preTokenizer.alphabet { true } else { false }
    }

    var residentBytes: Int {
        merges.residentBytes + (byteSymbols.count + byteTokens.count) * 4 + extra.residentBytes
            + extra.texts.residentBytes + (neighbours?.residentBytes ?? 0)
    }

    /// Whether every byte of a text ends up in some token.
    var keepsAllBytes: Bool {
        isByteLevel
            ? byteSymbols.allSatisfy { $0 < tokens.count }
            : byteTokens.allSatisfy { $0 != Self.notSymbol }
    }

    /// Appends the tokens of `bytes`. Where the text is open, of which more may follow, the last
    /// words are left for later.
    ///
    /// - Returns: the bytes that the tokens stand for.
    func encode(_ bytes: ArraySlice<UInt8>, isOpen: Bool, into output: inout [TokenID]) -> Int {
        let text = ScalarText(utf8: bytes, escapesSpaces: escapesSpaces)
        let ends = wordEnds(text)
        let settledEnd = isOpen ? preTokenizer.settledEnd(text) : text.count
        let isByteLevel = isByteLevel
        var chain = MergeChain()
        var word: [UInt8] = []
        var written: [UInt8] = []
        var start = 0
        for end in ends.lazy.map({ Int($0) }) {
            if end > settledEnd { break }
            word.removeAll(keepingCapacity: true)
            text.appendUTF8(start..<end, to: &word)
            start = end
            if let token = wholeToken(word, &written) {
                output.append(TokenID(rawValue: token))
                continue
            }
            if isByteLevel, word.count == 1 {
                append(byteSymbols[Int(word[0])], word[...], to: &output)
                continue
            }
            chain.removeAll()
            chain.reserve(byteCount: word.count)
            if isByteLevel {
                for byte in word { chain.append(byteSymbols[Int(byte)], byteCount: 1) }
            } else {
                appendCharacters(of: word, to: &chain)
            }
            chain.merge(merges)
            chain.visit { append($0, word[$1], to: &output) }
        }
        return isOpen ? ScalarText.byteCount(ofFirst: start, of: bytes) : bytes.count
    }

    /// How often splitting `bytes` into words looks at a scalar.
    func looks(splitting bytes: [UInt8]) -> Int {
        let text = ScalarText(utf8: bytes[...], escapesSpaces: escapesSpaces)
        _ = wordEnds(text)
        return text.looks.count
    }

    /// Words, which lines of characters are cut into where nothing merges: else a long line would
    /// be one word, and take as much memory as one.
    private func wordEnds(_ text: ScalarText) -> [Int32] {
        let ends = preTokenizer.wordEnds(text)
        guard let neighbours else { return ends }
        var cut: [Int32] = []
        var utf8: [UInt8] = []
        var start = 0
        for end in ends.lazy.map({ Int($0) }) {
            var last: UInt32?
            // Newlines that are a token together stay together.
            let isWhole = preTokenizer.takesNewlineRuns && text.scalars[start] == 0x0A
            for index in start..<(isWhole ? start : end) {
                utf8.removeAll(keepingCapacity: true)
                text.appendUTF8(index..<index + 1, to: &utf8)
                let character = CharacterPairs.packed(utf8[...])
                if let last, !neighbours.contains(last, character) { cut.append(Int32(index)) }
                last = character
            }
            cut.append(Int32(end))
            start = end
        }
        text.looks.count += text.count
        return cut
    }

    /// Appends a symbol for each character of `word`, which is UTF-8 but for surrogates.
    private func appendCharacters(of word: [UInt8], to chain: inout MergeChain) {
        var start = 0
        while start < word.count {
            var end = start + 1
            while end < word.count, word[end] & 0xC0 == 0x80 { end += 1 }
            let symbol =
                tokens.plainToken(word, start..<end)
                ?? extra.find(word, start..<end).map { Int32(tokens.count + $0) }
            chain.append(symbol ?? Self.notSymbol, byteCount: end - start)
            start = end
        }
    }

    /// The token that is this whole word, if any, and taken before merging. `written` is room to
    /// write the word as tokens are.
    private func wholeToken(_ word: [UInt8], _ written: inout [UInt8]) -> Int32? {
        if preTokenizer.takesNewlineRuns, word.allSatisfy({ $0 == 0x0A }) {
            return tokens.plainToken(word, 0..<word.count)
        }
        guard preTokenizer.ignoresMerges, word.count <= tokens.longestBytes else { return nil }
        written.removeAll(keepingCapacity: true)
        for byte in word { ByteAlphabet.append(byte, to: &written) }
        return tokens.plainToken(written, 0..<written.count)
    }

    /// Appends a symbol's tokens. One outside the vocabulary becomes the tokens of its text's
    /// bytes, of which those that have none are dropped, as llama.cpp does.
    private func append(_ symbol: Int32, _ text: ArraySlice<UInt8>, to output: inout [TokenID]) {
        if symbol >= 0, symbol < tokens.count {
            output.append(TokenID(rawValue: symbol))
            return
        }
        // Where words are bytes, those of the characters that stand for them.
        let bytes = isByteLevel ? extra.texts[Int(symbol) - tokens.count] : text
        for byte in bytes where byteTokens[Int(byte)] != Self.notSymbol {
            output.append(TokenID(rawValue: byteTokens[Int(byte)]))
        }
    }
}

/// Merges by rank, found by the pair of symbols that they join.
struct MergeTable: MergeRules, Sendable {
    private var lefts: [Int32] = []
    private var rights: [Int32] = []
    private var results: [Int32] = []
    /// Rank plus one; 0 is free. A power of two of them, at most three quarters used.
    private var slots: [UInt32]
    private let hashing = TextHashing()

    init(capacity: Int) {
        slots = [UInt32](repeating: 0, count: TextTable.slotCount(for: capacity))
        lefts.reserveCapacity(capacity)
        rights.reserveCapacity(capacity)
        results.reserveCapacity(capacity)
    }

    var residentBytes: Int { lefts.count * 12 + slots.count * 4 }

    /// Appends the merge of the next rank; a pair that has one keeps it.
    mutating func append(left: Int32, right: Int32, merged: Int32) {
        let slot = slot(left, right)
        if slots[slot] != 0 { return }
        lefts.append(left)
        rights.append(right)
        results.append(merged)
        slots[slot] = UInt32(lefts.count)
    }

    func priority(left: Int32, right: Int32, range: Range<Int>) -> UInt32? {
        let rank = slots[slot(left, right)]
        return rank == 0 ? nil : rank - 1
    }

    func merged(priority: UInt32, range: Range<Int>) -> Int32 { results[Int(priority)] }

    private func slot(_ left: Int32, _ right: Int32) -> Int {
        let mask = slots.count - 1
        var slot = hashing.hash(left, right) & mask
        while slots[slot] != 0 {
            let rank = Int(slots[slot]) - 1
            if lefts[rank] == left, rights[rank] == right { break }
            slot = (slot + 1) & mask
        }
        return slot
    }
}
