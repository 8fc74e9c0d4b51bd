// `sluice bench`: a model's speed in this process, and how close it comes to what the machine
// allows.

internal import ArgumentParser
internal import FlashStorage
internal import Knobs
internal import LinuxSystem
internal import Measurement
internal import Memory
internal import ModelFormat
internal import Models
internal import Weights

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures prompt and generation speed.")

    @OptionGroup var model: ModelArguments
    @OptionGroup var service: ServiceArguments

    @Option(parsing: .unconditional, help: ArgumentHelp("Tokens of the prompt.", valueName: "n"))
    var prompt = 256

    @Option(parsing: .unconditional, help: ArgumentHelp("Tokens to generate.", valueName: "n"))
    var generate = 32

    @Option(
        parsing: .unconditional, help: ArgumentHelp("Runs; medians are reported.", valueName: "n"))
    var runs = 3

    @Flag(help: "Keep cached weights between runs.")
    var warm = false

    @Flag(help: "Choose experts at random: the worst case for a cache. Output means nothing.")
    var uniformRouting = false

    @Option(
        help: ArgumentHelp(
            "Feed this text instead of tokens at random.", valueName: "path"))
    var text: String?

    @OptionGroup var ladder: LadderArguments

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
        if ladder.ladder, model.engine.resident || model.engine.choosesNeurons || warm {
            throw ValidationError(
                "--ladder does not go with --resident, --sparse and --warm: it sets them itself")
        }
    }

    func run() throws {
        let path = try model.packedPath()
        var options = try model.engine.options()
        try service.apply(to: &options, model.engine.readProfile())
        if options.contextTokensWanted ?? 0 < prompt + generate {
            options.contextTokens = options.contextTokens ?? prompt + generate
        }
        try check(context: options.contextTokens ?? .max)
        var plan = BenchmarkPlan()
        plan.promptTokens = prompt
        plan.generatedTokens = generate
        plan.runs = runs
        plan.routesUniformly = uniformRouting
        plan.isWarm = warm || options.isResident
        plan.tokens = try text.map { try tokens(of: $0, path) }
        if ladder.ladder {
            return try ladder.run(path, model, options, plan, showsJSON: json)
        }
        let subject = try measure(path, options, plan)
        // The model is gone by now: its memory serves the probes.
        let limits = try Progress.during("measuring the drive and memory") { _ in
            try Self.limits(path, options, subject)
        }
        let used = options.flash.tuner?.tuned(options.flash, path: path, memoryBytes: 0)
        let report = BenchmarkReport(
            subject, plan, limits, flash: used ?? options.flash, threads: options.threads)
        Terminal.line(json ? try report.json() : report.text())
    }

    private static func limits(
        _ path: String, _ options: ModelOptions, _ subject: BenchmarkSubject
    ) throws -> BenchmarkLimits {
        let ledger = MemoryLedger(limitBytes: subject.budget.limitBytes)
        let drive = try DriveProbe.measure(
            paths: [path], options: options.flash, in: ledger,
            memoryBytes: MemoryLimits.leftBytes(of: ledger.limitBytes))
        return BenchmarkLimits(
            drive: drive,
            keptBytesPerSecond: Measurements.kept(forFile: path)?.bytesPerSecondMax,
            memory: try memory(threads: options.threads, in: ledger),
            weightBytesPerToken: subject.weightBytesPerToken)
    }

    /// As `sluice tune` found it, with all the memory that measuring needs, or else in what
    /// is left.
    private static func memory(threads: Int, in ledger: MemoryLedger) throws -> KnownMemorySpeed {
        if let kept = Measurements.keptMemoryBytesPerSecond(threads: threads) {
            return KnownMemorySpeed(bytesPerSecond: kept)
        }
        let speed = try MemoryBandwidth.measure(
            team: ComputeTeam(memberCount: threads), in: ledger)
        return KnownMemorySpeed(bytesPerSecond: speed.bytesPerSecond, doubt: speed.doubt)
    }

    private func check(context: Int) throws {
        guard context >= prompt + generate else {
            throw ValidationError("--context does not hold --prompt and --generate")
        }
    }

    private func tokens(of text: String, _ path: String) throws -> [TokenID] {
        let count = prompt + generate
        let tokens = try TextTokens.of(
            TextInput.read(text), path: path, keys: model.engine.options().modelKeys,
            count: count + 1)
        guard tokens.count >= count else {
            throw LadderError.textTooShort(tokens: tokens.count, needed: count)
        }
        return tokens
    }

    private func measure(
        _ path: String, _ options: ModelOptions, _ plan: BenchmarkPlan
    ) throws -> BenchmarkSubject {
        let instance = try ModelInstance(path: path, options: options)
        // A profile's may not fit as a whole.
        try check(context: instance.contextTokens)
        instance.pinComputingThread()
        let benchmark = Benchmark(model: instance, plan: plan)
        let runs = try Progress.during("benchmarking") { progress in
            try trace.recording(instance) { try benchmark.run { progress.show($0) } }
        }
        return BenchmarkSubject(
            path: path, isResident: instance.isResident, budget: instance.budget, runs: runs,
            weightBytesPerToken: benchmark.weightBytesPerToken,
            peakBytes: ProcessMemory.current().residentPeakBytes,
            bundleBytes: instance.plan.expertSlotBytes,
            workingSetLimitBytes: instance.workingSetShortage?.neededLimitBytes)
    }
}
