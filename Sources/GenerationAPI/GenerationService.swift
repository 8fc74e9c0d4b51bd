// The face that the HTTP interface and the client see: orders in, events out. No tensor and no file
// is visible from here.

package import LinuxSystem
package import ModelFormat

/// A call of a tool that a message of an assistant made.
package struct ToolCall: Sendable, Equatable {
    package var id: String
    package var name: String
    /// The text of a JSON object, if the model wrote one.
    package var arguments: String

    package init(id: String, name: String, arguments: String) {
        self.id = id
        self.name = name
        self.arguments = arguments
    }
}

/// One message of a chat.
package struct ChatMessage: Sendable, Equatable {
    package var role: String
    package var content: String
    /// What an assistant thought before.
    package var reasoning: String?
    /// What an assistant called.
    package var toolCalls: [ToolCall] = []
    /// Of a tool's message: the call that it answers, and the function's name.
    package var toolCallID: String?
    package var name: String?

    package init(role: String, content: String) {
        self.role = role
        self.content = content
    }
}

/// What is told of a call of a tool, in order.
package enum ToolCallEvent: Sendable, Equatable {
    /// `index` counts an answer's calls from 0.
    case began(index: Int, id: String, name: String)
    /// More of the text of the arguments.
    case arguments(index: Int, String)
    case ended(index: Int)
}

/// Who asks. Orders of one client wait behind each other; clients take turns.
package struct ClientID: Hashable, Sendable {
    package let rawValue: UInt64
    /// The user that it runs for, where the kernel says so.
    package let user: UInt32?

    package init(rawValue: UInt64, user: UInt32? = nil) {
        self.rawValue = rawValue
        self.user = user
    }
}

/// What an engine got done: see ``ProgressWatch``.
package struct EngineProgress: Sendable, Equatable {
    /// Grows with everything that the engine gets done, waiting for a drive within its limit
    /// included.
    package var count: UInt64
    /// Whether there is anything to do.
    package var isBusy: Bool

    package init(count: UInt64, isBusy: Bool) {
        self.count = count
        self.isBusy = isBusy
    }
}

/// One text to generate.
package struct GenerationOrder: Sendable {
    package enum Prompt: Sendable, Equatable {
        case text(String)
        case chat([ChatMessage])
        case tokens([TokenID])

        /// The request's field that it came from.
        package var parameter: String {
            switch self {
            case .chat: "messages"
            case .text, .tokens: "prompt"
            }
        }
    }

    /// A library name or a path; nil is the service's default model.
    package var model: String?
    package var prompt: Prompt
    /// Further variables of the model's chat template: a JSON object, such as
    /// `{"enable_thinking":false}`.
    package var templateArguments: String?
    /// Which of the model's chat templates; nil is the one for such conversations.
    package var templateName: String?
    /// The tools that the answer may call: a JSON list as OpenAI writes it; nil is none.
    package var tools: String?
    /// Whether an answer may have more than one call.
    package var allowsParallelCalls = true
    /// Which of the tools the answer has to call.
    package var toolUse = ToolUse.free
    /// Those whose arguments are valid by their schemas wherever they are called.
    package var strictTools: Set<String> = []
    /// What the answer has to be; nil is anything.
    package var output: OutputFormat?
    package var wanted = Wanted.answer
    /// How long the model stays after this; nil is as the service has it.
    package var keepAlive: KeepAlive?
    package var sampling = SamplingParameters()
    /// Most tokens to generate; nil is what the context leaves.
    package var tokensMax: Int?
    /// Generation ends before the first of these appears in the text.
    package var stopStrings: [String] = []
    /// How keys and values are kept; nil is as the service keeps them.
    package var keyValueFormat: KVFormat?
    /// What happens when the context is full; nil is as the service does it.
    package var whenFull: FullContext?
    /// What of it is read again where it is partly on flash; nil is as the service does it.
    package var coldTokens: ColdTokens?
    /// Tokens that are kept of a longer prompt, besides its last ones; 0 keeps all, nil as many as
    /// the service does.
    package var snapTokens: Int?
    /// Tokens that are computed of a longer prompt; 0 computes all, nil as many as the service
    /// does.
    package var gemTokens: Int?
    /// What is added to logits before anything else, each token once.
    package var biases: [TokenBias] = []
    /// Whether the answer goes on where the model would end it.
    package var ignoresEnd = false
    /// Whether it is told how far the prompt is computed.
    package var reportsProgress = false
    /// Likeliest alternatives to report with each token; nil reports no log-probabilities.
    package var alternativesReported: Int?
    package var client: ClientID

    package init(prompt: Prompt, client: ClientID) {
        self.prompt = prompt
        self.client = client
    }

    /// What is left of the order when its prompt has become tokens, so that the text is held once.
    package var withoutPrompt: GenerationOrder {
        var order = self
        switch prompt {
        case .text: order.prompt = .text("")
        case .chat: order.prompt = .chat([])
        case .tokens: order.prompt = .tokens([])
        }
        order.tools = nil
        order.output?.kind = .object
        return order
    }
}

