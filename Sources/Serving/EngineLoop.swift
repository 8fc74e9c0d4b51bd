// The engine thread's life: take messages, admit orders, run a step, hand out its results.

internal import FlashStorage
internal import GenerationAPI
internal import Inference
internal import LinuxSystem
internal import ModelFormat
package import Models
internal import SequenceState
internal import Synchronization
internal import Tokenization
internal import Weights

/// Lives on the engine thread.
final class EngineLoop {
    private let mailbox: Mailbox<EngineMessage>
    private let status: EngineStatus
    private let catalog: any ModelCatalog
    let options: EngineOptions
    private let desk: PromptDesk
    private var queue = FairQueue()
    /// Orders whose prompts are at the desk, by their ids.
    private var preparing: [Int: Preparation] = [:]
    private var scheduler: Scheduler
    private var loaded: (name: String, model: ModelInstance)?
    /// A read failed or brought damaged bytes: what is in memory may be half of two files.
    private var isDoubtful = false
    /// Orders that the loaded model took.
    private var ordersServed = 0
    private var isStopped: Bool { status.isStopping.load(ordering: .acquiring) }

    /// An order that was admitted, and has its place, until its prompt is tokens.
    private struct Preparation {
        let waiting: WaitingOrder
        let name: String
        let model: ModelInstance
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
        scheduler = Scheduler(tokensPerStep: options.model.prefillChunkTokens)
    }

