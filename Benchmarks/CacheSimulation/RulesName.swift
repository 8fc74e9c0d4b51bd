// Cache rules as words, for the command line and for tables: `lru`, `lfu-64`, `slru-50` or
// `blend-10`, each with `+soonest` or `+shallow-2x4` behind it, and `/layer` for slots of each
// layer's own.

internal import Measurement
package import Weights

extension CacheRules {
    /// The rules that `name` means, or nil.
    package init?(name: String) {
        var rest = name[...]
        let isPerLayer = rest.hasSuffix("/layer")
        if isPerLayer { rest = rest.dropLast("/layer".count) }
        let parts = rest.split(separator: "+", omittingEmptySubsequences: false)
        guard parts.count <= 2, let policy = CachePolicy(name: parts[0]) else { return nil }
        var preference = LayerPreference.none
        if parts.count == 2 {
            guard let named = LayerPreference(name: parts[1]) else { return nil }
            preference = named
        }
        self.init(policy, preference: preference, sharing: isPerLayer ? .perLayer : .global)
    }

    package var name: String {
        policy.name + preference.suffix + (sharing == .perLayer ? "/layer" : "")
    }

    /// What is compared when nobody says.
    package static let compared = [
        "lru", "lru/layer", "lru+shallow-2x2", "lru+soonest", "slru-50", "slru-50+soonest",
        "lfu-16", "lfu-256", "lfu-256/layer", "lfu-256+shallow-2x2", "lfu-256+soonest",
        "blend-10", "blend-10/layer", "blend-10+shallow-2x2", "blend-10+soonest"
    ].compactMap { CacheRules(name: $0) }
}

extension CachePolicy {
    fileprivate init?(name: Substring) {
        let words = name.split(separator: "-", omittingEmptySubsequences: false)
        let number = words.count == 2 ? Int(words[1]) : nil
        switch (words[0], number) {
        case ("lru", nil) where words.count == 1: self = .leastRecent
        case ("lfu", let passes?) where (1...1 << 30).contains(passes):
            self = .leastFrequent(halfLifePasses: passes)
        case ("blend", let percent?) where (1...99).contains(percent):
            self = .leastLikely(recentPercent: percent, halfLifePasses: 256)
        case ("slru", let percent?) where (1...99).contains(percent):
            self = .segmented(protectedPercent: percent)
        default: return nil
        }
    }

    fileprivate var name: String {
        switch self {
        case .leastRecent: "lru"
        case .leastFrequent(let passes): "lfu-\(passes)"
        case .leastLikely(let percent, _): "blend-\(percent)"
        case .segmented(let percent): "slru-\(percent)"
        }
    }
}

extension LayerPreference {
    fileprivate init?(name: Substring) {
        if name == "soonest" {
            self = .soonest
            return
        }
        let prefix = "shallow-"
        let numbers = name.dropFirst(prefix.count).split(separator: "x")
        guard name.hasPrefix(prefix), numbers.count == 2, let layers = Int(numbers[0]),
            let factor = Int(numbers[1]), layers > 0, factor > 0
        else { return nil }
        self = .shallow(layers: layers, factor: Double(factor))
    }

    fileprivate var suffix: String {
        switch self {
        case .none: ""
        case .soonest: "+soonest"
        case .shallow(let layers, let factor): "+shallow-\(layers)x\(Int(factor))"
        }
    }
}