/// Where keys and values of a prompt's beginning were found.
package enum PrefixSource: String, Sendable, CaseIterable { case memory, flash }

package enum FinishReason: String, Sendable {
    case stop, length
    /// What was called is to be done, and told.
    case toolCalls = "tool_calls"
}

/// A token's natural-log probability under the model (before temperature and truncation).
package struct TokenProbability: Sendable, Equatable {
    package var token: TokenID
    package var bytes: [UInt8]
    package var logProbability: Float

    package init(token: TokenID, bytes: [UInt8], logProbability: Float) {
        self.token = token
        self.bytes = bytes
        self.logProbability = logProbability
    }
}

/// What one generation took. Seconds are wall-clock.
package struct GenerationStatistics: Sendable, Equatable {
    package var promptTokens = 0
    /// Of the prompt's tokens, those that were computed for an earlier one, and where they were.
    package var cachedTokens = 0
    package var cachedFrom: PrefixSource?
    package var generatedTokens = 0
    /// The stop string that ended the answer, if one did.
    package var stopString: String?
    package var queueSeconds = 0.0
    package var promptSeconds = 0.0
    package var generateSeconds = 0.0
    package var timeToFirstTokenSeconds = 0.0
    package var flashBytes: UInt64 = 0
    package var bundleHits = 0
    package var bundleMisses = 0
    package var keyValueBytes = 0
    /// How often it gave up its KV pages for others, and computed the rest of them anew.
    package var suspensionCount = 0
    /// Positions that prompt and answer have together; 0 where it is not known.
    package var contextTokens = 0
    /// Tokens guessed and verified, and those of them that were right: each saved a pass.
    package var draftedTokens = 0
    package var acceptedTokens = 0

    package init() {}

    /// Adds what another generation of the same request took.
    ///
    /// - Parameter includesPrompt: whether its prompt was another one.
    package mutating func add(_ more: GenerationStatistics, includesPrompt: Bool) {
        if includesPrompt {
            promptTokens += more.promptTokens
            cachedTokens += more.cachedTokens
        }
        generatedTokens += more.generatedTokens
        queueSeconds += more.queueSeconds
        promptSeconds += more.promptSeconds
        generateSeconds += more.generateSeconds
        flashBytes += more.flashBytes
        bundleHits += more.bundleHits
        bundleMisses += more.bundleMisses
        draftedTokens += more.draftedTokens
        acceptedTokens += more.acceptedTokens
        suspensionCount += more.suspensionCount
    }

    /// Hits over all acquisitions of bundles; 1 when nothing was streamed.
    package var bundleHitRate: Double {
        let total = bundleHits + bundleMisses
        return total == 0 ? 1 : Double(bundleHits) / Double(total)
    }
}

/// How much of a prompt is computed.
package struct PromptProgress: Sendable, Equatable {
    package var tokens: Int
    /// Those that were found, and those that are computed or were found.
    package var cachedTokens: Int
    package var doneTokens: Int
    package var seconds: Double

    package init(tokens: Int, cachedTokens: Int, doneTokens: Int, seconds: Double) {
        self.tokens = tokens
        self.cachedTokens = cachedTokens
        self.doneTokens = doneTokens
        self.seconds = seconds
    }
}

/// What a generation tells its caller, in order: `started`, `progress` where it is asked for, any
/// number of `text`, `reasoning` and `toolCall`, or, where tokens or a vector are
/// wanted, these, then one of `finished` and `failed`.
package enum GenerationEvent: Sendable {
    /// The prompt was admitted, and has `promptTokens`; `expected` is how fast the answer should
    /// come, where anything is known of that.
    case started(model: String, promptTokens: Int, expected: ExpectedSpeed? = nil)
    case progress(PromptProgress)
    /// Whole UTF-8 characters that cannot be part of a stop string any more. May be empty when only
    /// tokens are reported.
    case text(String, probabilities: [(chosen: TokenProbability, alternatives: [TokenProbability])])
    /// What the model thinks before it answers, as whole characters.
    case reasoning(String)
    case toolCall(ToolCallEvent)
    case tokens(TokenizedText)
    /// Of length 1.
    case embedding([Float])
    case finished(FinishReason, GenerationStatistics)
    case failed(GenerationError)
}

