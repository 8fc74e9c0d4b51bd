// Which models are open: an order's is opened when its turn has come, in place of the one before,
// once that has nobody left to serve.

internal import FlashStorage
internal import GenerationAPI
internal import LinuxSystem
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
        if let open = models.first(where: { $0.name == name && $0.isCurrent(at: path) }) {
            return open
        }
        guard models.allSatisfy(\.isIdle) else { return nil }
        for open in models { try unload(open) }
        return try load(name, path)
    }

    private func load(_ name: String, _ path: String) throws(GenerationError) -> OpenModel {
        status.report(.loading(model: name))
        options.onEvent(.loading(model: name))
        let start = MonotonicClock.nanoseconds
        do throws(LoadError) {
            let model = try openFile(path)
            model.pinComputingThread()
            let open = OpenModel(model, name: name, stepTokens: options.stepTokens)
            models.append(open)
            var told = model.summary
            told.readsReason = told.readsReason?.replacing(path, with: name)
            status.loaded.withLock { [told] in $0 = told }
            let seconds = Double(MonotonicClock.nanoseconds - start) / 1e9
            let report = model.report(name: name, seconds: seconds)
            status.architecture.withLock { $0 = report.architecture }
            status.report(.ready(model: name))
            options.onEvent(.loaded(report))
            options.model.onNotice("\(name): \(model.summary)")
            return open
        } catch {
            status.report(.ready(model: nil))
            let problem = GenerationError(loading: error)
            options.onEvent(.loadFailed(model: name, problem: problem))
            throw problem.naming(name, insteadOf: path)
        }
    }

    /// A file that is replaced while it is opened is opened once more.
    private func openFile(_ path: String) throws(LoadError) -> ModelInstance {
        do {
            return try ModelInstance(path: path, options: options.model)
        } catch {
            guard case .read(let failure) = error, failure.cause == .changed else { throw error }
            return try ModelInstance(path: path, options: options.model)
        }
    }

    /// Gives a model's memory back, once no read can write to it.
    private func unload(_ open: OpenModel) throws(GenerationError) {
        let model = open.model
        model.savePopularity(isLast: true)
        model.cache.prefixes?.finishSaving()
        do {
            try model.store.finishReads()
            try model.cache.finishReads()
        } catch {
            options.onEvent(.readFailed(model: open.name, problem: "\(error)"))
            throw GenerationError(.readFailed, "\(error)")
                .naming(open.name, insteadOf: model.path)
        }
        models.removeAll { $0 === open }
        status.report(.ready(model: nil))
        options.onEvent(.unloaded(model: open.name, orders: open.ordersServed))
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
