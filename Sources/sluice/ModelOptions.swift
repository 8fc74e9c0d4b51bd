// Options that every command with a model in this process understands, and where MODEL is found.

internal import ArgumentParser
internal import FlashStorage
internal import Glibc
internal import Knobs
internal import Library
internal import ModelFormat
internal import Models

/// Shared by eval, bench, show and `run --local`.
struct ModelArguments: ParsableArguments {
    @Argument(help: "A name in the library, a packed file, or a GGUF file, whatever it is called.")
    var model: String

    @OptionGroup var engine: EngineArguments
    @OptionGroup var library: LibraryOptions

    /// The packed file that MODEL means; a GGUF file is packed into the library on first use.
    func packedPath() throws -> String { try library.packedPath(of: model) }

    /// MODEL itself where it is a GGUF file.
    func sourcePath() throws -> String? {
        let path = try library.value.resolve(model)
        return GGUFFile.isGGUF(try FileByteSource(path: path, name: path)) ? path : nil
    }

    /// Opens the model.
    func open(_ configure: (inout ModelOptions) -> Void = { _ in }) throws -> ModelInstance {
        let path = try packedPath()
        var options = try engine.options()
        configure(&options)
        let model = try ModelInstance(path: path, options: options)
        model.pinComputingThread()
        return model
    }
}

/// Shared by bench and show.
struct ServiceArguments: ParsableArguments {
    @Flag(
        help: ArgumentHelp(
            "Keep the memory for clients that sluiced keeps: what it makes of the same budget."))
    var service = false

    func apply(to options: inout ModelOptions) throws {
        guard service else { return }
        if options.isResident {
            throw ValidationError("--service divides a budget: it does not go with --resident")
        }
        options.keepMemoryForClients()
    }
}

extension LibraryOptions {
    /// The packed file that `model` means; a GGUF file is packed into the library on first use.
    func packedPath(of model: String) throws -> String {
        let path = try explaining { try $0.resolve(model) }
        guard GGUFFile.isGGUF(try FileByteSource(path: path, name: path)) else { return path }
        return try PackedOnFirstUse(source: path, library: value).path()
    }
}

extension VerificationPolicy: ExpressibleByArgument {}
extension Profile.Weights.Sparse: ExpressibleByArgument {}

/// A share of neurons, or `off`.
struct ActivationSparsity {
    /// Nil is off.
    let share: Float?

    init(argument: String) throws {
        share = Float(argument)
        guard argument == "off" || share.map({ $0 > 0 && $0 < 1 }) == true else {
            throw ValidationError("a number between 0 and 1, neither of them, or off")
        }
    }
}

extension SpeculationPolicy: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}

/// How a model runs in this process.
struct EngineArguments: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Memory for everything, such as 1536M or 1.5G.", valueName: "size"))
    var memory: String?

    @Option(parsing: .unconditional, help: ArgumentHelp("Threads that compute.", valueName: "n"))
    var threads: Int?

    @Option(
        name: [.customLong("context"), .customLong("context-tokens")],
        parsing: .unconditional, help: ArgumentHelp("Positions of the KV cache.", valueName: "n"))
    var context: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Bits of a number in the KV cache: 32 is exact, 16 saves memory.", valueName: "32|16"))
    var kvBits: Int?

    @Option(help: ArgumentHelp("Device profile, a TOML file.", valueName: "file"))
    var profile: String?

    @Option(
        name: [.customLong("prefetch-max"), .customLong("prefetch")],
        parsing: .unconditional,
        help: ArgumentHelp(
            "Expert reads under way beyond which none is made ahead of demand; 0 makes none.",
            valueName: "n"))
    var prefetch: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Seconds to wait for a drive that brings nothing.", valueName: "n"))
    var readSecondsMax: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Guess tokens and verify them in one pass: auto, off, or at most n everywhere.",
            valueName: "auto|off|n"))
    var speculate: SpeculationPolicy?

    @Option(
        help: ArgumentHelp(
            "Neurons of an activation-sparse model to read: all, those that fire, or those "
                + "predicted (lossy). auto: what is expected to take least time, of what "
                + "--quality-loss-max allows.",
            valueName: "auto|off|exact|predicted"))
    var sparse: Profile.Weights.Sparse?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "By what share perplexity may be higher, as calibration states it, where --sparse is "
                + "auto; 0 is not at all.",
            valueName: "share"))
    var qualityLossMax: Float?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "The share of neurons that count as silent, each layer's weakest (lossy), such as "
                + "0.5; sluice calibrate finds out which.",
            valueName: "off|share"),
        transform: ActivationSparsity.init(argument:))
    var activationSparsity: ActivationSparsity?

    @Option(help: "Compare weights with their checksums on the first read, or always.")
    var verify: VerificationPolicy?

    @Flag(help: "Everything in memory, without a limit.")
    var resident = false

    func validate() throws {
        if let memory, ByteSize.parse(memory) == nil {
            throw ValidationError("--memory is a size such as 1536M or 1.5G, not '\(memory)'")
        }
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads is between 1 and 1024")
        }
        if let prefetch, !(0...64).contains(prefetch) {
            throw ValidationError("--prefetch-max is between 0 and 64")
        }
        if let readSecondsMax, !(1...3600).contains(readSecondsMax) {
            throw ValidationError("--read-seconds-max is between 1 and 3600")
        }
        if let context, !(1...1 << 22).contains(context) {
            throw ValidationError("--context is between 1 and 4194304")
        }
        if let qualityLossMax, !(0...1).contains(qualityLossMax) {
            throw ValidationError("--quality-loss-max is between 0 and 1")
        }
        guard [nil, 32, 16].contains(kvBits) else {
            throw ValidationError("--kv-bits is 32 or 16")
        }
        if resident && memory != nil {
            throw ValidationError("--resident has no limit: it does not go with --memory")
        }
    }

    /// Whether any of these was given.
    var isGiven: Bool {
        memory != nil || threads != nil || context != nil || kvBits != nil || profile != nil
            || resident || prefetch != nil || speculate != nil || sparse != nil || verify != nil
            || activationSparsity != nil || qualityLossMax != nil || readSecondsMax != nil
    }

    func options() throws -> ModelOptions {
        let profile =
            try profile.map {
                try Profile(path: $0, onNotice: { Terminal.complain($0) })
            } ?? Profile()
        var options = ModelOptions(profile)
        if let memory { options.memoryBytesMax = ByteSize.parse(memory).map(Int.init(clamping:)) }
        if let threads { options.threads = threads }
        options.contextTokens = context
        options.isResident = resident
        if let prefetch { options.flash.prefetchesMax = prefetch }
        if let readSecondsMax {
            options.flash.stallNanosecondsMax = UInt64(readSecondsMax) * 1_000_000_000
        }
        if let sparse { options.sparse = sparse.mode }
        if let activationSparsity { options.activationSparsity = activationSparsity.share }
        if let qualityLossMax { options.qualityLossMax = Double(qualityLossMax) }
        if let speculate { options.speculation = speculate }
        if let verify { options.verification = verify }
        if let kvBits { options.keyValueBits = kvBits }
        options.onNotice = { Terminal.complain($0) }
        options.flash.tuner = DriveTuner(
            file: MeasurementsFile(path: Places().measurements), fixed: profile.flash,
            measures: false, onNotice: options.onNotice)
        return options
    }
}
