// The angles of the rotary position embedding, with whatever frequency scaling the model asks for.

package import LinuxSystem
package import ModelFormat

/// Rotary angles for a model: one inverse frequency per rotated pair (RoFormer, arXiv 2104.09864).
package struct RotaryTable: Sendable {
    /// Radians per position, per pair.
    package let frequencies: [Double]
    /// Factor on both cosine and sine (YaRN's attention temperature).
    package let magnitude: Double

    /// - Parameter factors: Llama 3's divisors of the frequencies, one per pair.
    package init(_ rope: RotaryEmbedding, factors: [Float]?) {
        let pairs = rope.rotatedWidth / 2
        let plain = (0..<pairs).map { pair in
            let exponent = -2.0 * Double(pair) / Double(rope.rotatedWidth)
            let divisor = factors.map { Double($0[pair]) } ?? 1
            return Mathematics.power(Double(rope.base), exponent) / divisor
        }
        switch rope.scaling {
        case .none:
            frequencies = plain
            magnitude = 1
        case .linear(let factor):
            frequencies = plain.map { $0 / Double(factor) }
            magnitude = 1
        case .yarn(let yarn):
            frequencies = Self.blend(plain, yarn, rope)
            let isExtrapolating = yarn.extrapolationFactor != 0
            let temperature =
                isExtrapolating ? 1 + 0.1 * Mathematics.logarithm(Double(yarn.factor)) : 1
            magnitude = Double(yarn.attentionFactor) * temperature
        }
    }

    package var pairCount: Int { frequencies.count }

    /// Writes one position's cosines and sines.
    package func fill(
        position: Int, cosines: inout Buffer<Float>, sines: inout Buffer<Float>, at start: Int
    ) {
        for pair in 0..<pairCount {
            let angle = Double(position) * frequencies[pair]
            cosines[start + pair] = Float(Mathematics.cosine(angle) * magnitude)
            sines[start + pair] = Float(Mathematics.sine(angle) * magnitude)
        }
    }

    /// The angles by which `positions` more turn what was turned already, in radians.
    package func angles(of positions: Int) -> [Double] {
        frequencies.map { Double(positions) * $0 }
    }

    /// YaRN, section 3.2: low frequencies are interpolated, high ones kept, with a ramp between the
    /// pairs that turn `betaSlow` and `betaFast` times within the original context.
    private static func blend(
        _ plain: [Double], _ yarn: RotaryEmbedding.Yarn, _ rope: RotaryEmbedding
    ) -> [Double] {
        let width = Double(rope.rotatedWidth)
        func pair(turns: Float) -> Double {
            let context = Double(yarn.originalContextLength)
            return width * Mathematics.logarithm(context / (Double(turns) * 2 * Double.pi))
                / (2 * Mathematics.logarithm(Double(rope.base)))
        }
        let low = max(0, pair(turns: yarn.betaFast).rounded(.down))
        let high = min(width - 1, pair(turns: yarn.betaSlow).rounded(.up))
        return plain.enumerated().map { index, frequency in
            let position = (Double(index) - low) / max(0.001, high - low)
            let keep = (1 - min(1, max(0, position))) * Double(yarn.extrapolationFactor)
            return frequency / Double(yarn.factor) * (1 - keep) + frequency * keep
        }
    }
}
