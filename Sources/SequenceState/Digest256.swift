// Names for blocks and models that nobody can make two of: SHA-256.

internal import ModelFormat

/// 256 bits that stand for what they were made from.
package struct Digest256: Hashable, Sendable, CustomStringConvertible {
    /// The first is the most significant.
    package let words: InlineArray<8, UInt32>

    package init(words: InlineArray<8, UInt32>) { self.words = words }

    /// Of no block: the parent of those that begin a sequence.
    package static let none = Digest256(words: InlineArray(repeating: 0))

    /// The SHA-256 of a text, such as the digest of a model in its manifest.
    package init(hashing text: String) {
        self.init(hashing: Array(text.utf8))
    }

    init(hashing bytes: [UInt8]) {
        var sum = SHA256()
        sum.add(unsafe bytes.span.bytes)
        let words = sum.words
        self.init(words: InlineArray { words[$0] })
    }

    package static func == (left: Self, right: Self) -> Bool {
        for index in 0..<8 where left.words[index] != right.words[index] { return false }
        return true
    }

    package func hash(into hasher: inout Hasher) {
        for index in 0..<8 { hasher.combine(words[index]) }
    }

    /// In hexadecimal, as others write it.
    package var description: String {
        (0..<8).map { index in
            let digits = String(words[index], radix: 16)
            return String(repeating: "0", count: 8 - digits.count) + digits
        }.joined()
    }
}
