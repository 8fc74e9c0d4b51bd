// One prompt or a whole chat with any GenerationService: the daemon's client or an engine in this
// process. Answers are written as they arrive.

internal import Client
internal import Dispatch
internal import GenerationAPI
internal import Glibc
internal import Knobs
internal import LineEditing
internal import LinuxSystem
internal import ModelFormat
internal import Synchronization

/// What every order of a session shares.
struct SessionOptions {
    var model: String
    var system: String?
    var sampling = SamplingOverrides()
    var tokensMax: Int?
    var stopStrings: [String] = []
    /// Continue the prompt as it is, without the model's chat template.
    var isRaw = false
    /// Print a line of numbers after each answer.
    var showsStatistics = false
    /// Forget a chat's oldest turns when the next does not fit.
    var dropsOldest = false
    /// Keep what is typed in a chat on disk.
    var keepsHistory = true
    /// Show what the model thinks before it answers.
    var showsThoughts = true
    /// How keys and values are kept for these answers; nil is the model's way.
    var keyValueFormat: KVFormat?
    var coldTokens: ColdTokens?
}

/// A prompt and what was answered.
private struct ChatTurn {
    var question: ChatMessage
    var answer: ChatMessage
}

/// A conversation. Blocks while an answer is generated; Ctrl-C ends the answer.
struct ChatSession {
    private let service: any GenerationService
    private let options: SessionOptions
    private let interrupts: Interrupts
    private var turns: [ChatTurn] = []

    init(service: any GenerationService, options: SessionOptions, interrupts: Interrupts) {
        self.service = service
        self.options = options
        self.interrupts = interrupts
    }

    /// Answers one prompt. Throws the generation's error, `cancelled` after Ctrl-C.
    mutating func answer(_ prompt: String) throws(GenerationError) {
        let (text, finish, statistics) = try generate(prompt)
        if !text.hasSuffix("\n") { Terminal.write("\n") }
        if options.showsStatistics {
            Terminal.write("\(StatisticsLine.text(statistics))\n", to: STDERR_FILENO)
        }
        if let note = ContextNote(statistics, finish).text { Terminal.complain(note) }
    }

    /// Reads lines from the terminal until `/bye` or the end of input.
    ///
    /// - Throws: `SystemError` where standard input is no terminal.
    mutating func chat() throws(SystemError) {
        let reader = try LineReader(keepsHistory: options.keepsHistory)
        interrupts.set { exit(ExitStatus.interrupted.rawValue) }
        reader.say("Ctrl-C ends an answer, /bye or Ctrl-D the chat; /help says what else.")
        while let line = reader.next() {
            switch ChatLine(line) {
            case .nothing: break
            case .prompt(let text): converse(text, reader)
            case .help: reader.say(Self.help)
            case .clear:
                turns = []
                reader.say("The conversation is forgotten.")
            case .drop(let count): reader.say(drop(count))
            case .bye: return
            case .unknown(let command):
                reader.say(
                    "There is no command '\(command)': /help lists them. (// begins a prompt "
                        + "with a slash.)")
            }
        }
    }

    private static let help = """
        /clear        forget the conversation
        /drop [n]     forget its oldest turn, or n of them
        /help         this
        /bye          end the chat, as Ctrl-D does

        \"""           begins a prompt of several lines; \""" ends it. Alt-Enter begins another
                      line, too, and pasted text stays together.
        //            begins a prompt with a slash.
        Ctrl-C        ends an answer; what was said of it stays in the conversation.
        Up, Down      go through what was typed before. A line that begins with a space is not kept.
        """

    /// One turn of the chat. Whatever goes wrong is said, and the chat goes on without the turn.
    private mutating func converse(_ prompt: String, _ reader: LineReader) {
        while true {
            do throws(GenerationError) {
                return try answer(prompt)
            } catch {
                guard error.reason != .cancelled else { return Terminal.write("\n") }
                guard error.reason == .contextExceeded else { return Terminal.complain("\(error)") }
                guard options.dropsOldest, !turns.isEmpty else {
                    let way =
                        turns.isEmpty
                        ? "a shorter one may" : "/drop makes room, /clear makes more of it"
                    return Terminal.complain("\(error): this prompt does not fit; \(way)")
                }
                reader.say(drop(1))
            }
        }
    }

    /// Forgets the oldest turns. Returns what to say of it.
    private mutating func drop(_ count: Int) -> String {
        let dropped = min(count, turns.count)
        turns.removeFirst(dropped)
        guard dropped > 0 else { return "There is no turn to forget." }
        return "Forgotten: \(dropped == 1 ? "the oldest turn" : "the \(dropped) oldest turns"). "
            + "\(turns.count == 1 ? "1 is" : "\(turns.count) are") left."
    }

