// `sluice bench`: a model's speed in this process, and how close it comes to what the machine
// allows.

internal import ArgumentParser
internal import DaemonCore
internal import FoundationEssentials
internal import LinuxSystem
internal import Scheduling
internal import WeightStore

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures prompt and generation speed.")

    @OptionGroup var model: ModelArguments

    @Option(help: ArgumentHelp("Tokens of the prompt.", valueName: "n"))
    var prompt = 256

    @Option(help: ArgumentHelp("Tokens to generate.", valueName: "n"))
    var generate = 32

    @Option(help: ArgumentHelp("Runs; medians are reported.", valueName: "n"))
    var runs = 3

    @Flag(help: "Keep cached weights between runs.")
    var warm = false

    @Flag(help: "Choose experts at random: the worst case for a cache. Output means nothing.")
    var uniformRouting = false

    @OptionGroup var trace: TraceArguments

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard (1...1 << 22).contains(prompt) else {
            throw ValidationError("--prompt is at least 1")
        }
        guard (1...1 << 22).contains(generate) else {
            throw ValidationError("--generate is at least 1")
        }
        guard (1...1000).contains(runs) else {
            throw ValidationError("--runs is between 1 and 1000")
        }
    }

    func run() throws {
        let path = try model.packedPath()
        var options = try model.engine.options()
        options.contextTokens = options.contextTokens ?? prompt + generate
        guard options.contextTokens ?? 0 >= prompt + generate else {
            throw ValidationError("--context does not hold --prompt and --generate")
        }
        var plan = BenchmarkPlan()
        plan.promptTokens = prompt
        plan.generatedTokens = generate
        plan.runs = runs
        plan.routesUniformly = uniformRouting
        plan.isWarm = warm || options.isResident
        let subject = try measure(path, options, plan)
        // The model is gone by now: its memory serves the probes.
        let limits = BenchmarkLimits(
            flashBytesPerSecond: try DriveProbe.measure(
                path: path, options: options.flash)?.bytesPerSecondMax,
            memoryBytesPerSecond: try MemoryBandwidth.bytesPerSecond(
                team: ComputeTeam(memberCount: options.threads)),
            weightBytesPerToken: subject.weightBytesPerToken)
        let report = BenchmarkReport(subject, plan, limits, threads: options.threads)
        Terminal.line(json ? try report.json() : report.text())
    }

    private func measure(
        _ path: String, _ options: ModelOptions, _ plan: BenchmarkPlan
    ) throws -> BenchmarkSubject {
        let instance = try ModelInstance(path: path, options: options)
        instance.pinComputingThread()
        let benchmark = Benchmark(model: instance, plan: plan)
        let runs = try trace.recording(instance) { try benchmark.run() }
        return BenchmarkSubject(
            path: path, isResident: instance.isResident, budget: instance.budget, runs: runs,
            weightBytesPerToken: benchmark.weightBytesPerToken,
            peakBytes: ProcessMemory.current().residentPeakBytes,
            bundleBytes: instance.plan.expertSlotBytes,
            workingSetLimitBytes: instance.workingSetShortage?.neededLimitBytes)
    }
}

/// A model's runs, and what is told about it.
struct BenchmarkSubject {
    let path: String
    let isResident: Bool
    let budget: MemoryBudget
    let runs: [BenchmarkRun]
    let weightBytesPerToken: Int
    let peakBytes: Int
    /// Bytes of an expert's bundle; 0 without experts.
    let bundleBytes: Int
    /// Memory with which one token's experts fit; nil when they do.
    let workingSetLimitBytes: Int?
}

/// What the machine allows.
struct BenchmarkLimits {
    let flashBytesPerSecond: Double?
    let memoryBytesPerSecond: Double
    let weightBytesPerToken: Int
}

/// A value that JSON shows as null when there is none, where it would else leave out the key.
struct Nullable<Value: Encodable>: Encodable {
    let value: Value?

    init(_ value: Value?) { self.value = value }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let value { try container.encode(value) } else { try container.encodeNil() }
    }
}

/// The figures, named as docs and scripts rely on.
struct BenchmarkReport: Encodable {
    struct Seconds: Encodable {
        let flashWait: Double
        let compute: Double
        let other: Double
    }

    struct Prefetch: Encodable {
        let reads: Int
        /// Of the reads, those whose bundle was demanded before it left.
        let precision: Double
        /// Of the bundles that were missing when their layer was predicted, those predicted.
        let recall: Double
        let wastedBytesPerToken: Double

