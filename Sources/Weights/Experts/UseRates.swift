// How often each expert was used: the share of its layer's passes, where old passes count less.

internal import LinuxSystem

struct UseRates: Sendable {
    /// Below this a rate is none; numbers far below would be slow to multiply.
    private static let rateMin = 1e-30

    private let expertsPerLayer: Int
    /// What a pass leaves of the long-run rate.
    private let remains: Double
    private let recentShare: Double
    private var longRun: [Double]
    /// The same with a half-life of one pass.
    private var recent: [Double]

    init(layerCount: Int, expertsPerLayer: Int, _ policy: CachePolicy) {
        self.expertsPerLayer = expertsPerLayer
        remains = Mathematics.power(0.5, 1 / Double(max(1, policy.halfLifePasses)))
        recentShare =
            if case .leastLikely(let percent, _) = policy { Double(percent) / 100 } else { 0 }
        longRun = Array(repeating: 0, count: layerCount * expertsPerLayer)
        recent = longRun
    }

    /// The long-run rates, which are worth keeping from one start to the next.
    var values: [Float] { longRun.map { Float($0) } }

    /// The estimated chance that a layer's next pass uses the expert.
    func estimate(_ expert: Int) -> Double {
        recentShare * recent[expert] + (1 - recentShare) * longRun[expert]
    }

    /// A layer's next pass begins; uses are counted afterwards.
    mutating func beginPass(layer: Int) {
        for expert in layer * expertsPerLayer..<(layer + 1) * expertsPerLayer {
            longRun[expert] *= remains
            recent[expert] *= 0.5
            if longRun[expert] < Self.rateMin { longRun[expert] = 0 }
            if recent[expert] < Self.rateMin { recent[expert] = 0 }
        }
    }

    mutating func count(_ expert: Int) {
        longRun[expert] += 1 - remains
        recent[expert] += 0.5
    }

    mutating func begin(_ values: [Float]) {
        for index in longRun.indices { longRun[index] = Double(values[index]) }
    }
}
