// What a step read from flash, and who pays for it.

/// What was read, and what was there.
package struct StepCost: Sendable, Equatable {
    package var flashBytes: UInt64
    package var bundleHits: Int
    package var bundleMisses: Int

    package init(flashBytes: UInt64, bundleHits: Int, bundleMisses: Int) {
        self.flashBytes = flashBytes
        self.bundleHits = bundleHits
        self.bundleMisses = bundleMisses
    }

    /// Divided among those that computed so many tokens each: a share for each token. The sum of
    /// all shares is the whole.
    package func shares(of tokens: [Int]) -> [StepCost] {
        let all = max(1, tokens.reduce(0, +))
        var end = 0
        return tokens.map { count in
            let start = end
            end += count
            func share(_ value: Int) -> Int { part(value, end, all) - part(value, start, all) }
            return StepCost(
                flashBytes: UInt64(share(Int(clamping: flashBytes))),
                bundleHits: share(bundleHits), bundleMisses: share(bundleMisses))
        }
    }

    /// `value` × `count` / `all`, which may be larger than an integer on the way.
    private func part(_ value: Int, _ count: Int, _ all: Int) -> Int {
        let product = value.multipliedFullWidth(by: count)
        return all.dividingFullWidth(product).quotient
    }
}
