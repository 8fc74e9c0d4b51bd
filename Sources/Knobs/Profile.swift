// The knobs of one device, validated. Every field is used and has its row in KnobTable, which says
// what it may be; the defaults are here.

package import GenerationAPI
internal import LinuxSystem
package import ModelFormat

/// What a profile file says.
package struct Profile: Sendable, Equatable {
    package struct Memory: Sendable, Equatable {
        /// Most bytes of memory for everything; nil is "auto", what the cgroup and the machine
        /// leave.
        package var budgetBytes: UInt64?
    }

    package struct Flash: Sendable, Equatable {
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
        package var reader = ReaderChoice.automatic
        /// A request whose reads bring nothing for so long fails.
        package var readSecondsMax = 4
        package var verify = VerificationPolicy.first
        /// A file of the keys of encrypted models; nil is the usual places.
        package var modelKeys: String?
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
        /// 32 bits are exact; fewer round.
        package var format = KVFormat(.half)
        package var whenFull = FullContext.stop
        /// Tokens that are kept of a longer prompt, besides its last ones; nil keeps all.
        package var snapTokens: Int?
        /// Tokens that are computed of a longer prompt; nil computes all.
        package var gemTokens: Int?
        /// How far up the layers is the one that says which.
        package var gemDepth: Float = 0.40625
        package var prefixes = PrefixKeeping.flash
        package var prefixSharing = PrefixSharing.user
        /// Most bytes of each model's file of prefixes.
        package var flashBytesMax: UInt64 = 1 << 30
        /// Nil keeps all that a sequence has in memory.
        package var memoryBytesMax: UInt64?
        /// Of what is on flash, what each token reads; nil is all of it.
        package var coldTokensMax: Int?
        /// Most bytes of sequences' oldest keys and values on flash.
        package var coldBytesMax: UInt64 = 16 << 30
    }

    package struct Compute: Sendable, Equatable {
        /// nil is "auto": one for each processor that the process may use.
        package var threads: Int?
    }

    package struct Generation: Sendable, Equatable {
        /// nil is "auto": what memory leaves.
        package var contextTokens: Int?
        package var prefillChunkTokens = 512
        /// Tokens of prompts in a step with answers; nil is as is measured.
        package var stepTokens: Int?
        package var speculation = SpeculationPolicy.automatic
        /// How texts become vectors; nil is as the model's file says.
        package var pooling: Pooling?
        /// For requests that do not say.
        package var sampling = SamplingParameters()
    }

    package struct Service: Sendable, Equatable {
        /// nil is the place that the environment implies.
        package var socketPath: String?
        package var socketMode: UInt32 = 0o660
        /// Texts that may be worked on at once.
        package static let sessionsRange = 1...256

        /// Most requests waiting; further ones are told to try again.
        package var queueMax = 64
        /// Texts that are worked on at once, at most; nil is as many as cost little.
        package var sessionsMax: Int?
        /// Seconds that a model stays that nobody uses; nil is until its memory is needed.
        package var keepAliveSeconds: Int?
        /// nil is the place that the environment implies.
        package var modelsDirectory: String?
        /// For requests that name no model; nil is the only model of the library.
        package var defaultModel: String?
        package var drainSeconds = 30
        package var logLevel = LogLevel.info
    }

    /// Lists are words with one space between.
    package struct Access: Sendable, Equatable {
        /// Empty, with `groups`, is whoever may open the socket.
        package var users = ""
        package var groups = ""
        /// Nil is as many as the service has room for.
        package var requestsPerUserMax: Int?
        package var queuePerUserMax: Int?
        /// Nil is systemd's credential, if there is one.
        package var tokensFile: String?
        package var tokensRequired = false
        package var bridgeUsers = "sluice-bridge"
        package var hosts = "localhost 127.0.0.1 [::1]"
        package var origins = ""
    }

    package var memory = Memory()
    package var flash = Flash()
    package var weights = Weights()
    package var keyValues = KeyValues()
    package var compute = Compute()
    package var generation = Generation()
    package var service = Service()
    package var access = Access()

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

    private init(_ document: ConfigurationDocument, file: String) throws(ConfigurationError) {
        var reader = ProfileReader(document, file: file)
        self = try reader.profile()
    }
}
