// Which models are open: one is opened when an order for it has its turn, beside others where that
// costs it nothing, else in their place, those first that were not used for longest.

internal import FlashStorage
internal import GenerationAPI
internal import LinuxSystem
internal import ModelFormat
package import Models
internal import SequenceState
internal import Synchronization
internal import Weights

extension EngineLoop {
    /// The model of an order whose turn it is, after loading it if need be.
    ///
    /// - Returns: nil while others have to end first.
    /// - Throws: `GenerationError` where there is no such model, or it cannot be loaded.
    func openModel(for name: String?) throws(GenerationError) -> OpenModel? {
        let (name, path) = try catalog.locate(name)
        if let open = models.first(where: { $0.name == name }) {
            let mayGrow = open.isDivided && models.count == 1 && open.isIdle
            let isAsAsked = open.isCurrent(at: path) && open.optionsNumber == optionsNumber
            if isAsAsked, !mayGrow { return open }
            guard open.isIdle else { return nil }
            try unload(open, forAnother: false)
        }
        return try makeRoom(for: name, path)
    }

    /// Opens a model when enough of the others have gone.
    private func makeRoom(
        for name: String, _ path: String
    ) throws(GenerationError) -> OpenModel? {
        while true {
            do throws(LoadError) {
                let proposal = try ModelProposal(path: path, options: options.model)
                if models.isEmpty || proposal.isAsGoodAsAlone { return try load(name, proposal) }
            } catch {
                guard !models.isEmpty, error.isOfMemory else { throw told(error, name, path) }
            }
            let mayGo = models.filter { $0.isIdle && $0.keepAlive != .always }
            if let leaving = mayGo.min(by: { $0.idleSince < $1.idleSince }) {
                try unload(leaving, forAnother: true)
                continue
            }
            guard models.allSatisfy(\.isIdle) else { return nil }
            return try divideAnew(for: name, path)
        }
    }

    /// Opens the models that are to stay in less memory, and another beside them: each has a share
    /// as its file is large.
    ///
    /// - Throws: `GenerationError` where that is too little for one of them, before any is touched.
    private func divideAnew(
        for name: String, _ path: String
    ) throws(GenerationError) -> OpenModel {
        // Nothing of them but this: their memory is to be given back.
        let kept = models.map {
            (name: $0.name, path: $0.model.path, bytes: $0.model.fileBytes, stays: $0.keepAlive)
        }
        do throws(LoadError) {
            let alone = try ModelProposal(path: path, options: options.model.asIfAlone)
            let bytes = kept.map(\.bytes) + [alone.fileBytes]
            let sum = Double(bytes.reduce(0, +))
            let left = Double(options.model.wholeShareBytes)
            var wishes = bytes.map { bytes in
                var wishes = options.model
                wishes.shareBytesMax = Int(left * Double(bytes) / sum)
                return wishes
            }
            for (path, wishes) in zip(kept.map(\.path) + [path], wishes) {
                _ = try ModelProposal(path: path, options: wishes.asIfAlone)
            }
            let own = wishes.removeLast()
            while let open = models.first { try give(open, forAnother: true) }
            for (model, wishes) in zip(kept, wishes) {
                let again = try load(
                    model.name, try ModelProposal(path: model.path, options: wishes))
                again.keepAlive = model.stays
                again.isDivided = true
            }
            return try load(name, try ModelProposal(path: path, options: own))
        } catch {
            guard error.isOfMemory else { throw told(error, name, path) }
            let names = kept.map(\.name).joined(separator: ", ")
            let problem = GenerationError(
                .budgetExceeded, "beside \(names), to be kept (keep_alive): \(error)")
            options.onEvent(.loadFailed(model: name, problem: problem))
            throw problem.naming(name, insteadOf: path)
        }
    }

