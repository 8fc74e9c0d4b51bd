// What prefixes take of a model's memory beside the KV pages that nobody else needs.

package import Knobs
internal import Memory
internal import ModelFormat
internal import SequenceState
internal import Weights

/// How prefixes are kept.
package struct PrefixPlan: Sendable {
    /// `flash` where the file's blocks have memory to pass through and their numbers are exact,
    /// else no more than `memory`.
    package let keeping: PrefixKeeping
    /// Memory that blocks of the file pass through.
    package let stagingBytes: Int
    package let bookBytes: Int
    let fileBytesMax: UInt64

    /// The file's blocks on their way, and its books, each take at most this share of the limit.
    private static let shareDivisor = 64

    /// - Parameter wished: more than the memory and the pool can do comes to less.
    init(
        _ problem: DivisionProblem, _ choice: DivisionChoice, _ layout: KVLayout, poolBytes: Int,
        wished: PrefixKeeping
    ) {
        let most = problem.share.limitBytes / Self.shareDivisor
        let identity = PrefixFileIdentity(layout, modelDigest: .none)
        let (least, enough) = PrefixStore.stagingBytes(identity)
        func bookBytes(slots: Int) -> Int {
            PrefixCache.bookBytes(
                layout, poolBytes: poolBytes,
                store: PrefixStoreOptions(
                    path: "", identity: identity,
                    bytesMax: PrefixStoreOptions.fileBytes(identity, slots: slots),
                    flash: problem.wishes.flash))
        }
        let slotBytes = max(1, bookBytes(slots: 1) - bookBytes(slots: 0))
        fileBytesMax = min(
            problem.wishes.prefixFileBytesMax,
            PrefixStoreOptions.fileBytes(identity, slots: most / slotBytes))
        // A pool that hardly holds a block has none to keep.
        let holdsBlocks = poolBytes >= 2 * layout.pageBytes * layout.ringPages.count
        // What depends on a calibration does not outlive it.
        let isLossy =
            choice.sparse?.mode == .predicted || problem.wishes.activationSparsity != nil
        // Nor are states written, without which a prefix is no beginning.
        let isOnFlash =
            wished == .flash && !isLossy && !layout.hasStates && least <= most
            && fileBytesMax >= PrefixStoreOptions.fileBytes(identity, slots: 1)
        keeping =
            wished == .off || !holdsBlocks ? .off : isOnFlash ? .flash : .memory
        stagingBytes = keeping == .flash ? (enough <= most ? enough : least) : 0
        let file = PrefixStoreOptions(
            path: "", identity: identity, bytesMax: fileBytesMax, flash: problem.wishes.flash)
        self.bookBytes =
            keeping == .off ? 0 : bookBytes(slots: keeping == .flash ? file.slotsMax : 0)
    }

    /// What is tried, best first: where memory is short, prefixes are what is done without.
    static func choices(_ wished: PrefixKeeping) -> [PrefixKeeping] {
        switch wished {
        case .flash: [.flash, .memory, .off]
        case .memory: [.memory, .off]
        case .off: [.off]
        }
    }

    func add(to budget: inout MemoryPlan) {
        budget.add(.prefixes, bookBytes)
        budget.add(.prefixesOnTheirWay, stagingBytes)
    }
}
