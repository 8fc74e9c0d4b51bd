// The expert cache as one would write it first: everything looked at for every decision, nothing
// kept in order. What the real one must do, decision for decision.

import Glibc
import Weights

struct NaiveExpertCache {
    struct Resident {
        var slot: Int
        var lastUse: UInt64
        var isHeld: Bool
        var isLoading: Bool
        var wasUsed: Bool
        var isProtected = false
        /// Estimate when the layer's last pass began or the expert was let go.
        var rank = 0.0
    }

    let slotCount: Int
    let layerCount: Int
    let expertsPerLayer: Int
    let rules: CacheRules
    var residents: [Int: Resident] = [:]
    private var protectedOrder: [[Int]]
    private var longRun: [Double]
    private var recent: [Double]
    private var clock: UInt64 = 0
    private var layerNow = 0

    init(slotCount: Int, layerCount: Int, expertsPerLayer: Int, rules: CacheRules) {
        self.slotCount = slotCount
        self.layerCount = layerCount
        self.expertsPerLayer = expertsPerLayer
        self.rules = rules
        longRun = Array(repeating: 0, count: layerCount * expertsPerLayer)
        recent = longRun
        protectedOrder = Array(repeating: [], count: layerCount)
    }

    private var isShared: Bool { rules.sharing == .global || slotCount < layerCount }

    private func group(_ expert: Int) -> Int { isShared ? 0 : expert / expertsPerLayer }

    private func quota(_ group: Int) -> Int {
        isShared
            ? slotCount : slotCount / layerCount + (group < slotCount % layerCount ? 1 : 0)
    }

    private var halfLife: Double {
        switch rules.policy {
        case .leastFrequent(let passes), .leastLikely(_, let passes): Double(passes)
        default: 256
        }
    }

    private func estimate(_ expert: Int) -> Double {
        var share = 0.0
        if case .leastLikely(let percent, _) = rules.policy { share = Double(percent) / 100 }
        return share * recent[expert] + (1 - share) * longRun[expert]
    }

    private mutating func rank(_ expert: Int) {
        let rank = estimate(expert)
        residents[expert]?.rank = rank
    }

    mutating func beginDemand(layer: Int) {
        layerNow = layer
        for expert in layer * expertsPerLayer..<(layer + 1) * expertsPerLayer {
            longRun[expert] *= pow(0.5, 1 / halfLife)
            recent[expert] *= 0.5
            if let resident = residents[expert], !resident.isHeld {
                rank(expert)
            }
        }
    }

    mutating func use(_ expert: Int) {
        clock += 1
        longRun[expert] += 1 - pow(0.5, 1 / halfLife)
        recent[expert] += 0.5
        residents[expert]?.lastUse = clock
        residents[expert]?.isHeld = true
        if residents[expert]?.wasUsed == true { protect(expert) }
        residents[expert]?.wasUsed = true
    }

    private mutating func protect(_ expert: Int) {
        guard case .segmented(let percent) = rules.policy else { return }
        let group = group(expert)
        protectedOrder[group].removeAll { $0 == expert }
        protectedOrder[group].append(expert)
        residents[expert]?.isProtected = true
        guard protectedOrder[group].count > quota(group) * percent / 100 else { return }
        let demoted = protectedOrder[group].removeFirst()
        residents[demoted]?.isProtected = false
        clock += 1
        residents[demoted]?.lastUse = clock
    }

    mutating func release(_ expert: Int) {
        residents[expert]?.isHeld = false
        rank(expert)
    }

    /// - Returns: the expert that leaves, `none` when a slot is empty, nil when nothing can.
    func victim(for expert: Int) -> Int?? {
        let group = group(expert)
        if residents.keys.count(where: { self.group($0) == group }) < quota(group) {
            return .some(nil)
        }
        let candidates = residents.filter {
            self.group($0.key) == group && !$0.value.isHeld && !$0.value.isLoading
        }
        return candidates.min { order($0) < order($1) }.map { .some($0.key) }
    }

    private func order(_ entry: (key: Int, value: Resident)) -> (Double, Double, UInt64) {
        let layer = entry.key / expertsPerLayer
        var distance = 1.0
        var factor = 1.0
        switch rules.preference {
        case .none: break
        case .shallow(let layers, let times): factor = layer < layers ? times : 1
        case .soonest:
            distance = Double(layer > layerNow ? layer - layerNow : layer - layerNow + layerCount)
        }
        if !isShared { (distance, factor) = (1, 1) }
        let segment = entry.value.isProtected ? 1.0 : 0
        let worth: Double =
            switch rules.policy {
            case .leastFrequent, .leastLikely: entry.value.rank
            default: 1 / Double(clock - entry.value.lastUse + 1)
            }
        return (segment, worth * factor / distance, entry.value.lastUse)
    }

    mutating func load(_ expert: Int, slot: Int, evicting victim: Int?, isDemanded: Bool) {
        if let victim {
            residents[victim] = nil
            for group in protectedOrder.indices { protectedOrder[group].removeAll { $0 == victim } }
        }
        clock += 1
        residents[expert] = Resident(
            slot: slot, lastUse: clock, isHeld: false, isLoading: true, wasUsed: false)
        if isDemanded { use(expert) }
    }

    mutating func complete(_ expert: Int, succeeded: Bool) {
        if succeeded {
            residents[expert]?.isLoading = false
            if residents[expert]?.isHeld == false { rank(expert) }
        } else {
            residents[expert] = nil
        }
    }
}
