// SentencePiece BPE (arXiv 1808.06226) as `llama` vocabularies use it: characters are merged while
// their concatenation is a token, the highest score first, and what is no token in the end is
// written as bytes.

internal import ModelFormat

/// Turns text into tokens by the scores of a `llama` vocabulary.
struct SentencePieceEncoder: Sendable {
    private let tokens: TokenLookup
    /// What each token's score makes of its priority: higher scores merge first.
    private let priorities: [UInt32]
    /// The token for each byte; the unknown token, or -1, where there is none.
    private let byteTokens: [Int32]
    /// Characters that some token has next to each other.
    private let neighbours: CharacterPairs

    /// U+2581, which stands for a space.
    static let space: [UInt8] = [0xE2, 0x96, 0x81]
    private static let notToken: Int32 = -1

    init(_ vocabulary: Vocabulary, tokens: TokenLookup, unknown: TokenID?) {
        self.tokens = tokens
        priorities = vocabulary.scores.map(Self.priority)
        byteTokens = (0..<256).map { byte in
            tokens.anyToken(ByteToken.text(UInt8(byte))) ?? tokens.anyToken([UInt8(byte)])
                ?? unknown?.rawValue ?? Self.notToken
        }
        var neighbours = CharacterPairs()
        for index in 0..<tokens.count {
            neighbours.add(tokens.texts[index])
        }
        self.neighbours = neighbours
    }

    var residentBytes: Int {
        (priorities.count + byteTokens.count) * 4 + neighbours.residentBytes
    }

    /// Whether every byte of a text ends up in some token.
    var keepsAllBytes: Bool { byteTokens.allSatisfy { $0 != Self.notToken } }

    /// Appends the tokens of `bytes`, with a space before them where `addsSpace`. The text is cut
    /// where no token has both neighbours: nothing merges across that. Where the text is open, of
    /// which more may follow, what comes after the last cut is left for later.
    ///
    /// - Returns: the bytes that the tokens stand for.
    func encode(
        _ bytes: ArraySlice<UInt8>, addsSpace: Bool, isOpen: Bool, into output: inout [TokenID]
    ) -> Int {
        var text: [UInt8] = addsSpace ? Self.space : []
        text.reserveCapacity(text.count + bytes.count + 2 * bytes.count { $0 == 0x20 })
        for byte in bytes {
            if byte == 0x20 { text += Self.space } else { text.append(byte) }
        }
        var source = SourcePlace(escaped: addsSpace ? Self.space.count : 0, bytes: bytes)
        var chain = MergeChain()
        var settled = 0
        var pieceStart = 0
        var start = 0
        var last: UInt32?
        while start < text.count {
            let length = min(CharacterPairs.length(text[start]), text.count - start)
            // The rest of this character may still come.
            if isOpen, start + CharacterPairs.length(text[start]) > text.count { break }
            let character = CharacterPairs.packed(text[start..<start + length])
            if let last, !neighbours.contains(last, character), source.advance(to: start),
                source.offset > 0
            {
                append(text, pieceStart, &chain, to: &output)
                pieceStart = start
                settled = source.offset
            }
            let token = tokens.plainToken(text, start..<(start + length))
            chain.append(token ?? Self.notToken, byteCount: length)
            start += length
            last = character
        }
        if isOpen { return settled }
        append(text, pieceStart, &chain, to: &output)
        return bytes.count
    }

    /// Merges the characters in `chain`, which begin at `start` of `text`, and empties it.
    private func append(
        _ text: [UInt8], _ start: Int, _ chain: inout MergeChain, to output: inout [TokenID]
    ) {
        chain.merge(Rules(encoder: self, text: text, start: start))
        chain.visit { symbol, range in
            if symbol != Self.notToken {
                output.append(TokenID(rawValue: symbol))
                return
            }
            for byte in text[start + range.lowerBound..<start + range.upperBound]
            where byteTokens[Int(byte)] != Self.notToken {
                output.append(TokenID(rawValue: byteTokens[Int(byte)]))
            }
        }
        chain.removeAll()
    }

    /// A number that is lower where the score is higher. Scores that are no numbers come last.
    private static func priority(_ score: Float) -> UInt32 {
        if score.isNaN { return .max }
        let bits = (score + 0).bitPattern
        let ascending = bits >> 31 == 1 ? ~bits : bits | 0x8000_0000
        return ~ascending
    }

    private struct Rules: MergeRules {
        let encoder: SentencePieceEncoder
        let text: [UInt8]
        /// Where the chain's first symbol is in `text`.
        let start: Int

        func priority(left: Int32, right: Int32, range: Range<Int>) -> UInt32? {
            guard let token = token(range) else { return nil }
            return encoder.priorities.isEmpty ? 0 : encoder.priorities[Int(token)]
        }

        func merged(priority: UInt32, range: Range<Int>) -> Int32 {
            token(range) ?? SentencePieceEncoder.notToken
        }

        private func token(_ range: Range<Int>) -> Int32? {
            encoder.tokens.plainToken(
                text, start + range.lowerBound..<start + range.upperBound)
        }
    }
}

/// A place in a text before its spaces were escaped, found from its place afterwards.
private struct SourcePlace {
    /// In the escaped text.
    var escaped: Int
    /// From the text's beginning, in bytes.
    private(set) var offset = 0
    let bytes: ArraySlice<UInt8>

    init(escaped: Int, bytes: ArraySlice<UInt8>) {
        self.escaped = escaped
        self.bytes = bytes
    }

    /// Goes to the place that is `target` in the escaped text; false inside an escaped space,
    /// where invalid text may put a character's beginning.
    mutating func advance(to target: Int) -> Bool {
        while escaped < target {
            let isSpace = bytes[bytes.startIndex + offset] == 0x20
            escaped += isSpace ? SentencePieceEncoder.space.count : 1
            offset += 1
        }
        return escaped == target
    }
}

/// Tokens that stand for one byte: `<0x00>` to `<0xFF>`.
enum ByteToken {
    private static let digits = Array("0123456789ABCDEF".utf8)

    static func text(_ byte: UInt8) -> [UInt8] {
        Array("<0x".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]] + Array(">".utf8)
    }

    /// The byte, or nil where `text` is anything but `<0x`, two hexadecimal digits, `>`.
    static func byte(_ text: ArraySlice<UInt8>) -> UInt8? {
        guard text.count == 6, text.starts(with: "<0x".utf8), text.last == 0x3E,
            let high = digit(text[text.startIndex + 3]), let low = digit(text[text.startIndex + 4])
        else { return nil }
        return high << 4 | low
    }

    private static func digit(_ character: UInt8) -> UInt8? {
        switch character {
        case 0x30...0x39: character - 0x30
        case 0x41...0x46: character - 0x41 + 10
        case 0x61...0x66: character - 0x61 + 10
        default: nil
        }
    }
}
