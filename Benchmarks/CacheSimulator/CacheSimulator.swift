// cache-simulator: hit rate of each cache policy at each budget, beside Belady's optimum, for
// recorded and invented runs.

internal import ArgumentParser
internal import CacheSimulation
internal import LinuxSystem
internal import ModelFormat
internal import FlashStorage
internal import Measurement
internal import Weights

@main struct CacheSimulator: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache-simulator",
        abstract: "Replays expert routing through cache policies.",
        discussion: """
            Traces come from `sluice eval MODEL --file TEXT --trace FILE`. Policies are lru, lfu-N \
            (counts halve in N passes), slru-P (P percent protected) and blend-P (P percent \
            recency), with +soonest or \
            +shallow-LxF (the first L layers count F times) and /layer (slots of each layer's own).
            """)

    @Argument(help: ArgumentHelp("Traces, each as NAME=FILE or FILE.", valueName: "trace"))
    var traces: [String] = []

    @Option(
        help: ArgumentHelp(
            "Also an invented run whose popularity falls with this exponent; 0 is uniform.",
            valueName: "exponent"))
    var zipf: [Double] = []

    @Option(help: ArgumentHelp("Tokens of each run, at most.", valueName: "n"))
    var tokens = 4096

    @Option(help: ArgumentHelp("Slots, in percent of all experts.", valueName: "a,b,c"))
    var budgets = "5,10,15,20,25,30,35,40,50,60,70,80,90"

    @Option(help: ArgumentHelp("Policies to compare.", valueName: "a,b,c"))
    var policies: String?

    @Option(
        help: ArgumentHelp("Replay in chunks of so many tokens, as a prompt.", valueName: "n"))
    var chunk: Int?

    @Option(help: ArgumentHelp("Misses that are read at the same time.", valueName: "n"))
    var misses = ExpertWeights.missesAtOnceMax

    @Option(help: ArgumentHelp("Percent of the run that only fills the cache.", valueName: "n"))
    var skip = 25

    @Option(help: ArgumentHelp("Seed of invented runs.", valueName: "n"))
    var seed: UInt64 = 1

    @Flag(help: "Print comma-separated values.")
    var csv = false

    func validate() throws {
        guard !traces.isEmpty || !zipf.isEmpty else {
            throw ValidationError("give traces, or --zipf")
        }
        guard (1...1 << 22).contains(tokens), (0...99).contains(skip),
            (1...1 << 22).contains(chunk ?? 1),
            misses > 0, zipf.allSatisfy({ (0...10).contains($0) })
        else {
            throw ValidationError("--tokens, --chunk, --skip or --zipf is out of range")
        }
        _ = try (percents(), rules())
    }

    func run() throws {
        let (percents, rules) = try (percents(), rules())
        let mode = chunk.map { RoutingTrace.Mode.prefill(chunkTokens: $0) } ?? .decode
        if csv { print("workload,mode,policy,budget_percent,slots,hit_rate") }
        for (name, trace) in try workloads() {
            let rows = Comparison(
                workload: name, trace: trace, mode: mode, percents: percents, rules: rules,
                misses: misses, skipPercent: skip)
            print(csv ? rows.csv() : rows.table(), terminator: "")
        }
    }

    private func percents() throws -> [Int] {
        try budgets.split(separator: ",").map { item in
            guard let percent = Int(item), (1...100).contains(percent) else {
                throw ValidationError("--budgets has '\(item)', which is not a percentage")
            }
            return percent
        }
    }

    private func rules() throws -> [CacheRules] {
        guard let policies else { return CacheRules.compared }
        return try policies.split(separator: ",").map { item in
            guard let rules = CacheRules(name: String(item)) else {
                throw ValidationError("--policies has '\(item)', which is none")
            }
            return rules
        }
    }

    private func workloads() throws -> [(String, RoutingTrace)] {
        let recorded = try traces.map { argument in
            let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
            let path = parts.last ?? ""
            let name = parts.count == 2 ? parts[0] : FileSystem.name(of: path)
            return (name, try TraceFile.read(path).first(tokens))
        }
        let shape = RoutingShape(layerCount: 16, expertsPerLayer: 64, expertsPerToken: 8)
        return recorded
            + zipf.map { exponent in
                let trace = RoutingTrace.zipf(
                    shape: shape, exponent: exponent, tokenCount: tokens, seed: seed)
                return (exponent == 0 ? "uniform" : "zipf-\(exponent)", trace)
            }
    }
}

enum TraceFile {
    private static let bytesMax: UInt64 = 1 << 30

    static func read(_ path: String) throws -> RoutingTrace {
        let file = try FileDescriptor(path: path, mode: .read)
        let count = try file.byteCount()
        guard count <= bytesMax else { throw ValidationError("\(path) is larger than 1 GiB") }
        var bytes = [UInt8](repeating: 0, count: Int(count))
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        let found = try file.read(at: 0, into: &raw)
        return try RoutingTrace(Array(bytes.prefix(found)), file: path)
    }
}

extension RoutingTrace {
    /// The steps that have the first `count` tokens.
    func first(_ count: Int) -> RoutingTrace {
        var left = count
        var trace = self
        trace.steps = steps.prefix {
            left -= $0.tokenCount
            return left >= 0
        }
        return trace
    }
}
