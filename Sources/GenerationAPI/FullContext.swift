// What becomes of a text that is longer than its context.

/// What happens when a context is full.
package enum FullContext: String, Sendable, CaseIterable {
    /// The answer ends.
    case stop
    /// What is oldest is forgotten, but for the very beginning (StreamingLLM): lossy.
    case slide
}
