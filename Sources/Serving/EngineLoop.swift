// The engine thread's life: take messages, admit orders, run a step of each model, hand out its
// results.

internal import GenerationAPI
internal import LinuxSystem
internal import Models
internal import SequenceState
internal import Synchronization

/// Lives on the engine thread.
final class EngineLoop {
    private let mailbox: Mailbox<EngineMessage>
    let status: EngineStatus
    let catalog: any ModelCatalog
    private(set) var options: EngineOptions
    /// How often models were to be opened anew.
    private(set) var optionsNumber = 0
    let desk: PromptDesk
    var queue = FairQueue()
    /// Orders whose prompts are at the desk, by their ids.
    var preparing: [Int: Preparation] = [:]
    var models: [OpenModel] = []
    /// Whether the next order has to wait for others to end.
    var isHeldUp = false
    var isStopped: Bool { status.isStopping.load(ordering: .acquiring) }

    /// An order that was admitted, and has its place, until its prompt is tokens.
    struct Preparation {
        let waiting: WaitingOrder
        let open: OpenModel
        let job: PromptJob
    }

    init(
        mailbox: Mailbox<EngineMessage>, status: EngineStatus, catalog: any ModelCatalog,
        desk: PromptDesk, options: EngineOptions
    ) {
        self.mailbox = mailbox
        self.status = status
        self.catalog = catalog
        self.desk = desk
        self.options = options
    }

    func run() {
        while !isStopped {
            // Without either, there is nothing to do until somebody says something.
            let hasWork = models.contains(where: \.hasWork) || mayAdmit
            let isIdle = !hasWork && preparing.isEmpty
            if isIdle { saveWhatWasLearnt(isLast: false) }
            reportLoad()
            status.progress.note()
            status.isWorking.store(!isIdle, ordering: .releasing)
            takeMessages(waiting: !hasWork, within: isIdle ? nanosecondsToNextLeave : nil)
            status.isWorking.store(true, ordering: .releasing)
            letGoOfUnused()
            startPrepared()
            admit()
            for open in models {
                makePlaces(in: open)
                if !open.scheduler.running.isEmpty { step(open) }
                retireFinished(of: open)
            }
        }
        end()
    }

    /// Every order gets its last event, and what was learnt is saved.
    private func end() {
        mailbox.close().forEach(handle)
        for preparation in preparing.values where !preparation.job.isCancelled {
            preparation.job.cancel()
            preparation.waiting.onEvent(.failed(Engine.goingDown))
        }
        desk.finish()
        for open in models {
            open.fail(Engine.goingDown)
            retireFinished(of: open)
        }
        while let order = takeWaiting() { order.onEvent(.failed(Engine.goingDown)) }
        saveWhatWasLearnt(isLast: true)
    }

    /// Somebody is done with a model.
    func noteLess(of open: OpenModel) {
        isHeldUp = false
        noteUse(of: open)
    }

    private func reportLoad() {
        var load = EngineLoad()
        load.waiting = queue.count
        for open in models {
            let cache = open.model.cache
            load.sequences += open.textCount
            load.suspended += open.suspended.count
            load.sequencesMost = max(load.sequencesMost, open.sharedMost)
            load.pages += cache.pool.pageCount
            load.pagesPromised += cache.pool.pageCount - cache.pagesFree
        }
        status.load.withLock { [load] in
            let most = max($0.sequencesMost, load.sequencesMost)
            $0 = load
            $0.sequencesMost = most
        }
    }

    /// Which experts are popular; and, until somebody asks for something, prefixes.
    private func saveWhatWasLearnt(isLast: Bool) {
        for open in models {
            if let prefixes = open.model.cache.prefixes {
                while mailbox.isEmpty, prefixes.saveNext() {}
                prefixes.finishSaving()
            }
            open.model.savePopularity(isLast: isLast)
        }
    }

    /// Takes over options that changed. Who is told of models stays.
    private func takeOptions() {
        let change = status.changes.withLock { change in
            defer { change = nil }
            return change
        }
        guard let change else { return }
        let before = options
        options = change.options
        options.onEvent = before.onEvent
        if change.reopens { optionsNumber += 1 }
        guard options.keepAlive != before.keepAlive else { return }
        for open in models where open.keepAlive == before.keepAlive {
            open.keepAlive = options.keepAlive
            noteUse(of: open)
        }
    }

    private func takeMessages(waiting: Bool, within nanoseconds: UInt64?) {
        mailbox.take(waiting: waiting, within: nanoseconds).forEach(handle)
        takeOptions()
        // An order is posted before it can be cancelled: whoever is cancelled by now is either here
        // or in the mailbox.
        let cancelled = status.takeCancelled()
        guard !cancelled.isEmpty else { return }
        mailbox.take(waiting: false).forEach(handle)
        for id in cancelled { cancel(id) }
        for open in models { retireFinished(of: open) }
    }

    private func handle(_ message: EngineMessage) {
        guard case .generate(let waiting) = message else { return }
        guard waiting.order.wanted == .unloading else { return queue.append(waiting) }
        status.releaseQueuePlace()
        stop(waiting)
    }

    private func cancel(_ id: Int) {
        let error = GenerationError(.cancelled, "the request was cancelled")
        isHeldUp = false
        if let waiting = queue.remove(id: id) {
            status.releaseQueuePlace()
            waiting.onEvent(.failed(error))
        } else if let preparation = preparing[id] {
            // Its place is free when the desk has let go of the text.
            if preparation.job.isCancelled { return }
            preparation.job.cancel()
            preparation.waiting.onEvent(.failed(error))
        } else {
            for open in models { open.fail(id: id, error) }
        }
    }

    func takeWaiting() -> WaitingOrder? {
        guard let order = queue.next() else { return nil }
        status.releaseQueuePlace()
        return order
    }

    func retireFinished(of open: OpenModel) {
        let before = open.textCount
        defer { if open.textCount < before { noteLess(of: open) } }
        open.suspended.removeAll(where: \.isFinished)
        let cache = open.model.cache
        for session in open.scheduler.removeFinished() {
            if open.problem == nil, let owner = session.owner {
                cache.finish(session.sequence, tokens: session.computedTokens, owner: owner)
            } else {
                cache.close(session.sequence)
            }
        }
    }
}
