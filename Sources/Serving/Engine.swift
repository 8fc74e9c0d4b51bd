// The engine thread: it owns the loaded model and every session, takes orders from a mailbox, and
// runs step after step. Nothing else touches weights, KV pages or the ring. Prompts become tokens
// at a desk of their own.

internal import FlashStorage
package import GenerationAPI
internal import Knobs
package import LinuxSystem
package import Memory
package import Models
internal import Synchronization

/// How the engine runs.
package struct EngineOptions: Sendable {
    package var model = ModelOptions()
    /// Orders that may wait; more are refused.
    package var queueMax = 64
    /// Tokens of prompts that a step computes beside answers; nil is as many as do not hold these
    /// up, as is measured.
    package var stepTokens: Int?
    /// How long a model stays that nobody uses, where orders do not say.
    package var keepAlive = KeepAlive.untilNeeded
    /// Told what happens to models, on the engine's thread.
    package var onEvent: @Sendable (EngineEvent) -> Void = { _ in }

    package init() {}
}

/// Serves orders on a thread of its own.
package final class Engine: GenerationService {
    private let mailbox: Mailbox<EngineMessage>
    private let shared: EngineStatus
    private let catalog: any ModelCatalog
    /// Where memory is accounted for; nil where each model has a budget of its own.
    package let ledger: MemoryLedger?
    /// Of what it was started with, what stays whatever comes.
    private let started: ModelOptions
    /// Nil once it was joined.
    private let thread: Mutex<Thread?>

    /// Starts the engine thread. No model is loaded until the first order.
    ///
    /// - Throws: `SystemError` when no thread can be started.
    package init(catalog: any ModelCatalog, options: EngineOptions) throws(SystemError) {
        // A reload may raise what the queue holds.
        let most = max(options.queueMax, Self.queueRoomMin)
        let mailbox = Mailbox<EngineMessage>(capacity: most * 4 + 16)
        let shared = EngineStatus(queueMax: options.queueMax)
        var options = options
        // Several models may be open: each takes what others leave.
        if options.model.ledger == nil { _ = options.model.openLedger() }
        options.model.flash.progress = shared.progress
        options.model.flash.isCancelled = { shared.isStopping.load(ordering: .acquiring) }
        // A full mailbox takes no word, and needs no waking.
        let desk = try PromptDesk(jobsMax: Self.jobsMax) { _ = mailbox.post(.wake) }
        do {
            let thread = try Thread(name: "sluice-engine", stackBytes: 4 << 20) { [options] in
                EngineLoop(
                    mailbox: mailbox, status: shared, catalog: catalog, desk: desk,
                    options: options
                ).run()
            }
            self.thread = Mutex(thread)
        } catch {
            desk.finish()
            throw error
        }
        self.mailbox = mailbox
        self.shared = shared
        ledger = options.model.ledger
        started = options.model
        self.catalog = catalog
    }

    /// Goes on with other options; the budget, and who is told, stay.
    ///
    /// - Parameter reopens: whether models that are open are to be opened anew, each for the next
    ///   order that it has when nobody uses it.
    package func update(_ options: EngineOptions, reopens: Bool) {
        var options = options
        options.model.ledger = started.ledger
        options.model.memoryBytesMax = started.memoryBytesMax
        options.model.connectionBytes = started.connectionBytes
        options.model.flash.progress = started.flash.progress
        options.model.flash.isCancelled = started.flash.isCancelled
        options.model.flash.interposer = started.flash.interposer
        shared.queueMax.store(options.queueMax, ordering: .relaxed)
        shared.changes.withLock { changes in
            changes = OptionsChange(
                options: options, reopens: reopens || changes?.reopens ?? false)
        }
        _ = mailbox.post(.wake)
    }

    package var state: ServiceState { shared.state.withLock { $0 } }

    package func models() throws(GenerationError) -> [ModelSummary] {
        var models = try catalog.models()
        let open = shared.open.withLock { $0 }
        for index in models.indices {
            guard let report = open[models[index].name] else { continue }
            models[index].isLoaded = true
            models[index].architecture = report.architecture
            models[index].loaded = report.loaded
        }
        return models
    }

    package func generate(
        _ order: GenerationOrder, onEvent: @escaping @Sendable (GenerationEvent) -> Void
    ) -> any GenerationTicket {
        let id = shared.nextID.wrappingAdd(1, ordering: .relaxed).newValue
        let ticket = EngineTicket(id: id, mailbox: mailbox, status: shared)
        if state == .draining {
            onEvent(.failed(Self.goingDown))
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
            // A closed mailbox refuses too: the engine stopped since the state was read.
            onEvent(.failed(state == .draining ? Self.goingDown : Self.queueFull))
        }
        return ticket
    }

    /// Refuses new orders from now on; what was taken goes on.
    package func drain() { shared.state.withLock { $0 = .draining } }

    /// Cancels what is left, frees the model and ends the thread. Returns when it has ended, or
    /// gets nowhere: a drive that does not answer can hold it in the kernel, and the process may
    /// end all the same. May be called again.
    package func stop() {
        drain()
        shared.isStopping.store(true, ordering: .releasing)
        _ = mailbox.post(.wake)
        thread.withLock { thread in
            guard let running = thread else { return }
            var count = shared.progress.count
            while !running.join(within: Self.stuckNanosecondsMin) {
                guard shared.progress.count != count else { return }
                count = shared.progress.count
            }
            thread = nil
        }
    }

    /// What the engine got done so far, and whether there is anything to do.
    package var progress: EngineProgress {
        EngineProgress(count: shared.progress.count, isBusy: shared.isBusy)
    }

    /// Prompts at the desk: no more than texts that are worked on at once, of any model.
    static let jobsMax = Profile.Service.sessionsRange.upperBound

    /// How busy it was when it last looked.
    package var load: EngineLoad { shared.load.withLock { $0 } }

    /// Orders that there is room for on their way to the queue, whatever it holds.
    private static let queueRoomMin = 1024

    /// A thread that counts nothing for so long while it is to end is stuck.
    private static let stuckNanosecondsMin: UInt64 = 1_500_000_000

    static let goingDown = GenerationError(.draining, "the service is going down")

    private static var queueFull: GenerationError {
        GenerationError(.overloaded, "the queue is full; try again later")
    }
}

