// A model that is open, and everybody whom it serves: who computes, who waits for room in its KV
// cache, who gave up the room for others.

internal import GenerationAPI
internal import Inference
internal import LinuxSystem
internal import ModelFormat
internal import Models

/// An order whose prompt is tokens, and that waits for room.
struct ReadyOrder {
    let waiting: WaitingOrder
    let prompt: PreparedPrompt
}

/// Lives on the engine's thread.
final class OpenModel {
    let name: String
    let model: ModelInstance
    var scheduler: Scheduler
    /// Prompts on their way to tokens.
    var preparingCount = 0
    /// In the order in which they begin.
    var ready: [ReadyOrder] = []
    /// Those that gave up their pages, the first that began first. They go on before others begin.
    var suspended: [Session] = []
    /// Set when a read failed or brought damaged bytes: what is in memory may be half of two files,
    /// and nothing begins with it any more.
    var problem: GenerationError?
    /// The most sequences that shared a step.
    var sharedMost = 0
    /// How long it stays when nobody uses it.
    var keepAlive = KeepAlive.untilNeeded
    /// When it was used last.
    var idleSince = MonotonicClock.nanoseconds
    /// Whether it has less memory than it would have alone, for others that were open with it.
    var isDivided = false
    /// Which of the engine's options it was opened with.
    var optionsNumber = 0
    /// Orders that it took.
    var ordersServed = 0

    /// - Parameter stepTokens: of prompts beside answers, as the profile says; nil is as measured.
    init(_ model: ModelInstance, name: String, stepTokens: Int?) {
        self.name = name
        self.model = model
        scheduler = Scheduler(
            tokensPerStep: model.prefillChunkTokens,
            logitsRowsMax: model.transformer.shape.logitsRowsMax,
            speculation: model.speculation, allowance: PromptAllowance(fixedTokens: stepTokens))
    }

    /// How fast an answer should come whose prompt was admitted.
    func expectedSpeed(of statistics: GenerationStatistics) -> ExpectedSpeed? {
        model.expectedSpeed(
            promptTokens: statistics.promptTokens, cachedTokens: statistics.cachedTokens)
    }

    /// Texts that are worked on, or will be before any other.
    var textCount: Int {
        scheduler.running.count + suspended.count + ready.count + preparingCount
    }

    var hasPlace: Bool { textCount < model.division.sequencesMax }

    /// When it is to go, by the monotonic clock; nil where it stays, or somebody uses it.
    var leavesAt: UInt64? {
        guard isIdle, case .seconds(let seconds) = keepAlive else { return nil }
        return idleSince &+ UInt64(min(max(0, seconds), 1e9) * 1e9)
    }

    /// Whether it may be let go of.
    var isIdle: Bool { textCount == 0 }

    /// Whether there is something to do without waiting for anybody.
    var hasWork: Bool { !scheduler.running.isEmpty || !suspended.isEmpty || !ready.isEmpty }

    /// Whether the file that has its name is still the one that it was opened from.
    func isCurrent(at path: String) -> Bool {
        model.path == path && model.isCurrent && problem == nil
    }

    /// Ends one of them with an error, if it is here.
    func fail(id: Int, _ error: GenerationError) {
        if let index = ready.firstIndex(where: { $0.waiting.id == id }) {
            ready.remove(at: index).waiting.onEvent(.failed(error))
        }
        for session in scheduler.running + suspended where session.id == id { session.fail(error) }
    }

    /// Ends all of them with an error.
    func fail(_ error: GenerationError) {
        for session in scheduler.running + suspended { session.fail(error) }
        for order in ready { order.waiting.onEvent(.failed(error)) }
        ready.removeAll()
    }
}
