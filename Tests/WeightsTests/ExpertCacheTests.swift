// The expert cache against its naive twin, under every rule, on random demands with failing reads
// and reads ahead of demand.

import TestSupport
import Testing
import Weights

@Suite struct ExpertCacheTests {
    static let policies: [CachePolicy] = [
        .leastRecent, .leastFrequent(halfLifePasses: 1), .leastFrequent(halfLifePasses: 100),
        .leastLikely(recentPercent: 20, halfLifePasses: 30), .segmented(protectedPercent: 50),
        .segmented(protectedPercent: 80)
    ]
    static let preferences: [LayerPreference] = [
        .none, .shallow(layers: 2, factor: 3), .soonest
    ]

    @Test(arguments: policies, preferences) func equalsItsNaiveTwin(
        policy: CachePolicy, preference: LayerPreference
    ) {
        let seed = UInt64.random(in: 0...UInt64.max)
        for sharing in [SlotSharing.global, .perLayer] {
            for slots in [1, 3, 4, 7, 13, 23, 24] {
                let rules = CacheRules(policy, preference: preference, sharing: sharing)
                var twins = Twins(slotCount: slots, rules: rules, seed: seed)
                for _ in 0..<60 {
                    guard twins.runPass() else {
                        Issue.record(
                            "\(rules), \(slots) slots, seed \(seed): \(twins.problem)")
                        return
                    }
                }
            }
        }
    }

    @Test func removingForgetsEverything() {
        var cache = ExpertCache(slotCount: 4, layerCount: 2, expertsPerLayer: 4)
        for round in 0..<2 {
            #expect(cache.popularity.allSatisfy { $0 == 0 }, "round \(round)")
            cache.beginDemand(layer: 0)
            for number in 0..<4 {
                let slot = cache.take(for: ExpertID(rawValue: number))
                #expect(slot != nil)
                _ = slot.map { cache.completed(slot: $0, succeeded: true) }
            }
            #expect(cache.take(for: ExpertID(rawValue: 5)) == nil, "all are held")
            cache.releaseAll()
            cache.removeAll()
            #expect((0..<8).allSatisfy { cache.slot(of: ExpertID(rawValue: $0)) == nil })
        }
    }

    @Test func popularityCountsUsesAndAges() {
        var cache = ExpertCache(
            slotCount: 2, layerCount: 1, expertsPerLayer: 4,
            rules: CacheRules(.leastFrequent(halfLifePasses: 4)))
        for pass in 0..<200 {
            cache.beginDemand(layer: 0)
            for number in pass < 100 ? [0] : [1, 2].prefix(pass % 2 + 1) {
                let expert = ExpertID(rawValue: number)
                if let slot = cache.slot(of: expert) {
                    cache.hold(slot)
                } else if let slot = cache.take(for: expert) {
                    _ = cache.completed(slot: slot, succeeded: true)
                }
            }
            cache.releaseAll()
        }
        let popularity = cache.popularity
        #expect(popularity[0] < 1e-6 && popularity[3] == 0)
        #expect(abs(popularity[1] - 1) < 1e-3)
        #expect(abs(popularity[2] - 0.5) < 0.1)
    }
}

/// The cache and its naive twin, given the same demands.
private struct Twins {
    static let layers = 4
    static let experts = 6
    var cache: ExpertCache
    var naive: NaiveExpertCache
    var random: SplitMix
    var problem = ""
    private let slotCount: Int

    init(slotCount: Int, rules: CacheRules, seed: UInt64) {
        self.slotCount = slotCount
        cache = ExpertCache(
            slotCount: slotCount, layerCount: Self.layers, expertsPerLayer: Self.experts,
            rules: rules)
        naive = NaiveExpertCache(
            slotCount: slotCount, layerCount: Self.layers, expertsPerLayer: Self.experts,
            rules: rules)
        random = SplitMix(seed: seed)
    }

    mutating func runPass() -> Bool {
        for layer in 0..<Self.layers where !runDemand(layer) { return false }
        return true
    }

    private mutating func runDemand(_ layer: Int) -> Bool {
        cache.beginDemand(layer: layer)
        naive.beginDemand(layer: layer)
        let numbers = (0..<Self.experts).shuffled(using: &random)
            .prefix(Int.random(in: 1...4, using: &random)).map { layer * Self.experts + $0 }
        var missing: [Int] = []
        for number in numbers {
            if let slot = cache.slot(of: ExpertID(rawValue: number)) {
                cache.hold(slot)
                naive.use(number)
            } else {
                missing.append(number)
            }
        }
        for number in missing {
            guard load(number, isDemanded: true) else { return false }
        }
        let ahead = Int.random(in: 0..<Self.layers * Self.experts, using: &random)
        if cache.slot(of: ExpertID(rawValue: ahead)) == nil {
            guard load(ahead, isDemanded: false) else { return false }
        }
        for number in numbers {
            guard let slot = cache.slot(of: ExpertID(rawValue: number)) else { continue }
            cache.release(slot)
            naive.release(number)
        }
        return agree()
    }

    private mutating func load(_ number: Int, isDemanded: Bool) -> Bool {
        let expert = ExpertID(rawValue: number)
        let expected = naive.victim(for: number)
        let slot =
            isDemanded ? cache.take(for: expert) : cache.takeAhead(for: expert, evicts: true)
        guard let slot else {
            problem = "nothing taken for \(number), but \(String(describing: expected))"
            return expected == nil
        }
        guard let victim = expected else {
            problem = "slot \(slot) taken for \(number), but everything is held"
            return false
        }
        if let victim, naive.residents[victim]?.slot != slot.index {
            problem = "slot \(slot) taken for \(number), not that of \(victim)"
            return false
        }
        naive.load(number, slot: slot.index, evicting: victim, isDemanded: isDemanded)
        guard cache.loadingCount == 1 else {
            problem = "\(cache.loadingCount) loading"
            return false
        }
        let succeeded = Int.random(in: 0..<8, using: &random) > 0
        _ = cache.completed(slot: slot, succeeded: succeeded)
        naive.complete(number, succeeded: succeeded)
        return agree()
    }

    /// The same experts in the same slots, each slot with one expert.
    private mutating func agree() -> Bool {
        for number in 0..<Self.layers * Self.experts {
            let slot = cache.slot(of: ExpertID(rawValue: number))
            guard slot?.index == naive.residents[number]?.slot else {
                problem = "expert \(number) is in \(String(describing: slot))"
                return false
            }
            guard let slot else { continue }
            guard cache.state(of: slot) == .ready(ExpertID(rawValue: number)),
                cache.isHeld(slot) == naive.residents[number]?.isHeld
            else {
                problem = "slot \(slot) of expert \(number) is \(cache.state(of: slot))"
                return false
            }
        }
        let used = cache.states.count { $0 != .empty }
        problem = "\(used) slots used"
        return used == naive.residents.count && used <= slotCount
    }
}
