// One prompt or a whole chat with any GenerationService: the daemon's client or an engine in this
// process. Answers are written as they arrive.

internal import DaemonCore
internal import Dispatch
internal import Glibc
internal import Scheduling
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
}

/// A conversation. Blocks while an answer is generated; Ctrl-C ends the answer.
struct ChatSession {
    private let service: any GenerationService
    private let options: SessionOptions
    private let interrupts: Interrupts
    private var messages: [ChatMessage] = []

    init(service: any GenerationService, options: SessionOptions, interrupts: Interrupts) {
        self.service = service
        self.options = options
        self.interrupts = interrupts
        if let system = options.system {
            messages.append(ChatMessage(role: "system", content: system))
        }
    }

    /// Answers one prompt. Throws the generation's error, `cancelled` after Ctrl-C.
    mutating func answer(_ prompt: String) throws(GenerationError) {
        let (text, statistics) = try generate(prompt)
        if !text.hasSuffix("\n") { Terminal.write("\n") }
        guard options.showsStatistics else { return }
        Terminal.write("\(StatisticsLine.text(statistics))\n", to: STDERR_FILENO)
    }

    /// Reads prompts from the terminal until `/bye` or the end of input.
    mutating func chat() {
        Terminal.write("Ctrl-C ends an answer, /bye or Ctrl-D the chat.\n", to: STDERR_FILENO)
        while true {
            interrupts.set {
                Terminal.write("\n/bye or Ctrl-D ends the chat.\n>>> ", to: STDERR_FILENO)
            }
            Terminal.write(">>> ", to: STDERR_FILENO)
            guard let line = readLine() else {
                Terminal.write("\n", to: STDERR_FILENO)
                return
            }
            if line == "/bye" { return }
            if line.allSatisfy(\.isWhitespace) { continue }
            do throws(GenerationError) {
                try answer(line)
            } catch {
                Terminal.write("\n")
                if error.reason != .cancelled { Terminal.complain("\(error)") }
            }
        }
    }

    private func order(_ prompt: String) -> GenerationOrder {
        let client = ClientID(rawValue: UInt64(getpid()))
        var order =
            options.isRaw
            ? GenerationOrder(prompt: .text(prompt), client: client)
            : GenerationOrder(prompt: .chat(messages), client: client)
        order.model = options.model
        order.sampling = options.sampling.applied(to: order.sampling)
        order.tokensMax = options.tokensMax
        order.stopStrings = options.stopStrings
        return order
    }

    /// Generates, writing as it goes, and keeps the turn in the conversation if it succeeded.
    private mutating func generate(
        _ prompt: String
    ) throws(GenerationError) -> (text: String, statistics: GenerationStatistics) {
        messages.append(ChatMessage(role: "user", content: prompt))
        let events = EventQueue()
        let ticket = service.generate(order(prompt)) { events.add($0) }
        interrupts.set { ticket.cancel() }
        var text = ""
        while true {
            switch events.take() {
            case .started: break
            case .text(let piece, _):
                text += piece
                Terminal.write(piece)
            case .finished(_, let statistics):
                messages.append(ChatMessage(role: "assistant", content: text))
                return (text, statistics)
            case .failed(let error):
                messages.removeLast()
                if !text.isEmpty, !text.hasSuffix("\n") { Terminal.write("\n") }
                throw error
            }
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
