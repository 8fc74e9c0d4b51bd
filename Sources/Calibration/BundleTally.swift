// How many bundles were thought how likely to be needed, and how many neurons of theirs fired.

internal import Weights

/// Counts by the sum of a bundle's probabilities, in bins of a 64th of an octave.
struct BundleTally {
    private static let binsPerOctave: Float = 64
    /// Sums below 2^-16 count as that.
    private static let octaveFirst: Float = -16
    private static let binCount = 64 * 32

    private var bundles = [Int](repeating: 0, count: Self.binCount)
    private var fired = [Int](repeating: 0, count: Self.binCount)
    var tokens = 0

    private static func bin(_ sum: Float) -> Int {
        // Fractions of the significand instead of a logarithm: bins need only be ordered.
        guard sum > 0, sum.isFinite else { return 0 }
        let place = Float(sum.exponent) + (sum.significand - 1) - octaveFirst
        return min(max(Int(place * binsPerOctave), 0), binCount - 1)
    }

    /// The least sum in a bin.
    private static func least(ofBin bin: Int) -> Float {
        let place = Float(bin) / binsPerOctave + octaveFirst
        let exponent = place.rounded(.down)
        return Float(sign: .plus, exponent: Int(exponent), significand: 1 + place - exponent)
    }

    mutating func add(sum: Float, fired count: Int) {
        bundles[Self.bin(sum)] += 1
        fired[Self.bin(sum)] += count
    }

    mutating func add(_ other: BundleTally) {
        for bin in 0..<Self.binCount {
            bundles[bin] += other.bundles[bin]
            fired[bin] += other.fired[bin]
        }
        tokens += other.tokens
    }

    /// The greatest threshold at which at least `recall` of the neurons that fire are fetched.
    func threshold(recall: Float) -> Float {
        let needed = recall * Float(fired.reduce(0, +))
        var found = 0
        for bin in (0..<Self.binCount).reversed() {
            found += fired[bin]
            if found > 0, Float(found) >= needed { return bin == 0 ? 0 : Self.least(ofBin: bin) }
        }
        return 0
    }

    /// - Parameter matrixCount: of the network: 3 with a gate, else 2.
    func quality(
        _ layer: LayerPredictor, threshold: Float, neuronsPerBundle: Int, width: Int,
        matrixCount: Int
    ) -> LayerPredictor.Quality {
        let fetchedBins = Self.bin(threshold)..<Self.binCount
        let firing = fired.reduce(0, +)
        let fetchedFiring = fired[fetchedBins].reduce(0, +)
        let fetched = bundles[fetchedBins].reduce(0, +)
        var quality = LayerPredictor.Quality()
        quality.density = Float(firing) / Float(max(1, tokens * layer.neuronCount))
        quality.recall = Float(fetchedFiring) / Float(max(1, firing))
        quality.precision = Float(fetchedFiring) / Float(max(1, fetched * neuronsPerBundle))
        quality.fetchedShare = Float(fetched) / Float(max(1, bundles.reduce(0, +)))
        quality.costShare =
            Float(layer.rank * (width + layer.neuronCount))
            / Float(matrixCount * width * layer.neuronCount)
        return quality
    }
}