        init?(_ runs: [BenchmarkRun], bundleBytes: Int, tokens: Int) {
            let all = runs.map(\.generation.prefetch)
            reads = all.reduce(0) { $0 + $1.read }
            guard reads > 0 else { return nil }
            let used = all.reduce(0) { $0 + $1.used }
            let missing = all.reduce(0) { $0 + $1.missing }
            precision = Double(used) / Double(reads)
            recall = missing == 0 ? 1 : Double(all.reduce(0) { $0 + $1.named }) / Double(missing)
            wastedBytesPerToken =
                Double((reads - used) * bundleBytes) / Double(tokens * all.count)
        }
    }

    let model: String
    let threads: Int
    let memoryLimitBytes: Nullable<Int>
    let promptTokens: Int
    let generatedTokens: Int
    let promptTokensPerSecond: Double
    let generatedTokensPerSecond: Double
    let timeToFirstTokenSeconds: Double
    let flashBytesPerPromptToken: Double
    let flashBytesPerGeneratedToken: Double
    let flashBytesPerSecond: Double
    let bundleHitRate: Double
    /// The memory limit with which one token's experts fit the cache, when they do not.
    let workingSetMemoryLimitBytes: Nullable<Int>
    /// What measured bandwidths allow for the bytes that this run moved; nil without a limit.
    let flashLimitTokensPerSecond: Nullable<Double>
    let memoryLimitTokensPerSecond: Double
    let seconds: Seconds
    /// Expert bundles read ahead of demand; nil when none was.
    let prefetch: Nullable<Prefetch>
    let peakResidentBytes: Int
    let budget: [String: Int]

    init(
        _ subject: BenchmarkSubject, _ plan: BenchmarkPlan, _ limits: BenchmarkLimits, threads: Int
    ) {
        let runs = subject.runs
        let tokens = Double(plan.generatedTokens)
        let generate = Self.median(runs.map(\.generateSeconds))
        let prompt = Self.median(runs.map(\.promptSeconds))
        let flashBytes = Self.median(runs.map { Double($0.generation.flashBytes) })
        let wait = Self.median(runs.map { Double($0.generation.flashWaitNanoseconds) / 1e9 })
        model = subject.path
        self.threads = threads
        memoryLimitBytes = Nullable(subject.isResident ? nil : subject.budget.limitBytes)
        promptTokens = plan.promptTokens
        generatedTokens = plan.generatedTokens
        promptTokensPerSecond = Double(plan.promptTokens) / prompt
        generatedTokensPerSecond = tokens / generate
        timeToFirstTokenSeconds = prompt
        flashBytesPerPromptToken =
            Self.median(runs.map { Double($0.prefill.flashBytes) }) / Double(plan.promptTokens)
        flashBytesPerGeneratedToken = flashBytes / tokens
        flashBytesPerSecond = flashBytes / generate
        workingSetMemoryLimitBytes = Nullable(subject.workingSetLimitBytes)
        bundleHitRate = Self.median(runs.map(\.generation.hitRate))
        flashLimitTokensPerSecond = Nullable(
            limits.flashBytesPerSecond.flatMap {
                flashBytes > 0 ? $0 / (flashBytes / tokens) : nil
            })
        memoryLimitTokensPerSecond =
            limits.memoryBytesPerSecond / Double(limits.weightBytesPerToken)
        seconds = Seconds(
            flashWait: wait, compute: Self.median(runs.map(\.computeSeconds)),
            other: max(0, generate - wait - Self.median(runs.map(\.computeSeconds))))
        prefetch = Nullable(
            Prefetch(runs, bundleBytes: subject.bundleBytes, tokens: plan.generatedTokens))
        peakResidentBytes = subject.peakBytes
        budget = Dictionary(
            subject.budget.terms.map { ($0.name, $0.bytes) }, uniquingKeysWith: +)
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    func text() -> String {
        func rounded(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }
        func mebibytes(_ bytes: Double) -> String { rounded(bytes / 1_048_576) + " MiB" }
        var lines = [
            "prompt      \(rounded(promptTokensPerSecond)) tokens/s (\(promptTokens) tokens)",
            "generate    \(rounded(generatedTokensPerSecond)) tokens/s (\(generatedTokens) tokens)",
            "flash       \(mebibytes(flashBytesPerGeneratedToken)) per token, hit rate "
                + rounded(bundleHitRate),
            "limits      memory \(rounded(memoryLimitTokensPerSecond)) tokens/s",
            "peak        \(mebibytes(Double(peakResidentBytes)))"
        ]
        if let limit = flashLimitTokensPerSecond.value {
            lines[3] += ", flash \(rounded(limit)) tokens/s"
        }
        return lines.joined(separator: "\n")
    }

    private static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}
