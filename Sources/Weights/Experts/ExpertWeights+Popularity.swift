// What an expert cache has and learned, from one start to the next: warming it, emptying it, saving
// which experts were popular.

package import FlashStorage
package import LinuxSystem
internal import ModelFormat

extension ExpertWeights {
    /// Reads experts into free slots until the slots or the experts are used up, most popular first
    /// and in layer order among equals. They count neither as uses nor as misses.
    ///
    /// - Parameters:
    ///   - popularOnly: leave out experts that nobody is known to have used.
    ///   - nanosecondsMax: start no more reads after this time.
    /// - Throws: `ReadFailure` when one cannot be read or is damaged. The cache then holds only
    ///   good bundles.
    package func warm(
        popularOnly: Bool = false, nanosecondsMax: UInt64 = .max
    ) throws(ReadFailure) {
        let start = MonotonicClock.nanoseconds
        let popularity = cache.popularity
        // Sorting keeps no order among equals of its own.
        let order = popularity.indices.sorted {
            popularity[$0] != popularity[$1] ? popularity[$0] > popularity[$1] : $0 < $1
        }
        defer { settle() }
        for number in order {
            if popularOnly && popularity[number] == 0 { break }
            if MonotonicClock.nanoseconds - start > nanosecondsMax { break }
            let expert = ExpertID(rawValue: number)
            guard cache.slot(of: expert) == nil else { continue }
            guard let slot = cache.takeAhead(for: expert, evicts: false) else { continue }
            try read(expert, into: slot)
            try reads.collect(waiting: false)
            if let failure { throw failure }
        }
        while cache.isLoading { try reads.collect(waiting: true) }
        if let failure { throw failure }
    }

    /// Empties the expert slots and forgets what was popular, for measurements that begin cold.
    package func removeAll() throws(ReadFailure) {
        while reads.areUnderWay { try reads.collect(waiting: true) }
        cache.removeAll()
        prediction = ExpertPrediction(slotCount: directory.plan.expertSlotCount)
    }

    // MARK: popularity

    private var savedPopularity: Sidecar<ExpertPopularity> {
        Sidecar(
            path: ExpertPopularity.path(of: directory.path),
            digest: directory.manifest.source.digest)
    }

    /// Begins with the popularity that an earlier run saved.
    ///
    /// - Returns: whether there was any.
    /// - Throws: `SidecarError` when what there is cannot be used: unreadable, damaged, another
    ///   model's. The cache is as if there were none.
    package func loadPopularity() throws(SidecarError) -> Bool {
        guard !directory.manifest.experts.isEmpty,
            let popularity = try savedPopularity.read(for: cache.popularity.count)
        else { return false }
        cache.begin(popularity: popularity.values)
        return true
    }

    /// Saves the popularity for the next start.
    ///
    /// - Throws: `SystemError` where it cannot be written, such as a read-only directory.
    package func savePopularity() throws(SystemError) {
        let popularity = ExpertPopularity(values: cache.popularity)
        guard popularity.values.contains(where: { $0 > 0 }) else { return }
        try savedPopularity.write(popularity)
    }
}
