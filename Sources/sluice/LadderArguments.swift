// `sluice bench --ladder`: what each part of reading neurons one by one is worth.

internal import ArgumentParser
internal import Glibc
internal import Knobs
internal import LinuxSystem
internal import Measurement
internal import ModelFormat
internal import Models
internal import Packing

struct LadderArguments: ParsableArguments {
    @Flag(
        help: ArgumentHelp(
            "Of an activation-sparse model: everything read each token, half of it, and what each "
                + "part of reading neurons one by one is worth. Without --memory half of the "
                + "weights' bytes stay."))
    var ladder = false

    @Option(
        help: ArgumentHelp(
            "Of --ladder: the model's GGUF, which its first two rows read without bundles. Not "
                + "needed where MODEL is that file.", valueName: "file.gguf"))
    var source: String?

    func validate() throws {
        if source != nil && !ladder { throw ValidationError("--source is for --ladder") }
    }

    func run(
        _ path: String, _ arguments: ModelArguments, _ options: ModelOptions,
        _ plan: BenchmarkPlan, showsJSON: Bool
    ) throws {
        let manifest = try PackedModel(
            source: FileByteSource(path: path, name: path), keys: options.modelKeys
        ).manifest
        guard manifest.neurons != nil else {
            throw LadderError.noBundles(path)
        }
        let source = try source ?? arguments.sourcePath()
        guard let source else {
            Terminal.complain(
                "the first two rows read the packed file, which has first projections twice: "
                    + "--source takes the GGUF to measure without")
            return try measure(path, wholePath: path, options, plan, showsJSON)
        }
        let job = try ImportJob(
            sourcePath: source, libraryDirectory: FileSystem.parent(of: path),
            name: "ladder-\(getpid())", activation: manifest.shape.activationAsked,
            neurons: .whole)
        try ImportCommand.run(job)
        // Without a name it goes with this process, however that ends.
        let file = try FileDescriptor(path: job.destination, mode: .read)
        try FileSystem.remove(job.destination)
        try measure(path, wholePath: "/proc/self/fd/\(file.rawValue)", options, plan, showsJSON)
    }

    private func measure(
        _ path: String, wholePath: String, _ options: ModelOptions, _ plan: BenchmarkPlan,
        _ showsJSON: Bool
    ) throws {
        let whole = try PackedModel(
            source: FileByteSource(path: wholePath, name: wholePath), keys: options.modelKeys
        ).manifest
        // Of a bundled file, the first projections count once.
        let wholeBytes =
            whole.matrices.reduce(0) { $0 + $1.byteCount }
            + (whole.neurons ?? []).reduce(0) { $0 + $1.count * $1.restBytes + $1.scalesBytes }
        var (options, plan) = (options, plan)
        if options.memoryBytesMax == nil {
            options.memoryBytesMax = try Ladder.halfBytes(
                path: path, wholeBytes: wholeBytes, options: options)
        }
        if plan.tokens == nil { plan.tokens = try said(path, options, plan) }
        let ladder = Ladder(path: path, wholePath: wholePath, options: options, plan: plan)
        let rows = try Progress.during("measuring each step") { progress in
            try ladder.run { progress.show($0) }
        }
        if rows.last?.step != .bundling {
            Terminal.complain(
                "rows with predictions are left out: sluice calibrate makes predictors")
        }
        let report = LadderReport(
            path, wholeBytes: wholeBytes, plan, threads: options.threads, rows)
        Terminal.line(showsJSON ? try report.json() : report.text())
    }

    private func said(
        _ path: String, _ options: ModelOptions, _ plan: BenchmarkPlan
    ) throws -> [TokenID] {
        var options = options
        options.sparse = .exact
        let model = try ModelInstance(path: path, options: options)
        model.pinComputingThread()
        return try TextTokens.said(by: model, count: plan.promptTokens + plan.generatedTokens)
    }
}