/// What other threads say to the engine.
enum EngineMessage: Sendable {
    case generate(WaitingOrder)
    /// Look at what is shared: a full mailbox does not take this, and needs no waking.
    case wake
}

/// Options that the engine's thread has yet to take over.
struct OptionsChange: Sendable {
    let options: EngineOptions
    let reopens: Bool
}

/// What the engine thread and its callers share.
final class EngineStatus: Sendable {
    /// What is told of a model that is open.
    struct Open {
        var architecture: String
        /// How it runs.
        var loaded: LoadedModel
    }

    let state = Mutex<ServiceState>(.ready(models: []))
    /// Models that are open, by name.
    let open = Mutex<[String: Open]>([:])
    let load = Mutex(EngineLoad())
    let nextID = Atomic<Int>(0)
    let isStopping = Atomic<Bool>(false)
    let progress = ProgressCounter()
    /// Whether the engine's thread has taken up something and not yet laid it down.
    let isWorking = Atomic<Bool>(false)
    private let cancelled = Mutex<Set<Int>>([])
    /// Options that changed.
    let changes = Mutex<OptionsChange?>(nil)
    private let queued = Atomic<Int>(0)
    let queueMax: Atomic<Int>

    init(queueMax: Int) { self.queueMax = Atomic(queueMax) }

    /// Counts an order in, unless the queue is full.
    func reserveQueuePlace() -> Bool {
        let most = queueMax.load(ordering: .relaxed)
        if queued.add(1, ordering: .relaxed).newValue <= most { return true }
        queued.subtract(1, ordering: .relaxed)
        return false
    }

    func cancel(_ id: Int) { _ = cancelled.withLock { $0.insert(id) } }

    /// Whether an order was cancelled and is not handled yet.
    func isCancelled(_ id: Int) -> Bool { cancelled.withLock { $0.contains(id) } }

    /// The orders cancelled since the last call.
    func takeCancelled() -> Set<Int> {
        cancelled.withLock { ids in
            defer { ids.removeAll() }
            return ids
        }
    }

    /// Also while an order waits for the engine's thread to take it.
    var isBusy: Bool {
        isWorking.load(ordering: .acquiring) || queued.load(ordering: .acquiring) > 0
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
    let status: EngineStatus

    func cancel() {
        // Never waits for the engine: this may be the engine's own thread, or after its end.
        status.cancel(id)
        _ = mailbox.post(.wake)
    }
}
