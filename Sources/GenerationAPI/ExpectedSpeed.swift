// How fast an answer should come, as it is told before it is there.

/// A prediction from what is known of the model, its memory and the machine, for an answer that
/// nobody else's delays; nil is what nothing is known of.
package struct ExpectedSpeed: Sendable, Equatable {
    /// From when its prompt is begun to its first token.
    package var firstTokenSeconds: Double?
    package var tokensPerSecond: Double?

    package init(firstTokenSeconds: Double? = nil, tokensPerSecond: Double? = nil) {
        self.firstTokenSeconds = firstTokenSeconds
        self.tokensPerSecond = tokensPerSecond
    }
}