/// Why an order could not be served. HTTPInterface maps each reason to a status, the client to an
/// exit code.
package struct GenerationError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Reason: String, Sendable, CaseIterable {
        /// The order makes no sense: `parameter` names the field.
        case invalidRequest
        case modelNotFound
        /// The model's file is damaged or of an unknown kind.
        case modelInvalid
        /// The prompt does not fit the context.
        case contextExceeded
        /// The model has no chat template, or one that cannot be executed; completion works.
        case templateUnsupported
        /// The queue is full: try again.
        case overloaded
        /// The service is going down.
        case draining
        /// The memory budget does not hold the model.
        case budgetExceeded
        /// A read from flash failed or returned wrong bytes.
        case readFailed
        /// The way of reading that the profile asks for is refused to this process.
        case readerRefused
        case cancelled
        case internalError
    }

    package let reason: Reason
    package let message: String
    package let parameter: String?

    package init(_ reason: Reason, _ message: String, parameter: String? = nil) {
        self.reason = reason
        self.message = message
        self.parameter = parameter
    }

    package var description: String { message }
}

/// A model that the service can run.
package struct ModelSummary: Sendable, Equatable {
    package var name: String
    /// Known of loaded models: it is written in the file.
    package var architecture: String?
    package var fileBytes: UInt64
    /// Seconds since 1970.
    package var modified: Int64
    package var isLoaded: Bool
    /// How it runs, where it is loaded.
    package var loaded: LoadedModel?

    package init(
        name: String, architecture: String? = nil, fileBytes: UInt64, modified: Int64,
        isLoaded: Bool, loaded: LoadedModel? = nil
    ) {
        self.loaded = loaded
        self.name = name
        self.architecture = architecture
        self.fileBytes = fileBytes
        self.modified = modified
        self.isLoaded = isLoaded
    }
}

/// What `/health` answers from.
package enum ServiceState: Sendable, Equatable {
    /// Serving; these are loaded, or none is until the first order.
    case ready(models: [String])
    case loading(model: String)
    case draining
}

/// Ends a generation early. Idempotent, callable from any thread; the order's last event is then
/// `failed(.cancelled)`.
package protocol GenerationTicket: Sendable {
    func cancel()
}

/// The one door from the interface to the engine. Events arrive on the engine's thread and must not
/// block it.
package protocol GenerationService: Sendable {
    var state: ServiceState { get }

    /// How busy it is.
    var load: EngineLoad { get }

    /// The library's models, sorted by name.
    func models() throws(GenerationError) -> [ModelSummary]

    /// Queues an order. Whatever goes wrong, also at once, arrives as the event `failed`.
    func generate(
        _ order: GenerationOrder, onEvent: @escaping @Sendable (GenerationEvent) -> Void
    ) -> any GenerationTicket
}

extension GenerationService {
    /// Nothing is known where nothing is told.
    package var load: EngineLoad { EngineLoad() }
}

extension GenerationError: EndingError {
    package var exitStatus: ExitStatus {
        switch reason {
        case .invalidRequest: .usage
        case .modelNotFound: .noInput
        case .modelInvalid, .contextExceeded, .templateUnsupported: .badData
        case .overloaded, .draining: .tryAgain
        case .budgetExceeded: .badConfiguration
        case .readFailed: .inputOutput
        case .readerRefused: .notPermitted
        case .cancelled: .interrupted
        case .internalError: .softwareError
        }
    }
}

extension GenerationError.Reason {
    /// The wire's `code`, as OpenAI names it where it has a name.
    package var code: String {
        switch self {
        case .invalidRequest: "invalid_request"
        case .modelNotFound: "model_not_found"
        case .modelInvalid: "model_invalid"
        case .contextExceeded: "context_length_exceeded"
        case .templateUnsupported: "template_unsupported"
        case .overloaded: "overloaded"
        case .draining: "draining"
        case .budgetExceeded: "budget_exceeded"
        case .readFailed: "read_failed"
        case .readerRefused: "reader_refused"
        case .cancelled: "cancelled"
        case .internalError: "internal_error"
        }
    }

    /// The reason that `code` names; for clients.
    package init?(code: String) {
        guard let reason = Self.allCases.first(where: { $0.code == code }) else { return nil }
        self = reason
    }
}
