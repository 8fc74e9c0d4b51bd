// No policy beats knowing the future, on invented runs of every shape.

import CacheSimulation
import Measurement
import Testing
import Weights

@Suite struct ReplayTests {
    @Test(arguments: [0.0, 0.8, 1.5]) func optimumIsNeverBeaten(exponent: Double) {
        let seed = UInt64.random(in: 0...UInt64.max)
        let shape = RoutingShape(layerCount: 3, expertsPerLayer: 8, expertsPerToken: 2)
        let trace = RoutingTrace.zipf(
            shape: shape, exponent: exponent, tokenCount: 200, seed: seed)
        for mode in [RoutingTrace.Mode.decode, .prefill(chunkTokens: 5)] {
            let demands = trace.demands(mode)
            for slots in [1, 2, 3, 6, 7, 12, 23, 24] {
                let replay = Replay(demands: demands, shape: shape, slotCount: slots)
                let best = replay.optimum()
                for rules in CacheRules.compared {
                    let count = replay.run(rules)
                    #expect(count.demanded == best.demanded)
                    #expect(
                        count.hits <= best.hits,
                        "\(rules.name) with \(slots) slots, \(mode), seed \(seed)")
                }
            }
        }
    }
}
