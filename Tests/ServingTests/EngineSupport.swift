// What tests of the engine share: tiny models as a catalog, and answers as they arrive.

import GenerationAPI
import Glibc
import LinuxSystem
import Serving
import Synchronization

/// Committed models, packed into a folder for as long as this lives.
final class TinyCatalog: ModelCatalog {
    private let names: [String]
    private let folder: String

    init(_ names: [String]) throws {
        self.names = names.sorted()
        folder = "/tmp/sluice-engine-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try FileSystem.createDirectory(folder)
        for name in names {
            try Fixtures.pack(Fixtures.folder + "models/\(name).gguf", to: path(name))
        }
    }

    deinit {
        for name in names { _ = unsafe unlink(path(name)) }
        _ = unsafe rmdir(folder)
    }

    private func path(_ name: String) -> String { "\(folder)/\(name).sluice" }

    /// The only model's file; nil when there are several.
    var onlyPath: String? { names.count == 1 ? path(names[0]) : nil }

    func models() throws(GenerationError) -> [ModelSummary] {
        names.map {
            ModelSummary(name: $0, architecture: "", fileBytes: 0, modified: 0, isLoaded: false)
        }
    }

    func locate(_ name: String?) throws(GenerationError) -> (name: String, path: String) {
        guard let name, names.contains(name) else {
            throw GenerationError(.modelNotFound, "no such model")
        }
        return (name, path(name))
    }
}

/// Events as they come, from the engine's thread.
final class Answer: Sendable {
    private let state = Mutex<[GenerationEvent]>([])

    var events: [GenerationEvent] { state.withLock { $0 } }
    var text: String {
        events.reduce("") { if case .text(let text, _) = $1 { $0 + text } else { $0 } }
    }
    var reason: FinishReason? {
        if case .finished(let reason, _) = events.last { reason } else { nil }
    }
    var statistics: GenerationStatistics? {
        if case .finished(_, let statistics) = events.last { statistics } else { nil }
    }
    var failure: GenerationError.Reason? {
        if case .failed(let error) = events.last { error.reason } else { nil }
    }
    /// Last events so far. Asked while events come: looks at the list itself, as a copy of it would
    /// be freed where the thread sanitizer does not see it.
    var finalCount: Int {
        state.withLock { events in
            events.count {
                switch $0 {
                case .finished, .failed: true
                default: false
                }
            }
        }
    }

    func add(_ event: GenerationEvent) { state.withLock { $0.append(event) } }

    /// Itself, when the last event has come (or after a minute, without it).
    func wait() -> Answer {
        for _ in 0..<60_000 where finalCount == 0 { Thread.sleep(microseconds: 1000) }
        return self
    }

    func waitForStart() {
        for _ in 0..<60_000 where state.withLock(\.isEmpty) { Thread.sleep(microseconds: 1000) }
    }
}

extension Engine {
    /// Sends an order and waits for its end.
    func answer(_ order: GenerationOrder) -> Answer {
        let answer = Answer()
        _ = generate(order) { answer.add($0) }
        return answer.wait()
    }
}
