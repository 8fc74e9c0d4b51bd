// How busy the engine is, in numbers. Nothing here holds what a client wrote.

/// What is going on.
package struct EngineLoad: Sendable, Equatable {
    /// Texts that are worked on, those whose prompts become tokens and those that wait for KV pages
    /// included.
    package var sequences = 0
    /// Of those, the ones that gave up their pages for others.
    package var suspended = 0
    /// The most that shared a step, since the start.
    package var sequencesMost = 0
    /// Orders in the queue.
    package var waiting = 0
    /// KV pages of the models that are open, and those of them that sequences may count on.
    package var pages = 0
    package var pagesPromised = 0

    package init() {}
}
