// How what a model makes of a text's tokens becomes one vector.

/// Which of the tokens an embedding of a text is made of.
package enum Pooling: String, Sendable, Codable, CaseIterable {
    /// All of them, each as much as any other.
    case mean
    /// The first one, as the models do that have a token for it there.
    case cls
    /// The last one, which has seen all others.
    case last
}
