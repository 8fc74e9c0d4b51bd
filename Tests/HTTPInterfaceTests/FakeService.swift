// A service that needs no model: the last message, or the prompt, tells it what to do.

import Dispatch
import GenerationAPI
import Glibc
import ModelFormat
import Synchronization

/// Prompts: `endless` talks until cancelled, `queued` never starts, `prefill` starts and says
/// nothing, `refuse:REASON` fails before it starts, `break:REASON` fails after a word, `big:N`
/// sends N bytes at once and finishes, `call` thinks and calls twice, `probabilities` reports some,
/// `stopped` ends at a stop string; anything else is echoed in two pieces.
final class FakeService: GenerationService {
    private struct Shared {
        var orders: [GenerationOrder] = []
        var cancelled = 0
        var state = ServiceState.ready(models: [])
    }

    private let shared = Mutex(Shared())
    private let queue = DispatchQueue(label: "fake engine")
    private let endless = DispatchQueue(label: "fake endless engine", attributes: .concurrent)

    var orders: [GenerationOrder] { shared.withLock { $0.orders } }
    var cancelledCount: Int { shared.withLock { $0.cancelled } }

    var state: ServiceState {
        get { shared.withLock { $0.state } }
        set { shared.withLock { $0.state = newValue } }
    }

    func models() throws(GenerationError) -> [ModelSummary] {
        [
            ModelSummary(
                name: "echo", architecture: "fake", fileBytes: 7, modified: 1_700_000_000,
                isLoaded: true),
            ModelSummary(
                name: "other/one", architecture: "fake", fileBytes: 8, modified: 1_700_000_001,
                isLoaded: false)
        ]
    }

    final class Ticket: GenerationTicket {
        private let service: FakeService
        private let onEvent: @Sendable (GenerationEvent) -> Void
        private let flag = Mutex(false)

        init(_ service: FakeService, _ onEvent: @escaping @Sendable (GenerationEvent) -> Void) {
            self.service = service
            self.onEvent = onEvent
        }

        var isCancelled: Bool { flag.withLock { $0 } }

        func cancel() {
            let first = flag.withLock { value in
                defer { value = true }
                return !value
            }
            guard first else { return }
            service.shared.withLock { $0.cancelled += 1 }
            let onEvent = self.onEvent
            service.queue.async { onEvent(.failed(GenerationError(.cancelled, "cancelled"))) }
        }
    }

    static var statistics: GenerationStatistics {
        var statistics = GenerationStatistics()
        statistics.promptTokens = 3
        statistics.generatedTokens = 2
        statistics.promptSeconds = 0.5
        statistics.generateSeconds = 0.25
        statistics.flashBytes = 4096
        statistics.bundleHits = 3
        statistics.bundleMisses = 1
        statistics.keyValueBytes = 512
        statistics.draftedTokens = 4
        statistics.acceptedTokens = 1
        return statistics
    }

    private static func text(_ prompt: GenerationOrder.Prompt) -> String {
        switch prompt {
        case .text(let text): text
        case .chat(let messages): messages.last?.content ?? ""
        case .tokens(let tokens): tokens.map { "\($0.rawValue)" }.joined(separator: " ")
        }
    }

    func generate(
        _ order: GenerationOrder, onEvent: @escaping @Sendable (GenerationEvent) -> Void
    ) -> any GenerationTicket {
        shared.withLock { $0.orders.append(order) }
        let ticket = Ticket(self, onEvent)
        let text = Self.text(order.prompt)
        let model = order.model ?? "echo"
        if text == "endless" {
            talk(ticket, onEvent)
        } else {
            let wanted = order.wanted
            let reports = order.reportsProgress
            queue.async {
                Self.run(text, wanted, model: model) { event in
                    onEvent(event)
                    guard reports, case .started = event else { return }
                    let progress = PromptProgress(
                        tokens: 3, cachedTokens: 1, doneTokens: 2, seconds: 0.5)
                    onEvent(.progress(progress))
                }
            }
        }
        return ticket
    }

    private func talk(_ ticket: Ticket, _ onEvent: @escaping @Sendable (GenerationEvent) -> Void) {
        endless.async {
            onEvent(.started(model: "echo", promptTokens: 3))
            let word = String(repeating: "on and on ", count: 1000)
            while !ticket.isCancelled {
                onEvent(.text(word, probabilities: []))
                usleep(1000)
            }
        }
    }

    private static func run(
        _ text: String, _ wanted: GenerationOrder.Wanted, model: String,
        _ onEvent: @Sendable (GenerationEvent) -> Void
    ) {
        let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
        let reason = parts.count == 2 ? GenerationError.Reason(rawValue: parts[1]) : nil
        if parts.first == "refuse", let reason {
            return onEvent(.failed(GenerationError(reason, "no: \(reason)", parameter: "model")))
        }
        if text == "queued" { return }
        let expected = ExpectedSpeed(
            firstTokenSeconds: text.hasPrefix("half") ? nil : 1.5, tokensPerSecond: 7.25)
        onEvent(
            .started(
                model: model, promptTokens: 3,
                expected: text.hasSuffix("expected") ? expected : nil))
        if text == "prefill" { return }
        if case .tokens(let rules) = wanted {
            onEvent(.tokens(tokens(text, rules)))
            return onEvent(.finished(.stop, GenerationStatistics()))
        }
        if case .embedding = wanted {
            onEvent(.embedding([0.6, -0.8, 1e-9]))
            return onEvent(.finished(.stop, statistics))
        }
        if parts.first == "break", let reason {
            onEvent(.text("half", probabilities: []))
            return onEvent(.failed(GenerationError(reason, "broken: \(reason)")))
        }
        if parts.first == "big", let count = Int(parts.last ?? "") {
            onEvent(.text(String(repeating: "x", count: count), probabilities: []))
            return onEvent(.finished(.length, statistics))
        }
        if text == "call" {
            call(onEvent)
            return onEvent(.finished(.toolCalls, statistics))
        }
        let probabilities = text == "probabilities" ? [sampleProbability] : []
        onEvent(.text(String(text.prefix(3)), probabilities: probabilities))
        onEvent(.text(String(text.dropFirst(3)), probabilities: []))
        var statistics = statistics
        if text == "stopped" { statistics.stopString = "END" }
        onEvent(.finished(.stop, statistics))
    }

    /// A token for each byte.
    private static func tokens(_ text: String, _ rules: TokenizingRules) -> TokenizedText {
        let tokens = text.utf8.map { TokenID(Int($0)) }
        guard rules.includesPieces else { return TokenizedText(tokens) }
        return TokenizedText(tokens) { $1.append(UInt8($0.rawValue)) }
    }

    private static func call(_ onEvent: @Sendable (GenerationEvent) -> Void) {
        onEvent(.reasoning("H"))
        onEvent(.reasoning("m."))
        for index in 0..<2 {
            onEvent(.toolCall(.began(index: index, id: "call_\(index)", name: "get")))
            onEvent(.toolCall(.arguments(index: index, "{\"a\":")))
            onEvent(.toolCall(.arguments(index: index, "\(index)}")))
            onEvent(.toolCall(.ended(index: index)))
        }
    }

    private static let sampleProbability = (
        chosen: TokenProbability(token: TokenID(1), bytes: [0x70], logProbability: -0.5),
        alternatives: [
            TokenProbability(token: TokenID(1), bytes: [0x70], logProbability: -0.5),
            TokenProbability(token: TokenID(2), bytes: [0xE2, 0x80], logProbability: -.infinity)
        ]
    )
}
