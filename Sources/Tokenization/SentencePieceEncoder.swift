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
    }

    var residentBytes: Int { (priorities.count + byteTokens.count) * 4 }

    /// Appends the tokens of `bytes`, with a space before them where `addsSpace`.
    func encode(_ bytes: ArraySlice<UInt8>, addsSpace: Bool, into output: inout [TokenID]) {
        var text: [UInt8] = addsSpace ? Self.space : []
        text.reserveCapacity(bytes.count + bytes.count / 2)
        for byte in bytes {
            if byte == 0x20 { text += Self.space } else { text.append(byte) }
        }
        var chain = MergeChain()
        var start = 0
        while start < text.count {
            let length = min(Self.characterLength(text[start]), text.count - start)
            let token = tokens.plainToken(text, start..<(start + length))
            chain.append(token ?? Self.notToken, byteCount: length)
            start += length
        }
        chain.merge(Rules(encoder: self, text: text))
        chain.visit { symbol, range in
            if symbol != Self.notToken {
                output.append(TokenID(rawValue: symbol))
                return
            }
            for byte in text[range] where byteTokens[Int(byte)] != Self.notToken {
                output.append(TokenID(rawValue: byteTokens[Int(byte)]))
            }
        }
    }

    /// Bytes of the character that begins with `lead`, which for invalid text is a guess; the
    /// merges and the byte tokens work whatever it is.
    private static func characterLength(_ lead: UInt8) -> Int {
        switch lead {
        case 0xC0...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...: 4
        default: 1
        }
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

        func priority(left: Int32, right: Int32, range: Range<Int>) -> UInt32? {
            guard let token = encoder.tokens.plainToken(text, range) else { return nil }
            return encoder.priorities.isEmpty ? 0 : encoder.priorities[Int(token)]
        }

        func merged(priority: UInt32, range: Range<Int>) -> Int32 {
            encoder.tokens.plainToken(text, range) ?? SentencePieceEncoder.notToken
        }
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
