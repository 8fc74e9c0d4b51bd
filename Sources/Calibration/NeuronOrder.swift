// An order of neurons in which those that fire together are neighbours, so that one read brings
// what one token needs. Greedy: the most frequent neuron left begins a bundle, and those left whose
// firing has the highest cosine with the bundle's join it. (The alternative of pairing every neuron
// with its closest friend loads frequent neurons again and again; docs/LLM-IN-A-FLASH.md.)

package struct NeuronOrder {
    /// Neurons among which bundles are sought: bounds the table of who fires with whom.
    static let windowMax = 4096
    /// Tokens whose firing is unpacked at a time.
    private static let tokensAtOnce = 1024

    let algebra: LinearAlgebra
    let neuronsPerBundle: Int

    package init(algebra: LinearAlgebra, neuronsPerBundle: Int) {
        self.algebra = algebra
        self.neuronsPerBundle = neuronsPerBundle
    }

    /// All neurons of a layer; windows are of like frequency.
    package func order(_ samples: NeuronSamples, layer: Int) -> [UInt32] {
        let counts = samples.fireCounts(layer: layer)
        let byFrequency = counts.indices.sorted {
            counts[$0] != counts[$1] ? counts[$0] > counts[$1] : $0 < $1
        }
        guard neuronsPerBundle > 1 else { return byFrequency.map { UInt32($0) } }
        // Whole bundles, so that only the last is short.
        let size = max(1, Self.windowMax / neuronsPerBundle) * neuronsPerBundle
        var order: [UInt32] = []
        var first = 0
        while first < byFrequency.count {
            let window = Array(byFrequency[first..<min(first + size, byFrequency.count)])
            order += bundles(window, samples, layer).map { UInt32(window[$0]) }
            first += size
        }
        return order
    }

    /// Indices into `window`, most frequent first, bundle after bundle.
    private func bundles(_ window: [Int], _ samples: NeuronSamples, _ layer: Int) -> [Int] {
        let cosines = cosines(window, samples, layer)
        let count = window.count
        var isLeft = [Bool](repeating: true, count: count)
        var order: [Int] = []
        order.reserveCapacity(count)
        for seed in 0..<count where isLeft[seed] {
            isLeft[seed] = false
            order.append(seed)
            var closeness = Array(cosines.row(seed))
            for _ in 1..<neuronsPerBundle {
                var best = -1
                for index in 0..<count
                where isLeft[index] && (best < 0 || closeness[index] > closeness[best]) {
                    best = index
                }
                guard best >= 0 else { break }
                isLeft[best] = false
                order.append(best)
                let row = cosines.row(best)
                for index in 0..<count { closeness[index] += row[row.startIndex + index] }
            }
        }
        return order
    }

    /// How alike two neurons fire: tokens of both over the root of the product of each one's.
    private func cosines(_ window: [Int], _ samples: NeuronSamples, _ layer: Int) -> Matrix {
        let count = window.count
        var sums = Matrix(rows: count, columns: count)
        let tokens = samples.tokenCount(layer: layer)
        var first = 0
        while first < tokens {
            let end = min(first + Self.tokensAtOnce, tokens)
            var fired = Matrix(rows: end - first, columns: count)
            for token in first..<end {
                for (index, neuron) in window.enumerated()
                where samples.fires(layer: layer, token: token, neuron: neuron) {
                    fired[token - first, index] = 1
                }
            }
            let part = algebra.multiply(fired, fired, transposing: .first)
            for index in sums.values.indices { sums.values[index] += part.values[index] }
            first = end
        }
        let factors = (0..<count).map { 1 / max(1, sums[$0, $0]).squareRoot() }
        for row in 0..<count {
            for column in 0..<count { sums[row, column] *= factors[row] * factors[column] }
        }
        return sums
    }
}