    func run() {
        while !isStopped {
            // Without either, there is nothing to do until somebody says something.
            let hasWork = !scheduler.running.isEmpty || queue.count > 0 && hasPlace
            let isIdle = !hasWork && preparing.isEmpty
            if isIdle {
                savePrefixes()
                loaded?.model.savePopularity(isLast: false)
            }
            status.progress.note()
            status.isWorking.store(!isIdle, ordering: .releasing)
            takeMessages(waiting: !hasWork)
            status.isWorking.store(true, ordering: .releasing)
            startPrepared()
            admit()
            if !scheduler.running.isEmpty { step() }
            retireFinished()
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
        for session in scheduler.running { session.fail(Engine.goingDown) }
        while let order = takeWaiting() { order.onEvent(.failed(Engine.goingDown)) }
        retireFinished()
        savePrefixes()
        loaded?.model.savePopularity(isLast: true)
    }

    /// Writes what was remembered since, until somebody asks for something.
    private func savePrefixes() {
        guard let prefixes = loaded?.model.cache.prefixes else { return }
        while mailbox.isEmpty, prefixes.saveNext() {}
        prefixes.finishSaving()
    }

    /// Whether one more order may be taken up.
    private var hasPlace: Bool {
        scheduler.running.count + preparing.count < options.sessionsMax
    }

    private func takeMessages(waiting: Bool) {
        mailbox.take(waiting: waiting).forEach(handle)
        // An order is posted before it can be cancelled: whoever is cancelled by now is either here
        // or in the mailbox.
        let cancelled = status.takeCancelled()
        guard !cancelled.isEmpty else { return }
        mailbox.take(waiting: false).forEach(handle)
        for id in cancelled { cancel(id) }
        retireFinished()
    }

    private func handle(_ message: EngineMessage) {
        if case .generate(let order) = message { queue.append(order) }
    }

    private func cancel(_ id: Int) {
        let error = GenerationError(.cancelled, "the request was cancelled")
        if let waiting = queue.remove(id: id) {
            status.releaseQueuePlace()
            waiting.onEvent(.failed(error))
        } else if let preparation = preparing[id] {
            // Its place is free when the desk has let go of the text.
            if preparation.job.isCancelled { return }
            preparation.job.cancel()
            preparation.waiting.onEvent(.failed(error))
        } else {
            scheduler.running.first { $0.id == id }?.fail(error)
        }
    }

    private func takeWaiting() -> WaitingOrder? {
        guard let order = queue.next() else { return nil }
        status.releaseQueuePlace()
        return order
    }

    /// Takes up waiting orders while there is room: their prompts go to the desk.
    private func admit() {
        while !isStopped, hasPlace, let waiting = takeWaiting() {
            do {
                let (name, model) = try model(for: waiting.order.model)
                let builder = PromptBuilder(model, progress: status.progress)
                let order = waiting.order
                let job = PromptJob(id: waiting.id) { isCancelled in
                    Result { () throws(GenerationError) in
                        try builder.prepare(order, isCancelled: isCancelled)
                    }
                }
                preparing[waiting.id] = Preparation(
                    waiting: waiting, name: name, model: model, job: job)
                desk.post(job)
            } catch {
                waiting.onEvent(.failed(error))
            }
        }
    }

    /// Starts the orders whose prompts have become tokens.
    private func startPrepared() {
        for (job, outcome) in desk.takeFinished() {
            guard let preparation = preparing.removeValue(forKey: job.id), !job.isCancelled else {
                continue
            }
            let waiting = preparation.waiting
            do throws(GenerationError) {
                let prompt = try outcome.get()
                if let told = prompt.told {
                    waiting.onEvent(.started(model: preparation.name, promptTokens: 0))
                    waiting.onEvent(told)
                    waiting.onEvent(.finished(.stop, GenerationStatistics()))
                    continue
                }
                let session = try start(waiting, prompt, on: preparation.model)
                waiting.onEvent(
                    .started(
                        model: preparation.name, promptTokens: session.statistics.promptTokens))
                ordersServed += 1
                scheduler.start(session)
            } catch {
                waiting.onEvent(.failed(error))
            }
        }
    }

    private func start(
        _ waiting: WaitingOrder, _ prepared: PreparedPrompt, on model: ModelInstance
    ) throws(GenerationError) -> Session {
        let prompt = prepared.tokens
        let room = try room(for: prompt, waiting.order, model)
        let sampler: Sampler
        do {
            sampler = try Sampler(
                waiting.order.sampling, vocabularySize: model.tokenizer.tokenCount,
                contextTokens: model.contextTokens,
                suppressed: model.tokenizer.vocabularySpecial.suppressed)
        } catch {
            throw GenerationError(.invalidRequest, "\(error)", parameter: error.parameter.rawValue)
        }
        let tokensMax = min(waiting.order.tokensMax ?? room.tokensMax, room.tokensMax)
        guard tokensMax > 0 else {
            throw GenerationError(
                .invalidRequest, "max_tokens must be at least 1", parameter: "max_tokens")
        }
        // Of what is gathered nothing is on flash.
        let coldPagesMax =
            room.keptTokens == nil ? try self.coldPagesMax(waiting.order, model) : nil
        let begun = model.cache.begin(
            prompt: room.remembered(of: prompt),
            tokensMax: room.placesMax(promptTokens: prompt.count, tokensMax: tokensMax),
            slides: room.slidingTokens != nil, summarizes: coldPagesMax != nil,
            staysInMemory: room.keptTokens != nil,
            owner: waiting.order.client.prefixOwner)
        guard let (sequence, found) = begun else {
            throw noPages(model, tokens: prompt.count + tokensMax, summarizes: coldPagesMax != nil)
        }
        let admission = Admission(
            order: waiting.order.withoutPrompt, prompt: prompt, plan: prepared.plan,
            sequence: sequence,
            found: found, sampler: sampler, tokensMax: tokensMax,
            contextTokens: model.contextTokensNow, slidingTokens: room.slidingTokens,
            keptTokens: room.keptTokens, coldPagesMax: coldPagesMax, filter: room.filter,
            submittedNanoseconds: waiting.submittedNanoseconds,
            draftWindowTokens: model.draftWindowTokens(of: prompt.count + tokensMax))
        return Session(
            id: waiting.id, admission, tokenizer: model.tokenizer, onEvent: waiting.onEvent)
    }

    /// What the context leaves for the answer, with keys and values kept as the order says.
    private func room(
        for prompt: [TokenID], _ order: GenerationOrder, _ model: ModelInstance
    ) throws(GenerationError) -> SequenceRoom {
        let wished = try keyValueFormat(order, model)
        if wished != model.cache.layout.format {
            // Pages are of one kind at a time.
            guard scheduler.running.isEmpty else {
                throw GenerationError(
                    .overloaded, "requests with other kv_bits are running; try again later",
                    parameter: "kv_bits")
            }
            do {
                try model.cache.change(to: wished)
            } catch {
                throw GenerationError(.readFailed, "\(error)")
                    .naming(loaded?.name ?? "", insteadOf: model.path)
            }
        }
        if try slides(order, model),
            let room = try SequenceRoom.sliding(promptTokens: prompt.count, order, model)
        {
            return room
        }
        let context = model.contextTokensNow
        guard context > prompt.count else {
            let reason =
                context < model.contextTokens
                ? "the KV pages hold no more at \(wished) bits; \(model.contextTokens) at "
                    + "\(model.division.layout.format)" : model.contextReason
            throw GenerationError(
                .contextExceeded,
                "the prompt has \(prompt.count) tokens, the context \(context) (\(reason))",
                parameter: order.prompt.parameter)
        }
        if let room = try SequenceRoom.filtering(prompt, order, model) { return room }
        return try SequenceRoom.gathering(prompt, order, model)
            ?? SequenceRoom(tokensMax: context - prompt.count)
    }

    /// The loaded model, after loading it if need be.
    private func model(
        for name: String?
    ) throws(GenerationError) -> (name: String, model: ModelInstance) {
        let (name, path) = try catalog.locate(name)
        if let loaded, loaded.name == name, loaded.model.path == path, loaded.model.isCurrent,
            !isDoubtful
        {
            return loaded
        }
        try unload()
        status.report(.loading(model: name))
        options.onEvent(.loading(model: name))
        let start = MonotonicClock.nanoseconds
        do throws(LoadError) {
            let model = try open(path)
            model.pinComputingThread()
            loaded = (name, model)
            var told = model.summary
            told.readsReason = told.readsReason?.replacing(path, with: name)
            status.loaded.withLock { [told] in $0 = told }
            scheduler = Scheduler(
                tokensPerStep: model.prefillChunkTokens,
                logitsRowsMax: model.transformer.shape.logitsRowsMax,
                speculation: model.speculation)
            let seconds = Double(MonotonicClock.nanoseconds - start) / 1e9
            let report = model.report(name: name, seconds: seconds)
            status.architecture.withLock { $0 = report.architecture }
            status.report(.ready(model: name))
            options.onEvent(.loaded(report))
            options.model.onNotice("\(name): \(model.summary)")
            return (name, model)
        } catch {
            status.report(.ready(model: nil))
            let problem = GenerationError(loading: error)
            options.onEvent(.loadFailed(model: name, problem: problem))
            throw problem.naming(name, insteadOf: path)
        }
    }

    /// A file that is replaced while it is opened is opened once more.
    private func open(_ path: String) throws(LoadError) -> ModelInstance {
        do {
            return try ModelInstance(path: path, options: options.model)
        } catch {
            guard case .read(let failure) = error, failure.cause == .changed else { throw error }
            return try ModelInstance(path: path, options: options.model)
        }
    }

    /// Gives the model's memory back, once no read can write to it.
    private func unload() throws(GenerationError) {
        guard let (name, model) = loaded else { return }
        model.savePopularity(isLast: true)
        model.cache.prefixes?.finishSaving()
        do {
            try model.store.finishReads()
            try model.cache.finishReads()
        } catch {
            options.onEvent(.readFailed(model: name, problem: "\(error)"))
            throw GenerationError(.readFailed, "\(error)").naming(name, insteadOf: model.path)
        }
        isDoubtful = false
        loaded = nil
        status.report(.ready(model: nil))
        options.onEvent(.unloaded(model: name, orders: ordersServed))
        ordersServed = 0
    }

    private func step() {
        guard let (name, model) = loaded else {
            preconditionFailure("sessions without a model")
        }
        let before = model.store.statistics
        let readBefore = model.cache.coldStatistics.bytesRead
        var (plan, sessions) = scheduler.schedule()
        makeRoom(in: &plan, for: sessions, model)
        rememberWhole(plan, of: sessions, in: model.cache)
        keepStates(in: &plan, of: sessions)
        let start = MonotonicClock.nanoseconds
        do throws(ReadFailure) {
            let isCancelled = { [status] in
                status.isStopping.load(ordering: .acquiring)
                    || sessions.allSatisfy { status.isCancelled($0.id) }
            }
            let isStopping = model.store.isCancelled
            model.transformer.observer.isCancelled = isCancelled
            model.store.isCancelled = isCancelled
            defer {
                model.transformer.observer.isCancelled = nil
                model.store.isCancelled = isStopping
            }
            try model.transformer.forward(plan)
            // A name may come to mean another file; the bytes of the one being read may not change.
            if model.store.hasChanged {
                throw ReadFailure(file: model.path, fileOffset: 0, cause: .changed)
            }
        } catch {
            // The sessions end when the cancellation is handled.
            if error.cause == .cancelled { return }
            if !error.isDelay { isDoubtful = true }
            options.onEvent(.readFailed(model: name, problem: "\(error)"))
            let problem = GenerationError(.readFailed, "\(error)")
            let told = problem.naming(name, insteadOf: model.path)
            for session in sessions { session.fail(told) }
            return
        }
        scheduler.record(plan, sessions, nanoseconds: MonotonicClock.nanoseconds - start)
        let spent = model.store.statistics - before
        let coldBytes = model.cache.coldStatistics.bytesRead - readBefore
        var row = 0
        for (chunk, session) in zip(plan.chunks, sessions) {
            session.charge(
                flashBytes: spent.flashBytes + coldBytes, hits: spent.bundleHits,
                misses: spent.bundleMisses,
                keyValueBytes: model.cache.byteCount(session.sequence))
            let wasDecoding = session.isDecoding
            session.advance(chunk)
            gatherUp(chunk, of: session, in: model.cache)
            beginAnew(chunk, of: session, model)
            for own in row..<row + chunk.logitsRowCount {
                guard model.transformer.withLogits(row: own, session.sample) else { break }
            }
            row += chunk.logitsRowCount
            // What drafts that were wrong took, or the first layers of what is computed anew.
            if chunk.firstPosition + chunk.tokens.count > session.computedCount {
                model.cache.truncate(session.sequence, to: session.computedCount)
            }
            // While windows still have what the prompt's last blocks see.
            if !wasDecoding, session.isDecoding {
                if let owner = session.owner {
                    model.cache.remember(
                        session.sequence, tokens: session.computedTokens, owner: owner,
                        isEnded: false)
                }
            }
        }
    }

    private func retireFinished() {
        for session in scheduler.removeFinished() {
            guard let cache = loaded?.model.cache else { continue }
            if !isDoubtful, let owner = session.owner {
                cache.finish(session.sequence, tokens: session.computedTokens, owner: owner)
            } else {
                cache.close(session.sequence)
            }
        }
    }
}

extension GenerationError {
    /// The same for who asked, whom a model's name concerns, and not where its file lies; the log
    /// has that.
    func naming(_ model: String, insteadOf path: String) -> GenerationError {
        GenerationError(reason, message.replacing(path, with: model), parameter: parameter)
    }

    /// What a failed load means to the one who asked.
    package init(loading error: LoadError) {
        switch error {
        case .format, .tokenizer: self.init(.modelInvalid, "\(error)")
        case .system(let error) where error.refusesRing: self.init(.readerRefused, "\(error)")
        case .system, .read: self.init(.readFailed, "\(error)")
        case .budget, .memory, .keyValueMemory: self.init(.budgetExceeded, "\(error)")
        case .contextBeyondModel: self.init(.invalidRequest, "\(error)")
        }
    }
}
