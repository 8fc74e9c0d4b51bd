// `sluice run`: one answer, or a chat.

internal import ArgumentParser
internal import Client
internal import GenerationAPI
internal import Glibc
internal import Knobs
internal import Library
internal import LinuxSystem
internal import Models
internal import Serving

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Answers a prompt; without one, from a terminal, chats.",
        discussion: """
            The prompt may also come on standard input. In a chat, /help says what there is beside \
            prompts.
            """)

    @OptionGroup var daemon: DaemonOptions
    @OptionGroup var engine: EngineArguments
    @OptionGroup var library: LibraryOptions

    @Flag(help: "Run the model in this process, without the daemon.")
    var local = false

    @Argument(help: "A model of the library; with --local also a .sluice or .gguf file.")
    var model: String

    @Argument(help: "What to answer.")
    var prompt: String?

    @Option(help: ArgumentHelp("System message.", valueName: "text"))
    var system: String?

    @Option(parsing: .unconditional, help: ArgumentHelp("Most tokens to generate.", valueName: "n"))
    var maxTokens: Int?

    @Option(help: ArgumentHelp("End before this text; may be repeated.", valueName: "text"))
    var stop: [String] = []

    @Option(knob: "generation.temperature") var temperature: KnobArgument?
    @Option(knob: "generation.top_k") var topK: KnobArgument?
    @Option(knob: "generation.top_p") var topP: KnobArgument?
    @Option(knob: "generation.min_p") var minP: KnobArgument?

    @Option(parsing: .unconditional, help: "The same seed gives the same answer.")
    var seed: UInt64?

    @Flag(help: "Continue the prompt as it is, without the chat template.")
    var raw = false

    @Flag(help: "In a chat, forget the oldest turns when the next does not fit the context.")
    var dropOldest = false

    @Flag(help: "Keep nothing that is typed in a chat; else it goes to ~/.local/state/sluice.")
    var noHistory = false

    @Flag(help: "Leave out what the model thinks before it answers; else on standard error.")
    var hideThinking = false

    @Flag(help: "Print a line of numbers after each answer, on standard error.")
    var stats = false

    /// Longest prompt on standard input.
    private static let inputBytesMax = 4 << 20

    func validate() throws {
        _ = try sampling()
        if let maxTokens, maxTokens < 1 { throw ValidationError("--max-tokens is at least 1") }
        if !local && (engine.isForThisProcess || library.library != nil) {
            throw ValidationError("options about running the model go with --local")
        }
        if local && daemon.socket != nil {
            throw ValidationError("--local does not use a --socket")
        }
    }

    func run() throws {
        let interrupts = Interrupts.shared
        let sampling = try sampling()
        var options = options(sampling)
        guard local else {
            try engine.apply(to: &options)
            let service = try daemon.connect(sampling: sampling)
            // Rather now than after a prompt was typed.
            if prompt == nil { try Self.require(model, of: service) }
            return try Self.run(
                prompt: prompt,
                ChatSession(service: service, options: options, interrupts: interrupts))
        }
        var engineOptions = EngineOptions()
        engineOptions.model = try engine.options()
        engineOptions.model.keepsPopularity = true
        engineOptions.model.prefixes = .memory
        let service = try Engine(
            catalog: FileCatalog(
                path: try library.packedPath(of: model, keys: engineOptions.model.modelKeys)),
            options: engineOptions)
        defer { service.stop() }
        try Self.run(
            prompt: prompt,
            ChatSession(service: service, options: options, interrupts: interrupts))
    }

    private static func require(
        _ model: String, of service: some GenerationService
    ) throws(GenerationError) {
        let known = try service.models().map(\.name)
        guard !ModelSummary.names(for: model).contains(where: known.contains) else { return }
        throw .unknownModel(model, among: known)
    }

    /// Answers `prompt`, or what standard input holds, or chats.
    static func run(prompt: String?, _ session: ChatSession) throws {
        var session = session
        if let prompt { return try session.answer(prompt) }
        guard !Terminal.isTerminal(STDIN_FILENO) else { return try session.chat() }
        guard let bytes = Terminal.readInput(bytesMax: inputBytesMax),
            let text = String(validating: bytes, as: UTF8.self)
        else {
            Terminal.complain("standard input: not UTF-8, or longer than 4 MiB")
            throw ExitCode(ExitStatus.badData.rawValue)
        }
        let prompt = text.hasSuffix("\n") ? String(text.dropLast()) : text
        guard !prompt.isEmpty else { throw ValidationError("standard input holds no prompt") }
        try session.answer(prompt)
    }

    /// What a request says of sampling; the rest is the service's.
    private func sampling() throws -> SamplingOverrides {
        var profile = Profile()
        for argument in [temperature, topK, topP, minP].compactMap({ $0 }) {
            try argument.apply(to: &profile)
        }
        let said = profile.generation.sampling
        var sampling = SamplingOverrides()
        if temperature != nil { sampling.temperature = said.temperature }
        if topK != nil { sampling.topK = said.topK }
        if topP != nil { sampling.topP = said.topP }
        if minP != nil { sampling.minP = said.minP }
        sampling.seed = seed
        return sampling
    }

    private func options(_ sampling: SamplingOverrides) -> SessionOptions {
        var options = SessionOptions(model: model)
        options.system = system
        options.sampling = sampling
        options.tokensMax = maxTokens
        options.stopStrings = stop
        options.isRaw = raw
        options.showsStatistics = stats
        options.dropsOldest = dropOldest
        options.keepsHistory = !noHistory
        options.showsThoughts = !hideThinking
        return options
    }
}
