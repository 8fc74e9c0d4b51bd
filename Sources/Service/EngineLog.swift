// What happens to models, as lines in the log: a line each for loading, loaded, unloaded and what
// goes wrong. And a nudge to the daemon's thread, which tells the service manager.

package import GenerationAPI
internal import Knobs
internal import LinuxSystem
internal import Synchronization

/// Writes an engine's events down. Any thread may report.
package final class EngineLog: Sendable {
    private let log: Log
    private let onChange: @Sendable () -> Void
    private let swaps = Mutex(SwapWatch())

    /// `onChange` is called after each event, when the service's state has changed.
    package init(log: Log, onChange: @escaping @Sendable () -> Void) {
        self.log = log
        self.onChange = onChange
    }

    package func notice(_ text: String) { log.log(.info, text) }

    package func receive(_ event: EngineEvent) {
        switch event {
        case .loading(let model): log.log(.info, "loading", ["model": model])
        case .loaded(let report):
            log.log(.info, "loaded", fields: Self.fields(report))
            let settings = report.settings.map { ($0.name, $0.value) }
            log.log(.info, "set", fields: [("model", report.model)] + settings)
        case .loadFailed(let model, let problem):
            log.log(.error, "not loaded", ["model": model, "problem": "\(problem)"])
        case .unloaded(let model, let orders, let forAnother):
            log.log(.info, "unloaded", ["model": model, "requests": "\(orders)"])
            if forAnother { noteSwap(model, orders) }
        case .readFailed(let model, let problem):
            log.log(.error, "weights cannot be read", ["model": model, "problem": problem])
        }
        onChange()
    }

    private func noteSwap(_ model: String, _ orders: Int) {
        let now = MonotonicClock.microseconds
        guard let models = swaps.withLock({ $0.note(model, orders: orders, microseconds: now) })
        else { return }
        log.log(
            .warning, "models replace each other on nearly every request, and each is loaded anew",
            ["models": models.joined(separator: ",")])
    }

    private static func fields(_ report: LoadReport) -> [(String, String)] {
        let milliseconds = (report.seconds * 1000).rounded() / 1000
        return [
            ("model", report.model), ("architecture", report.architecture),
            ("file_bytes", "\(report.fileBytes)"), ("seconds", "\(milliseconds)"),
            ("budget_bytes", "\(report.budgetBytes)"), ("limit_bytes", "\(report.limitBytes)"),
            ("context_tokens", "\(report.contextTokens)")
        ] + report.reading.map { ($0.name, $0.value) }
    }
}

/// Notices when clients want several models in turn, which costs a load for each of their requests.
package struct SwapWatch: Sendable {
    /// So many models in a row, each let go after so few requests.
    private static let swapsMin = 3
    private static let ordersMax = 2
    /// Between two times of saying so.
    private static let silenceMicroseconds: UInt64 = 600_000_000

    private var recent: [String] = []
    private var saidAt: UInt64?

    package init() {}

    /// Counts a model that was replaced after `orders` requests. Returns the models that replace
    /// each other when it is time to say so.
    package mutating func note(_ model: String, orders: Int, microseconds: UInt64) -> [String]? {
        guard orders <= Self.ordersMax else {
            recent = []
            return nil
        }
        recent = recent.suffix(Self.swapsMin - 1) + [model]
        guard recent.count == Self.swapsMin else { return nil }
        if let saidAt, microseconds - saidAt < Self.silenceMicroseconds { return nil }
        saidAt = microseconds
        return Set(recent).sorted()
    }
}
