// The knobs of one device, validated. Every field is used; a key that is none is refused by line.
// profiles/generic.toml explains each and holds these defaults.

package import GenerationAPI
internal import LinuxSystem
internal import Memory

/// What a profile file says.
package struct Profile: Sendable, Equatable {
    package struct Memory: Sendable, Equatable {
        /// Most bytes of memory for everything; nil is "auto", what the cgroup and the machine
        /// leave.
        package var budgetBytes: UInt64?
    }

    package struct Flash: Sendable, Equatable {
        package enum Reader: String, Sendable, CaseIterable {
            /// io_uring where the kernel allows it, else pread.
            case auto
            case ioUring = "io_uring"
            case pread
        }

        /// nil is "auto": as the drive was measured.
        package var queueDepth: Int?
        /// nil is "auto": as the drive was measured.
        package var readBytesMax: UInt64?
        /// Bytes between two small reads that are read too rather than split the read; nil is what
        /// the drive's measurement says.
        package var gapBytesMax: UInt64?
        /// Reads of single neurons begin and end at multiples of the drive's blocks, but of no
        /// less than this; nil is the drive's blocks.
        package var readBytesMin: UInt64?
        /// Expert bundles under way beyond which none is read ahead of its demand.
        package var prefetchesMax = 0
        package var reader = Reader.auto
        /// A request whose reads bring nothing for so long fails.
        package var readSecondsMax = 4
        package var verify = VerificationPolicy.first
    }

    package struct Weights: Sendable, Equatable {
        /// Which neurons of a model whose neurons are bundled are read.
        package enum Sparse: String, Sendable, CaseIterable {
            /// What is expected to take least time, of what `qualityLossMax` allows.
            case auto
            case off, exact, predicted

            /// Nil is what is expected to take least time.
            package var mode: SparseMode? { SparseMode(rawValue: rawValue) }
        }

        package var sparse = Sparse.auto
        /// The share of neurons that count as silent; nil is none.
        package var activationSparsity: Float?
        /// By what share perplexity may be higher where nothing lossy is asked for by name.
        package var qualityLossMax: Float = 0
    }

    package struct KeyValues: Sendable, Equatable {
        /// 32 is exact, 16 rounds.
        package var bits = 32
    }

    package struct Compute: Sendable, Equatable {
        /// nil is "auto": one for each processor that the process may use.
        package var threads: Int?
    }

    package struct Generation: Sendable, Equatable {
        /// nil is "auto": what memory leaves, at most 4096.
        package var contextTokens: Int?
        package var prefillChunkTokens = 512
        package var speculation = SpeculationPolicy.automatic
        /// For requests that do not say.
        package var sampling = SamplingParameters()
    }

    package struct Service: Sendable, Equatable {
        /// nil is the place that the environment implies.
        package var socketPath: String?
        package var socketMode: UInt32 = 0o660
        /// Most requests waiting; further ones are told to try again.
        package var queueMax = 64
        /// nil is the place that the environment implies.
        package var modelsDirectory: String?
        /// For requests that name no model; nil is the only model of the library.
        package var defaultModel: String?
        package var drainSeconds = 30
        package var logLevel = LogLevel.info
    }

    package var memory = Memory()
    package var flash = Flash()
    package var weights = Weights()
    package var keyValues = KeyValues()
    package var compute = Compute()
    package var generation = Generation()
    package var service = Service()

    package init() {}

    /// Longest profile file.
    package static let fileBytesMax = 1 << 20

    /// Reads a profile file. Throws `ConfigurationError` also when the file cannot be read. A file
    /// that sets nothing is allowed, and rarely what its author meant: `onNotice` gets a line.
    package init(
        path: String, onNotice: (String) -> Void = { _ in }
    ) throws(ConfigurationError) {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try SystemCalls.readFile(path, bytesMax: Self.fileBytesMax)
        } catch {
            let problem = SystemError(error.call, errorNumber: error.errorNumber)
            throw ConfigurationError(file: path, "\(problem)")
        }
        let document = try ConfigurationDocument(bytes, file: path)
        if document.entries.isEmpty { onNotice("\(path): sets nothing; the defaults hold") }
        try self.init(document, file: path)
    }

    /// Reads a profile's text; `file` names it in complaints.
    package init(text: String, file: String) throws(ConfigurationError) {
        try self.init(try ConfigurationDocument(text, file: file), file: file)
    }

    private init(
        _ document: ConfigurationDocument, file: String
    ) throws(ConfigurationError) {
        var reader = ProfileReader(document, file: file)
        try readResources(&reader)
        try readGeneration(&reader)
        try readService(&reader)
        try reader.requireEmpty()
    }

    private mutating func readResources(_ reader: inout ProfileReader) throws(ConfigurationError) {
        try reader.size(
            "memory.budget", in: UInt64(MemoryBudget.bytesMin)...(1 << 50),
            orAuto: &memory.budgetBytes)
        try reader.integer("flash.queue_depth", in: 1...1024, orAuto: &flash.queueDepth)
        try reader.size(
            "flash.read_bytes_max", in: 4096...(64 << 20), multipleOf: 4096,
            orAuto: &flash.readBytesMax)
        try reader.size("flash.gap_bytes_max", in: 0...(1 << 20), orAuto: &flash.gapBytesMax)
        try reader.size(
            "flash.read_bytes_min", of: [512, 1024, 2048, 4096], orAuto: &flash.readBytesMin)
        try reader.choice("flash.reader", &flash.reader)
        try reader.integer("flash.read_seconds_max", in: 1...3600, &flash.readSecondsMax)
        try reader.integer("flash.prefetch_max", in: 0...64, &flash.prefetchesMax)
        try reader.choice("flash.verify", &flash.verify)
        try reader.choice("weights.sparse", &weights.sparse)
        try reader.share("weights.activation_sparsity", orOff: &weights.activationSparsity)
        try reader.number("weights.quality_loss_max", in: 0...1, &weights.qualityLossMax)
        try reader.integer("kv.bits", of: [16, 32], &keyValues.bits)
        try reader.integer("compute.threads", in: 1...1024, orAuto: &compute.threads)
    }

    private mutating func readGeneration(_ reader: inout ProfileReader) throws(ConfigurationError) {
        try reader.integer(
            "generation.context_tokens", in: 64...(1 << 22), orAuto: &generation.contextTokens)
        try reader.integer(
            "generation.prefill_chunk_tokens", in: 1...4096, &generation.prefillChunkTokens)
        try reader.speculation("generation.speculate", &generation.speculation)
        for field in SamplingParameters.numbers {
            try reader.number(
                "generation.\(field.parameter.rawValue)", in: field.range,
                &generation.sampling[keyPath: field.keyPath])
        }
        try reader.integer(
            "generation.top_k", in: SamplingParameters.topKRange, &generation.sampling.topK)
        try reader.integer(
            "generation.penalty_window", in: SamplingParameters.penaltyWindowRange,
            &generation.sampling.penaltyWindow)
    }

    private mutating func readService(_ reader: inout ProfileReader) throws(ConfigurationError) {
        try reader.text("service.socket", &service.socketPath)
        try reader.mode("service.socket_mode", &service.socketMode)
        try reader.integer("service.queue_max", in: 1...100_000, &service.queueMax)
        try reader.text("service.models_directory", &service.modelsDirectory)
        try reader.modelName("service.default_model", &service.defaultModel)
        try reader.integer("service.drain_seconds", in: 0...3600, &service.drainSeconds)
        try reader.choice("service.log_level", &service.logLevel)
    }
}
