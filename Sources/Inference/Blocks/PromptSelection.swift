// Which tokens of a prompt are kept: those that are looked at most, neighbours together.

/// A choice of places by how much each is looked at.
package enum PromptSelection {
    /// Tokens at a prompt's end that say what is kept, as SnapKV has it.
    package static let queryTokens = 32
    /// Neighbours whose weights are averaged: what is looked at is seldom one token alone.
    private static let poolTokens = 5

    /// Tokens of the `pending` ones of a prompt that the next step computes: those that say what is
    /// kept go together, as far as there is room.
    package static func stepTokens(of pending: Int, atMost most: Int) -> Int {
        guard pending > most else { return pending }
        return min(most, pending - (pending > queryTokens ? queryTokens : most))
    }

    /// Adds to each weight those of its neighbours, two on each side. (Their mean, but for a
    /// factor that changes no order.)
    package static func pool(_ weights: inout MutableSpan<Float>) {
        let reach = poolTokens / 2
        // What was at the place and before it; what comes after is still there.
        var before = [Float](repeating: 0, count: reach + 1)
        for place in 0..<weights.count {
            for index in 0..<reach { before[index] = before[index + 1] }
            before[reach] = weights[place]
            var sum: Float = 0
            for weight in before { sum += weight }
            for next in place + 1..<max(place + 1, min(place + reach + 1, weights.count)) {
                sum += weights[next]
            }
            weights[place] = sum
        }
    }

    /// The places of the `count` largest weights, the first ones of those that are equal,
    /// ascending.
    ///
    /// - Precondition: there are so many. (NaN counts as large.)
    package static func choose(
        _ count: Int, of weights: Span<Float>, into places: inout MutableSpan<Int32>
    ) {
        precondition(count <= weights.count && count <= places.count)
        // The least of the chosen has the largest rank of which there are enough that are no
        // smaller.
        var (low, high) = (UInt32(0), UInt32.max)
        while low < high {
            let middle = low + (high - low - 1) / 2 + 1
            var found = 0
            for place in 0..<weights.count where rank(weights[place]) >= middle { found += 1 }
            if found >= count { low = middle } else { high = middle - 1 }
        }
        var equal = count
        for place in 0..<weights.count where rank(weights[place]) > low { equal -= 1 }
        var filled = 0
        for place in 0..<weights.count {
            let own = rank(weights[place])
            guard own > low || own == low && equal > 0 else { continue }
            if own == low { equal -= 1 }
            places[filled] = Int32(place)
            filled += 1
        }
    }

    /// Numbers that are ordered as their ranks: of those that are negative, fewer bits are more.
    private static func rank(_ weight: Float) -> UInt32 {
        let bits = weight.bitPattern
        return bits >> 31 == 0 ? bits | 1 << 31 : ~bits
    }
}
