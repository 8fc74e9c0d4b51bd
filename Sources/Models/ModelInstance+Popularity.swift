// What was popular is warmed when a model is opened, and saved now and then and when it is let go.
// None of it is ever a reason not to run.

internal import FlashStorage
internal import Weights

extension ModelInstance {
    /// Longest time that opening a model spends on warming.
    private static let warmNanosecondsMax: UInt64 = 2_000_000_000
    /// How long reads under way are waited for before anything is written.
    private static let quietNanosecondsMax: UInt64 = 200_000_000
    /// Uses of experts between two times of saving.
    private static let usesBetweenSaves = 100_000

    func warmPopularExperts() {
        guard keepsPopularity else { return }
        do throws(SidecarError) {
            guard try store.experts.loadPopularity() else { return }
        } catch {
            options.onNotice("saved popularity is not used: \(error)")
            return
        }
        do {
            try store.experts.warm(popularOnly: true, nanosecondsMax: Self.warmNanosecondsMax)
        } catch {
            options.onNotice("warming popular experts ended: \(error)")
        }
    }

    /// Saves which experts were popular, if there is much new to say, or anything with `isLast`.
    package func savePopularity(isLast: Bool) {
        guard keepsPopularity else { return }
        let uses = store.statistics.bundleHits + store.statistics.bundleMisses
        guard savedAtUses < .max, uses - savedAtUses >= (isLast ? 1 : Self.usesBetweenSaves) else {
            return
        }
        savedAtUses = uses
        // A drive that does not answer would hold the thread; another file's popularity is its own.
        guard isCurrent, store.isQuiet(within: Self.quietNanosecondsMax) else { return }
        do {
            try store.experts.savePopularity()
        } catch {
            options.onNotice("popularity is not saved: \(error)")
            // Once is enough to say so.
            savedAtUses = .max
        }
    }
}
