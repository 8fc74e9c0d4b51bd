// Which bundle leaves an expert cache: the rules as values. ExpertCache.swift keeps the books that
// they need; docs/STREAMING.md says how each was measured.

/// How experts of one layer are ranked among each other. The lowest leaves first.
package enum CachePolicy: Sendable, Hashable {
    /// By when they were last used (LRU).
    case leastRecent
    /// By how often they were used, where a use counts half after so many passes (LFU with aging;
    /// LRFU of Lee et al., IEEE Transactions on Computers 50, 2001). An expert's count goes on
    /// while it is not in memory.
    case leastFrequent(halfLifePasses: Int)
    /// By an estimate of the chance that the next pass uses them: mostly how often they were used,
    /// with a half-life of so many passes, and by so many percent whether they were used just now.
    case leastLikely(recentPercent: Int, halfLifePasses: Int)
    /// By when they were last used, in two segments: what was used once leaves before what was used
    /// again. At most so many percent of the slots are protected (segmented LRU; Karedla, Love and
    /// Wherry, Computer 27, 1994).
    case segmented(protectedPercent: Int)

    /// After how many passes a use counts half, also where only the popularity for the next start
    /// depends on it.
    var halfLifePasses: Int {
        switch self {
        case .leastFrequent(let passes), .leastLikely(_, let passes): passes
        case .leastRecent, .segmented: 256
        }
    }
}

/// How an expert's layer weighs against its rank.
package enum LayerPreference: Sendable, Hashable {
    /// Not at all.
    case none
    /// Experts of the first layers are worth `factor` times as much: they cannot be prefetched in
    /// time (Fate, arXiv 2502.12224).
    case shallow(layers: Int, factor: Double)
    /// An expert is worth the more the sooner its layer comes round again: by one over the number
    /// of layers until then. A slot that is kept for a whole pass for one chance costs as much as
    /// several that are kept shortly (the layer distance of HOBBIT, arXiv 2411.01433).
    case soonest
}

/// Which slots a layer's experts may take.
package enum SlotSharing: Sendable, Hashable {
    /// All.
    case global
    /// An equal share of its own. With fewer slots than layers they are shared all the same.
    case perLayer
}

/// Everything that decides which expert leaves.
package struct CacheRules: Sendable, Hashable {
    package var policy: CachePolicy
    package var preference: LayerPreference
    package var sharing: SlotSharing

    package init(
        _ policy: CachePolicy, preference: LayerPreference = .none, sharing: SlotSharing = .global
    ) {
        self.policy = policy
        self.preference = preference
        self.sharing = sharing
    }

    /// What measured best (docs/STREAMING.md).
    package static let standard = CacheRules(
        .leastLikely(recentPercent: 10, halfLifePasses: 256), preference: .soonest)
}
