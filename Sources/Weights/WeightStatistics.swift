// What weights cost in reads.

/// What a generation cost in reads.
package struct WeightStatistics: Sendable, Equatable {
    package var flashBytes: UInt64 = 0
    package var flashWaitNanoseconds: UInt64 = 0
    /// Time during which reads were under way, waited for or not.
    package var flashBusyNanoseconds: UInt64 = 0
    /// Acquisitions of streamed bundles that were in memory, and of those that had to be read.
    /// Weights that stay for good count as neither.
    package var bundleHits = 0
    package var bundleMisses = 0
    package var prefetch = PrefetchStatistics()

    package init() {}

    /// Hits over all acquisitions; 1 when there were none.
    package var hitRate: Double {
        let all = bundleHits + bundleMisses
        return all == 0 ? 1 : Double(bundleHits) / Double(all)
    }

    package static func - (left: Self, right: Self) -> Self {
        var difference = Self()
        difference.flashBytes = left.flashBytes - right.flashBytes
        difference.flashWaitNanoseconds = left.flashWaitNanoseconds - right.flashWaitNanoseconds
        difference.flashBusyNanoseconds = left.flashBusyNanoseconds - right.flashBusyNanoseconds
        difference.bundleHits = left.bundleHits - right.bundleHits
        difference.bundleMisses = left.bundleMisses - right.bundleMisses
        difference.prefetch = left.prefetch - right.prefetch
        return difference
    }
}

/// Acquisitions of bundles of one kind.
struct UseCounts {
    /// Of bundles that were in memory.
    var hits = 0
    /// Of bundles that had to be read.
    var misses = 0
}
