// What of a text on flash is read again for each of its next tokens.

/// Of the tokens whose keys and values are on flash, those that each token that is computed reads
/// in a layer.
package enum ColdTokens: Sendable, Equatable {
    /// All of them: the same as in memory.
    case all
    /// At most so many, where its query can find most: lossy.
    case most(Int)
}
