// The engine thread: it owns the loaded model and every session, takes orders from a mailbox, and
// runs step after step. Nothing else touches weights, KV pages or the ring.

package import LinuxSystem
internal import Synchronization

/// Finds models by name. The library implements it.
package protocol ModelCatalog: Sendable {
    /// All models, sorted by name; `isLoaded` is false.
    func models() throws(GenerationError) -> [ModelSummary]

    /// The file of a model; nil names the default one.
    func locate(_ name: String?) throws(GenerationError) -> (name: String, path: String)
}

/// How the engine runs.
package struct EngineOptions: Sendable {
    package var model = ModelOptions()
    /// Orders that may wait; more are refused.
    package var queueMax = 64
    /// Generations that may run at once.
    package var sessionsMax = 1

    package init() {}
}

/// Serves orders on a thread of its own.
package final class Engine: GenerationService {
    private let mailbox: Mailbox<EngineMessage>
    private let shared: EngineStatus
    private let catalog: any ModelCatalog
    private let thread: Thread

    /// Starts the engine thread. No model is loaded until the first order.
    ///
    /// - Throws: `SystemError` when no thread can be started.
    package init(catalog: any ModelCatalog, options: EngineOptions) throws(SystemError) {
        let mailbox = Mailbox<EngineMessage>(capacity: options.queueMax * 4 + 16)
        let shared = EngineStatus(queueMax: options.queueMax)
        thread = try Thread(stackBytes: 4 << 20) {
            EngineLoop(mailbox: mailbox, status: shared, catalog: catalog, options: options).run()
        }
        self.mailbox = mailbox
        self.shared = shared
        self.catalog = catalog
    }

    package var state: ServiceState { shared.state.withLock { $0 } }

    package func models() throws(GenerationError) -> [ModelSummary] {
        var models = try catalog.models()
        if case .ready(let loaded?) = state {
            for index in models.indices where models[index].name == loaded {
                models[index].isLoaded = true
            }
        }
        return models
    }

    package func generate(
        _ order: GenerationOrder, onEvent: @escaping @Sendable (GenerationEvent) -> Void
    ) -> any GenerationTicket {
        let id = shared.nextID.wrappingAdd(1, ordering: .relaxed).newValue
        let ticket = EngineTicket(id: id, mailbox: mailbox)
        if state == .draining {
            onEvent(.failed(GenerationError(.draining, "the service is going down")))
            return ticket
        }
        guard shared.reserveQueuePlace() else {
            onEvent(.failed(Self.queueFull))
            return ticket
        }
        let waiting = WaitingOrder(
            id: id, order: order, submittedNanoseconds: MonotonicClock.nanoseconds,
            onEvent: onEvent)
        if !mailbox.post(.generate(waiting)) {
            shared.releaseQueuePlace()
            onEvent(.failed(Self.queueFull))
        }
        return ticket
    }

    /// Refuses new orders from now on; what was taken goes on.
    package func drain() { shared.state.withLock { $0 = .draining } }

    /// Cancels what is left, frees the model and ends the thread. Returns when it has ended.
    package func stop() {
        drain()
        while !mailbox.post(.stop) { Thread.sleep(microseconds: 1000) }
        thread.join()
    }

    private static var queueFull: GenerationError {
        GenerationError(.overloaded, "the queue is full; try again later")
    }
}

/// What other threads say to the engine.
enum EngineMessage: Sendable {
    case generate(WaitingOrder)
    case cancel(id: Int)
    case stop
}

/// What the engine thread and its callers share.
final class EngineStatus: Sendable {
    let state = Mutex<ServiceState>(.ready(model: nil))
    let nextID = Atomic<Int>(0)
    private let queued = Atomic<Int>(0)
    private let queueMax: Int

    init(queueMax: Int) { self.queueMax = queueMax }

    /// Counts an order in, unless the queue is full.
    func reserveQueuePlace() -> Bool {
        if queued.add(1, ordering: .relaxed).newValue <= queueMax { return true }
        queued.subtract(1, ordering: .relaxed)
        return false
    }

    func releaseQueuePlace() { queued.subtract(1, ordering: .relaxed) }

    /// Says what the engine is doing, unless the service is going down.
    func report(_ new: ServiceState) {
        state.withLock { if $0 != .draining { $0 = new } }
    }
}

private struct EngineTicket: GenerationTicket {
    let id: Int
    let mailbox: Mailbox<EngineMessage>

    func cancel() {
        // A full mailbox empties within a step; a lost cancellation would generate for nobody.
        while !mailbox.post(.cancel(id: id)) { Thread.sleep(microseconds: 1000) }
    }
}
