// Options that every command with a model in this process understands, and where MODEL is found.

internal import ArgumentParser
internal import FlashStorage
internal import GenerationAPI
internal import Glibc
internal import Knobs
internal import Library
internal import Memory
internal import ModelFormat
internal import Models

/// Shared by eval, bench, show and `run --local`.
struct ModelArguments: ParsableArguments {
    @Argument(help: "A name in the library, a packed file, or a GGUF file, whatever it is called.")
    var model: String

    @OptionGroup var engine: EngineArguments
    @OptionGroup var library: LibraryOptions

    /// The packed file that MODEL means; a GGUF file is packed into the library on first use.
    func packedPath() throws -> String {
        try library.packedPath(of: model, keys: engine.options().modelKeys)
    }

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
            "Divide a budget as sluiced does: with memory for clients, and for several at once."))
    var service = false

    /// - Parameter profile: how the service runs.
    func apply(to options: inout ModelOptions, _ profile: Profile) throws {
        guard service else { return }
        if options.isResident {
            throw ValidationError("--service divides a budget: it does not go with --resident")
        }
        options.keepMemoryForClients()
        options.sequencesMax = profile.service.sessionsMax
    }
}

extension LibraryOptions {
    /// The packed file that `model` means; a GGUF file is packed into the library on first use.
    func packedPath(
        of model: String, keys: ModelKeySource = .standard
    ) throws -> String {
        let path = try explaining { try $0.resolve(model) }
        guard GGUFFile.isGGUF(try FileByteSource(path: path, name: path)) else { return path }
        return try PackedOnFirstUse(source: path, library: value, keys: keys).path()
    }
}

/// How a model runs in this process: knobs, as a profile says them, and what only a command may.
struct EngineArguments: ParsableArguments {
    @Option(knob: "memory.budget") var memory: KnobArgument?
    @Option(knob: "compute.threads") var threads: KnobArgument?
    @Option(knob: "generation.context_tokens") var context: KnobArgument?
    @Option(knob: "kv.bits") var kvBits: KnobArgument?
    @Option(knob: "kv.memory_bytes_max") var kvMemory: KnobArgument?
    @Option(knob: "kv.cold_tokens_max") var kvColdTokens: KnobArgument?
    @Option(knob: "kv.when_full") var kvWhenFull: KnobArgument?
    @Option(knob: "kv.snap_tokens") var kvSnapTokens: KnobArgument?
    @Option(knob: "kv.gem_tokens") var kvGemTokens: KnobArgument?
    @Option(knob: "kv.gem_depth") var kvGemDepth: KnobArgument?
    @Option(help: ArgumentHelp("Device profile, a TOML file.", valueName: "file"))
    var profile: String?
    @Option(knob: "flash.prefetch_max") var prefetchMax: KnobArgument?
    @Option(knob: "flash.read_seconds_max") var readSecondsMax: KnobArgument?
    @Option(knob: "generation.speculate") var speculate: KnobArgument?
    @Option(knob: "weights.sparse") var sparse: KnobArgument?
    @Option(knob: "weights.quality_loss_max") var qualityLossMax: KnobArgument?
    @Option(knob: "weights.activation_sparsity") var activationSparsity: KnobArgument?
    @Option(knob: "flash.verify") var verify: KnobArgument?
    @Option(knob: "flash.model_keys") var modelKeys: KnobArgument?

    @Flag(help: "Everything in memory, without a limit.")
    var resident = false

    /// The knobs that were given.
    private var given: [KnobArgument] {
        [
            memory, threads, context, kvBits, kvMemory, kvColdTokens, kvWhenFull, kvSnapTokens,
            kvGemTokens, kvGemDepth, prefetchMax, readSecondsMax, speculate, sparse,
            qualityLossMax, activationSparsity, verify, modelKeys
        ].compactMap { $0 }
    }

    func validate() throws {
        var profile = Profile()
        for argument in given { try argument.apply(to: &profile) }
        if resident && memory != nil {
            throw ValidationError("--resident has no limit: it does not go with --memory")
        }
    }

    /// Knobs that a request may say too, to the daemon.
    private var requestKnobs: [KnobArgument] { [kvBits, kvColdTokens].compactMap { $0 } }

    /// Whether any of these was given that the daemon cannot be asked for.
    var isForThisProcess: Bool {
        given.count > requestKnobs.count || profile != nil || resident
    }

    /// What a request to the daemon says of them.
    func apply(to order: inout SessionOptions) throws {
        var profile = Profile()
        for argument in requestKnobs { try argument.apply(to: &profile) }
        if kvBits != nil { order.keyValueFormat = profile.keyValues.format }
        if kvColdTokens != nil {
            order.coldTokens = profile.keyValues.coldTokensMax.map { .most($0) } ?? .all
        }
    }

    /// Whether `--sparse` chooses among the ways to read neurons.
    var choosesNeurons: Bool { sparse.map { $0.text != "auto" } ?? false }

    /// The profile that is named, or the defaults, with the knobs that are given.
    func readProfile() throws -> Profile {
        var profile =
            try profile.map {
                try Profile(path: $0, onNotice: { Terminal.complain($0) })
            } ?? Profile()
        for argument in given { try argument.apply(to: &profile) }
        return profile
    }

    func options() throws -> ModelOptions {
        let profile = try readProfile()
        var options = ModelOptions(profile)
        if context != nil { options.contextTokens = profile.generation.contextTokens }
        options.isResident = resident
        options.onNotice = { Terminal.complain($0) }
        options.flash.tuner = DriveTuner(
            file: MeasurementsFile(path: Places().measurements), fixed: profile.flash,
            measures: false, in: .unlimited(), onNotice: options.onNotice)
        return options
    }
}
