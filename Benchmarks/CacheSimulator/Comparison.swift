// One run's table: a row for each policy, a column for each budget.

internal import CacheSimulation
internal import FlashStorage
internal import Measurement
internal import Weights

struct Comparison {
    private struct Row {
        let name: String
        let rates: [Double]
    }

    private let workload: String
    private let mode: RoutingTrace.Mode
    private let percents: [Int]
    private let slotCounts: [Int]
    private let rows: [Row]

    init(
        workload: String, trace: RoutingTrace, mode: RoutingTrace.Mode, percents: [Int],
        rules: [CacheRules], misses: Int, skipPercent: Int
    ) {
        self.workload = workload
        self.mode = mode
        self.percents = percents
        let demands = trace.demands(mode)
        let slotCounts = percents.map { max(1, trace.shape.expertCount * $0 / 100) }
        self.slotCounts = slotCounts
        let replays = slotCounts.map {
            Replay(
                demands: demands, shape: trace.shape, slotCount: $0, missesAtOnce: misses,
                firstCounted: demands.count * skipPercent / 100)
        }
        rows =
            rules.map { rules in
                Row(name: rules.name, rates: replays.map { $0.run(rules).rate })
            } + [Row(name: "belady", rates: replays.map { $0.optimum().rate })]
    }

    func csv() -> String {
        rows.map { row in
            percents.indices.map { index in
                "\(workload),\(mode),\(row.name),\(percents[index]),\(slotCounts[index]),"
                    + "\((row.rates[index] * 10000).rounded() / 10000)\n"
            }.joined()
        }.joined()
    }

    func table() -> String {
        let width = (rows.map(\.name.count).max() ?? 0) + 2
        var lines = ["\(workload), \(mode): hits in percent, by slots in percent of all experts"]
        lines.append(
            Self.padded("", to: width) + percents.map { Self.right("\($0)") }.joined())
        for row in rows {
            let cells = row.rates.map { Self.right("\(($0 * 1000).rounded() / 10)") }
            lines.append(Self.padded(row.name, to: width) + cells.joined())
        }
        return lines.joined(separator: "\n") + "\n\n"
    }

    private static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private static func right(_ text: String) -> String {
        String(repeating: " ", count: max(1, 6 - text.count)) + text
    }
}
