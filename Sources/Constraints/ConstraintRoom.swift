// Memory for grammars: what a vocabulary's index takes, and how many grammars there is room for.

package import Tokenization

/// What may be kept of grammars, over one vocabulary.
package struct ConstraintRoom: Sendable, Equatable {
    /// Grammars at a time.
    package let grammars: Int
    /// Bytes of each: its automaton, and the states that were met.
    let grammarBytes: Int
    /// Masks of each.
    let masks: Int
    /// Bytes of everything.
    package let byteCount: Int

    /// All grammars take this share of the limit, and each half of it, but no less and no more than
    /// so much.
    private static let shareDivisor = 64
    private static let grammarBytesRange = 192 << 10...1 << 20
    private static let grammarsMax = 8
    private static let masksRange = 4...16

    /// - Parameter limitBytes: the limit for everything that there is.
    package init(_ tokenizer: Tokenizer, limitBytes: Int) {
        let share = limitBytes / Self.shareDivisor
        let bytes = Self.grammarBytesRange
        grammarBytes = min(max(share / 2, bytes.lowerBound), bytes.upperBound)
        let maskBytes = TokenMask.byteCount(tokenCount: tokenizer.tokenCount)
        let affordable = share / 4 / maskBytes
        masks = min(max(affordable, Self.masksRange.lowerBound), Self.masksRange.upperBound)
        let each = grammarBytes + masks * maskBytes
        grammars = min(max(share / each, 1), Self.grammarsMax)
        byteCount = VocabularyIndex.bytesMax(tokenizer) + grammars * each
    }

    /// Room for one grammar of so many bytes.
    package init(grammarBytes: Int) {
        self.grammarBytes = grammarBytes
        (grammars, masks, byteCount) = (1, Self.masksRange.lowerBound, grammarBytes)
    }
}
