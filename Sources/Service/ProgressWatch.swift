// Whether the service still gets anywhere: what the watchdog's signs of life mean. Pure, its times
// given.

package import GenerationAPI

/// Compares what an engine got done from one look to the next.
package struct ProgressWatch: Sendable {
    /// Busy for so long with nothing to show is stuck.
    package let microsecondsMax: UInt64
    private var count: UInt64?
    private var changedMicroseconds: UInt64 = 0

    package init(microsecondsMax: UInt64) { self.microsecondsMax = microsecondsMax }

    /// For a watchdog's period: a quarter of it, but no less than a read may take, with a second
    /// for what comes after.
    package init(watchdogMicroseconds: UInt64, readSecondsMax: Double) {
        let read = UInt64((readSecondsMax + 1) * 1e6)
        self.init(microsecondsMax: max(watchdogMicroseconds / 4, read))
    }

    /// Whether the engine is idle, or got something done lately.
    package mutating func isAlive(_ progress: EngineProgress, atMicroseconds now: UInt64) -> Bool {
        if !progress.isBusy || progress.count != count {
            count = progress.count
            changedMicroseconds = now
        }
        return now - changedMicroseconds < microsecondsMax
    }
}