    private func load(
        _ name: String, _ proposal: ModelProposal
    ) throws(LoadError) -> OpenModel {
        let path = proposal.path
        status.report(.loading(model: name))
        options.onEvent(.loading(model: name))
        let start = MonotonicClock.nanoseconds
        defer { reportModels() }
        let model = try openFile(proposal)
        model.pinComputingThread()
        let open = OpenModel(model, name: name, stepTokens: options.stepTokens)
        open.keepAlive = options.keepAlive
        open.optionsNumber = optionsNumber
        models.append(open)
        let seconds = Double(MonotonicClock.nanoseconds - start) / 1e9
        let report = model.report(name: name, seconds: seconds)
        var told = model.summary
        told.readsReason = told.readsReason?.replacing(path, with: name)
        status.open.withLock { [told] in
            $0[name] = EngineStatus.Open(architecture: report.architecture, loaded: told)
        }
        options.onEvent(.loaded(report))
        options.model.onNotice("\(name): \(model.summary)")
        return open
    }

    /// A file that is replaced while it is opened is opened once more.
    private func openFile(_ proposal: ModelProposal) throws(LoadError) -> ModelInstance {
        do {
            return try ModelInstance(proposal)
        } catch {
            guard case .read(let failure) = error, failure.cause == .changed else { throw error }
            return try ModelInstance(path: proposal.path, options: options.model)
        }
    }

    /// Says why a model is not opened.
    private func told(_ error: LoadError, _ name: String, _ path: String) -> GenerationError {
        let problem = GenerationError(loading: error)
        options.onEvent(.loadFailed(model: name, problem: problem))
        let told = problem.naming(name, insteadOf: path)
        return options.model.modelKeys.file.map { told.naming("the keys' file", insteadOf: $0) }
            ?? told
    }

    /// Gives a model's memory back, once no read can write to it.
    ///
    /// - Parameter forAnother: whether another is to have it.
    func unload(_ open: OpenModel, forAnother: Bool) throws(GenerationError) {
        do throws(LoadError) {
            try give(open, forAnother: forAnother)
        } catch {
            throw GenerationError(.readFailed, "\(error)")
                .naming(open.name, insteadOf: open.model.path)
        }
    }

    private func give(_ open: OpenModel, forAnother: Bool) throws(LoadError) {
        let model = open.model
        model.savePopularity(isLast: true)
        model.cache.prefixes?.finishSaving()
        do throws(ReadFailure) {
            try model.store.finishReads()
            try model.cache.finishReads()
        } catch {
            options.onEvent(.readFailed(model: open.name, problem: "\(error)"))
            throw .read(error)
        }
        models.removeAll { $0 === open }
        status.open.withLock { $0[open.name] = nil }
        reportModels()
        options.onEvent(
            .unloaded(model: open.name, orders: open.ordersServed, forAnother: forAnother))
    }

    private func reportModels() {
        status.report(.ready(models: models.map(\.name).sorted()))
    }
}

// MARK: models that nobody uses

extension EngineLoop {
    /// Time until the next model goes that nobody uses; nil where none does.
    var nanosecondsToNextLeave: UInt64? {
        let now = MonotonicClock.nanoseconds
        return models.compactMap(\.leavesAt).min().map { $0 > now ? $0 - now : 0 }
    }

    /// Lets go of models that nobody used for as long as they are to stay.
    func letGoOfUnused() {
        let now = MonotonicClock.nanoseconds
        for open in models {
            guard let end = open.leavesAt, end <= now else { continue }
            // A drive that does not answer keeps it until its memory is needed.
            if (try? unload(open, forAnother: false)) == nil { open.keepAlive = .untilNeeded }
        }
    }

    /// Notes that a model was used, and tells when it goes.
    func noteUse(of open: OpenModel) {
        open.idleSince = MonotonicClock.nanoseconds
        var leavesAt: Int64?
        if case .seconds(let seconds) = open.keepAlive {
            leavesAt = Int64(WallClock.secondsSince1970) + Int64(min(seconds, 1e10))
        }
        status.open.withLock { [leavesAt] in $0[open.name]?.loaded.leavesAt = leavesAt }
    }

    /// Lets a model go as soon as nobody uses it.
    func stop(_ waiting: WaitingOrder) {
        do throws(GenerationError) {
            let (name, _) = try catalog.locate(waiting.order.model)
            waiting.onEvent(.started(model: name, promptTokens: 0))
            if let open = models.first(where: { $0.name == name }) {
                open.keepAlive = .seconds(0)
                if open.isIdle { try unload(open, forAnother: false) }
            }
            waiting.onEvent(.finished(.stop, GenerationStatistics()))
        } catch {
            waiting.onEvent(.failed(error))
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
