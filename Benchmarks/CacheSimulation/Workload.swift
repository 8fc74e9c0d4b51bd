// What is replayed: a recorded run, or an invented one, as token after token or in chunks.

internal import LinuxSystem
package import Measurement
internal import Weights

extension RoutingTrace {
    /// How a run is replayed.
    package enum Mode: Sendable, Equatable, CustomStringConvertible {
        /// Token after token, each through all layers.
        case decode
        /// So many tokens at a time: each layer's demand is the union of theirs.
        case prefill(chunkTokens: Int)

        package var description: String {
            switch self {
            case .decode: "decode"
            case .prefill(let tokens): "prefill-\(tokens)"
            }
        }
    }

    /// What the store would be asked for, in order. Chunks do not follow the recorded steps.
    package func demands(_ mode: Mode) -> [Demand] {
        let chunk = if case .prefill(let tokens) = mode { max(1, tokens) } else { 1 }
        let places = steps.indices.flatMap { step in
            (0..<steps[step].tokenCount).map { (step: step, token: $0) }
        }
        var demands: [Demand] = []
        demands.reserveCapacity(places.count / chunk * shape.layerCount)
        for start in stride(from: 0, to: places.count, by: chunk) {
            let tokens = places[start..<min(start + chunk, places.count)]
            for layer in 0..<shape.layerCount {
                var isDemanded = [Bool](repeating: false, count: shape.expertsPerLayer)
                for place in tokens {
                    for expert in experts(step: place.step, layer: layer, token: place.token) {
                        isDemanded[Int(expert)] = true
                    }
                }
                let ids = isDemanded.indices.filter { isDemanded[$0] }.map {
                    ExpertID(rawValue: layer * shape.expertsPerLayer + $0)
                }
                demands.append(Demand(layer: layer, experts: ids))
            }
        }
        return demands
    }

    private func experts(step: Int, layer: Int, token: Int) -> ArraySlice<UInt16> {
        let first = (layer * steps[step].tokenCount + token) * shape.expertsPerToken
        return steps[step].experts[first..<first + shape.expertsPerToken]
    }

    /// Tokens that choose without memory, an expert of popularity rank r with a weight of r to the
    /// power of minus `exponent`; each layer ranks its experts in its own way. 0 is uniform.
    package static func zipf(
        shape: RoutingShape, exponent: Double, tokenCount: Int, seed: UInt64
    ) -> RoutingTrace {
        var generator = SplitMix64(state: seed)
        let weights = (0..<shape.layerCount).map { _ in
            (1...shape.expertsPerLayer).map { Mathematics.power(Double($0), -exponent) }
                .shuffled(using: &generator)
        }
        let steps = (0..<tokenCount).map { _ in
            RoutingTrace.Step(
                tokenCount: 1,
                experts: weights.flatMap { choose(shape.expertsPerToken, $0, &generator) })
        }
        return RoutingTrace(shape: shape, steps: steps)
    }

    /// Weighted choice without repeats: the first of exponential clocks to ring (Efraimidis and
    /// Spirakis, Information Processing Letters 97, 2006).
    private static func choose(
        _ count: Int, _ weights: [Double], _ generator: inout SplitMix64
    ) -> [UInt16] {
        let times = weights.map { weight in
            -Mathematics.logarithm(Double.random(in: 0x1p-53..<1, using: &generator)) / weight
        }
        return times.indices.sorted { times[$0] < times[$1] }.prefix(count).map { UInt16($0) }
    }
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): the same numbers on every machine.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