    private func order(_ prompt: String) -> GenerationOrder {
        let client = ClientID(rawValue: UInt64(getpid()), user: getuid())
        let system = options.system.map { [ChatMessage(role: "system", content: $0)] } ?? []
        let messages =
            system + turns.flatMap { [$0.question, $0.answer] }
            + [ChatMessage(role: "user", content: prompt)]
        var order =
            options.isRaw
            ? GenerationOrder(prompt: .text(prompt), client: client)
            : GenerationOrder(prompt: .chat(messages), client: client)
        order.model = options.model
        order.sampling = options.sampling.applied(to: order.sampling)
        order.tokensMax = options.tokensMax
        order.stopStrings = options.stopStrings
        order.keyValueFormat = options.keyValueFormat
        order.coldTokens = options.coldTokens
        return order
    }

    /// Generates, writing as it goes. The turn is kept when it succeeded, and when Ctrl-C ended an
    /// answer that had begun: the conversation is what the screen shows.
    private mutating func generate(
        _ prompt: String
    ) throws(GenerationError) -> (
        text: String, finish: FinishReason, statistics: GenerationStatistics
    ) {
        let events = EventQueue()
        let ticket = service.generate(order(prompt)) { events.add($0) }
        interrupts.set { ticket.cancel() }
        defer { interrupts.set { exit(ExitStatus.interrupted.rawValue) } }
        var text = ""
        var thoughts = ThoughtsWriter(isShown: options.showsThoughts)
        while true {
            switch events.take() {
            case .started, .progress, .toolCall, .tokens, .embedding: break
            case .reasoning(let piece): thoughts.write(piece)
            case .text(let piece, _):
                thoughts.end()
                text += piece
                Terminal.write(piece)
            case .finished(let reason, let statistics):
                thoughts.end()
                keep(prompt, text)
                return (text, reason, statistics)
            case .failed(let error):
                thoughts.end()
                if error.reason == .cancelled, !text.isEmpty { keep(prompt, text) }
                if !text.isEmpty, !text.hasSuffix("\n") { Terminal.write("\n") }
                throw error
            }
        }
    }

    private mutating func keep(_ prompt: String, _ answer: String) {
        turns.append(
            ChatTurn(
                question: ChatMessage(role: "user", content: prompt),
                answer: ChatMessage(role: "assistant", content: answer)))
    }
}

/// Writes what a model thinks before it answers, on standard error: the answer alone is on standard
/// output. Lines in brackets say where thoughts begin and end.
private struct ThoughtsWriter {
    let isShown: Bool
    private var isOpen = false
    private var endsLine = true

    init(isShown: Bool) { self.isShown = isShown }

    mutating func write(_ text: String) {
        guard isShown, !text.isEmpty else { return }
        if !isOpen { Terminal.write("[thinking]\n", to: STDERR_FILENO) }
        isOpen = true
        endsLine = text.hasSuffix("\n")
        Terminal.write(text, to: STDERR_FILENO)
    }

    mutating func end() {
        guard isOpen else { return }
        isOpen = false
        Terminal.write(endsLine ? "[answer]\n" : "\n[answer]\n", to: STDERR_FILENO)
    }
}

/// What there is to say of a context that is full, or nearly.
struct ContextNote {
    /// Nil while there is room.
    let text: String?

    init(_ statistics: GenerationStatistics, _ finish: FinishReason) {
        let used = statistics.promptTokens + statistics.generatedTokens
        let all = statistics.contextTokens
        if all > 0, used >= all, finish == .length {
            text = "the answer ends here because the context of \(all) tokens is full"
        } else if all > 0, used >= all - all / 4 {
            text =
                "\(used) of the context's \(all) tokens are used; in a chat /drop forgets the "
                + "oldest turn, /clear all of them"
        } else {
            text = nil
        }
    }
}

/// A generation's numbers on one line.
enum StatisticsLine {
    static func text(_ statistics: GenerationStatistics) -> String {
        let prompt = rate(statistics.promptTokens, statistics.promptSeconds)
        let answer = rate(statistics.generatedTokens, statistics.generateSeconds)
        let first = (statistics.timeToFirstTokenSeconds * 100).rounded() / 100
        let hits = Int((statistics.bundleHitRate * 100).rounded())
        let guessed =
            statistics.draftedTokens == 0
            ? "" : "\(statistics.acceptedTokens) of \(statistics.draftedTokens) guesses right, "
        return "prompt \(prompt), answer \(answer), first token after \(first) s, \(guessed)"
            + "\(ByteSize.format(statistics.flashBytes)) from flash, \(hits)% cache hits, "
            + "KV cache \(ByteSize.format(UInt64(max(0, statistics.keyValueBytes))))"
    }

    private static func rate(_ tokens: Int, _ seconds: Double) -> String {
        guard seconds > 0 else { return "\(tokens) tokens" }
        return "\(tokens) tokens at \((Double(tokens) / seconds * 10).rounded() / 10)/s"
    }
}

/// Events from the engine's or the event loop's thread, taken one by one by the command's.
final class EventQueue: Sendable {
    private let events = Mutex<[GenerationEvent]>([])
    private let available = DispatchSemaphore(value: 0)

    func add(_ event: GenerationEvent) {
        events.withLock { $0.append(event) }
        available.signal()
    }

    /// Waits for the next event.
    func take() -> GenerationEvent {
        available.wait()
        return events.withLock { $0.removeFirst() }
    }
}
