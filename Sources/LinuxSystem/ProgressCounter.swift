// What a thread gets done, counted, so that others can see that it lives.

internal import Synchronization

/// Counted by one thread, read by others. A thread that works without counting for long is stuck.
package final class ProgressCounter: Sendable {
    private let steps = Atomic<UInt64>(0)

    package init() {}

    /// Something got done: an operation, a read, a bounded wait.
    package func note() { steps.wrappingAdd(1, ordering: .relaxed) }

    /// Grows with every ``note()``.
    package var count: UInt64 { steps.load(ordering: .relaxed) }
}
