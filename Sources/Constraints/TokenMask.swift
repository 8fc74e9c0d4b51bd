// Which tokens may come next: a bit for each.

/// Tokens, as bits.
package struct TokenMask: Sendable, Equatable {
    private var words: [UInt64]

    package init(tokenCount: Int) { words = Array(repeating: 0, count: (tokenCount + 63) / 64) }

    package mutating func insert(_ token: Int) { words[token / 64] |= 1 << UInt64(token % 64) }

    package func contains(_ token: Int) -> Bool { words[token / 64] >> UInt64(token % 64) & 1 != 0 }

    /// Tokens in it.
    package var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    /// The tokens in it, ascending.
    package var tokens: [Int32] {
        var tokens: [Int32] = []
        for (index, word) in words.enumerated() where word != 0 {
            var bits = word
            while bits != 0 {
                tokens.append(Int32(index * 64 + bits.trailingZeroBitCount))
                bits &= bits - 1
            }
        }
        return tokens
    }

    /// Bytes that a mask keeps.
    package static func byteCount(tokenCount: Int) -> Int { (tokenCount + 63) / 64 * 8 + 64 }
}
