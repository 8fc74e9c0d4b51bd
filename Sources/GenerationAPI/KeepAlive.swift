// How long a model stays open that nobody uses.

/// How long a model stays after its last answer.
package enum KeepAlive: Sendable, Equatable {
    /// So long; 0 is not at all.
    case seconds(Double)
    /// Until its memory is needed for another.
    case untilNeeded
    /// Whoever else is asked for: others have what it leaves, and it may be opened anew in less.
    case always
}
