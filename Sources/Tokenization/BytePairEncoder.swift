// Byte-level BPE (Sennrich et al., arXiv 1508.07909, on bytes as in GPT-2): words are merged pair
// by pair in the order of the vocabulary's merge list.

internal import ModelFormat

/// Turns text into tokens by the merges of a `gpt2` vocabulary.
///
/// Symbols are token ids; texts that merges name but the vocabulary lacks have ids after those.
struct BytePairEncoder: Sendable {
    private let preTokenizer: PreTokenizer
    private let tokens: TokenLookup
    private let merges: MergeTable
    /// Texts of the symbols after the vocabulary's.
    private let extraTexts: StringTable
    /// The symbol for each byte.
    private let byteSymbols: [Int32]

    init(_ vocabulary: Vocabulary, tokens: TokenLookup) throws(TokenizerError) {
        preTokenizer = try PreTokenizer(name: vocabulary.preTokenizer)
        var extra = TextTable()
        func symbol(_ text: [UInt8]) -> Int32 {
            if let token = tokens.plainToken(text, 0..<text.count) { return token }
            return Int32(tokens.count + extra.insert(text))
        }
        byteSymbols = (0..<256).map { byte in
            var text: [UInt8] = []
            ByteAlphabet.append(UInt8(byte), to: &text)
            return symbol(text)
        }
        let list = vocabulary.merges
        var merges = MergeTable(capacity: list.count)
        for index in 0..<list.count {
            let merge = list[index]
            // The left part may begin with a space, never hold one.
            guard let space = merge.dropFirst().firstIndex(of: 0x20) else { continue }
            let left = Array(merge[..<space])
            let right = Array(merge[(space + 1)...])
            merges.append(
                left: symbol(left), right: symbol(right), merged: symbol(left + right))
        }
        self.tokens = tokens
        self.merges = merges
        extraTexts = extra.texts
    }

    var addsBeginning: Bool { preTokenizer.addsBeginning }

    var residentBytes: Int {
        merges.residentBytes + byteSymbols.count * 4 + extraTexts.residentBytes
    }

    /// Whether every byte of a text ends up in some token.
    var keepsAllBytes: Bool { byteSymbols.allSatisfy { $0 < tokens.count } }

    /// Appends the tokens of `bytes`. Where the text is open, of which more may follow, the last
    /// words are left for later.
    ///
    /// - Returns: the bytes that the tokens stand for.
    func encode(_ bytes: ArraySlice<UInt8>, isOpen: Bool, into output: inout [TokenID]) -> Int {
        let text = ScalarText(utf8: bytes)
        let ends = preTokenizer.wordEnds(text)
        let settledEnd = isOpen ? preTokenizer.settledEnd(text) : text.count
        var chain = MergeChain()
        var word: [UInt8] = []
        var start = 0
        for end in ends.lazy.map({ Int($0) }) {
            if end > settledEnd { break }
            word.removeAll(keepingCapacity: true)
            text.appendUTF8(start..<end, to: &word)
            start = end
            if preTokenizer.ignoresMerges, let token = wholeToken(word) {
                output.append(TokenID(rawValue: token))
                continue
            }
            chain.removeAll()
            chain.reserve(byteCount: word.count)
            for byte in word { chain.append(byteSymbols[Int(byte)], byteCount: 1) }
            chain.merge(merges)
            chain.visit { symbol, _ in append(symbol, to: &output) }
        }
        return isOpen ? ScalarText.byteCount(ofFirst: start, of: bytes) : bytes.count
    }

    /// How often splitting `bytes` into words looks at a scalar.
    func looks(splitting bytes: [UInt8]) -> Int {
        let text = ScalarText(utf8: bytes[...])
        _ = preTokenizer.wordEnds(text)
        return text.looks.count
    }

    /// The token that is this whole word, if any.
    private func wholeToken(_ word: [UInt8]) -> Int32? {
        if word.count > tokens.longestBytes { return nil }
        var text: [UInt8] = []
        text.reserveCapacity(word.count * 2)
        for byte in word { ByteAlphabet.append(byte, to: &text) }
        return tokens.plainToken(text, 0..<text.count)
    }

    /// Appends a symbol's tokens. One outside the vocabulary becomes the tokens of its text's
    /// bytes, of which those that have none are dropped, as llama.cpp does.
    private func append(_ symbol: Int32, to output: inout [TokenID]) {
        if symbol < tokens.count {
            output.append(TokenID(rawValue: symbol))
            return
        }
        for byte in extraTexts[Int(symbol) - tokens.count] {
            if let token = tokens.plainToken([byte], 0..<1) {
                output.append(TokenID(rawValue: token))
            }
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
