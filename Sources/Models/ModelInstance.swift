// A model opened under a budget: its tokenizer, its weights, its KV pool and its forward pass.
// Made, used and freed on one thread.

package import Compute
package import FlashStorage
package import Inference
package import Knobs
package import LinuxSystem
package import Memory
package import ModelFormat
package import Tokenization
package import Weights

/// How a model is opened.
package struct ModelOptions: Sendable {
    /// Bytes for everything; nil is what the machine and the cgroups allow.
    package var memoryBytesMax: Int?
    /// Everything in memory, and no limit.
    package var isResident = false
    /// Positions of the KV cache, neither more nor less.
    package var contextTokens: Int?
    /// Positions that are wished for: as many of them as the model has and memory allows. Without
    /// either, what memory has left, at most ``contextTokensMax``.
    package var contextTokensWanted: Int?
    static let contextTokensMax = 4096
    /// Whether more positions than the model learned may be asked for: to measure computing alone.
    package var mayExceedContext = false
    package var threads: Int
    /// Floats are exact; halves save memory and round.
    package var kvElement = KVElement.float
    /// The same as bits of a number, 32 or 16.
    package var keyValueBits: Int {
        get { kvElement.byteCount * 8 }
        set { kvElement = newValue == 16 ? .half : .float }
    }
    /// Tokens of a prompt that are computed together, at most; less when memory is short.
    package var prefillChunkTokens = 512
    /// Tokens of a step whose logits are wanted, at most.
    package var logitsRowsMax = 1
    package var speculation = SpeculationPolicy.off
    /// Which neurons of a model whose neurons are bundled are read; nil is what promises to take
    /// least time, of what ``qualityLossMax`` allows.
    package var sparse: SparseMode?
    /// By what share perplexity may be higher, as calibration states it, where nobody asked for
    /// something lossy by name; 0 allows exact ways alone.
    package var qualityLossMax = 0.0
    /// How neurons are fetched, for measurements: see `SparseOptions`.
    package var keepsNeuronWindows = true
    package var readsNeuronsApart = false
    /// The share of neurons that count as silent, the weakest of each layer (lossy); nil is none.
    package var activationSparsity: Float?
    /// What was decided about that.
    var sparseOptions: SparseOptions?
    var predictorBytes = 0
    /// Set by the sizing that finds room.
    var speculationRoom = SpeculationRoom()
    /// Bytes for connections and their buffers.
    package var connectionBytes = 0
    /// The process's, where it has one; else every model that is opened has its own.
    package var ledger: MemoryLedger?
    package var flash = FlashOptions()
    package var verification = VerificationPolicy.first
    package var cacheRules = CacheRules.standard
    /// Warm the experts that were popular in earlier runs, and save which ones are in this.
    package var keepsPopularity = false
    /// Told in one line what is worth knowing and no error.
    package var onNotice: @Sendable (String) -> Void = { _ in }

    package init() { threads = max(1, Processors.allowed.count) }
}

/// Why a model could not be opened.
package enum LoadError: Error, Sendable, CustomStringConvertible {
    case format(FormatError)
    case system(SystemError)
    case read(ReadFailure)
    case budget(BudgetError)
    /// What is needed was there when it was divided, and is not any more.
    case memory(MemoryError)
    case tokenizer(TokenizerError)
    /// More positions than the model has.
    case contextBeyondModel(asked: Int, known: Int)

    package var description: String {
        switch self {
        case .format(let error): "\(error)"
        case .system(let error): "\(error)"
        case .read(let error): "\(error)"
        case .budget(let error): "\(error)"
        case .memory(let error): "\(error)"
        case .tokenizer(let error): "\(error)"
        case .contextBeyondModel(let asked, let known):
            "the model's context is \(known) tokens; \(asked) are asked for"
        }
    }

    package init(_ error: FlashError) {
        switch error {
        case .format(let error): self = .format(error)
        case .system(let error): self = .system(error)
        case .read(let error): self = .read(error)
        }
    }
}

/// A loaded model.
package final class ModelInstance {
    package let path: String
    package let manifest: PackedManifest
    package let fileBytes: UInt64
    package let tokenizer: Tokenizer
    package let chatTemplate: String?
    package let budget: MemoryPlan
    package let plan: WeightPlan
    package let store: WeightStore
    package let cache: KVCache
    package let transformer: Transformer
    package let contextTokens: Int
    /// Why so many.
    package let contextReason: String
    package let prefillChunkTokens: Int
    package let isResident: Bool
    /// The expert cache is smaller than what one token uses.
    package let workingSetShortage: WorkingSetShortage?
    /// What drafts may use; none where they cannot pay.
    package let speculationRoom: SpeculationRoom
    let speculationPolicy: SpeculationPolicy
    /// Which neurons are read, and why.
    package let sparse: SparseDecision
    let keepsPopularity: Bool
    let onNotice: @Sendable (String) -> Void
    let identity: ModelIdentity
    /// All that is not in arenas: given back when the model is let go.
    private let memory: MemoryReservation
    /// Uses of experts when popularity was saved last.
    var savedAtUses = 0

    /// Opens the packed file at `path`.
    ///
    /// - Throws: `LoadError`; `.budget` names every term when the least does not fit.
    package init(path: String, options: ModelOptions) throws(LoadError) {
        let identity = ModelIdentity(path: path)
        let parsed = try Self.parse(path, progress: options.flash.progress)
        try Self.check(parsed, options)
        Self.learnDrive(of: parsed, path, options)
        let decision = SparseDecision(parsed, path: path, options)
        let sizing = try ModelSizing.noted(parsed, options.deciding(decision))
        sparse = decision
        contextReason = sizing.contextReason
        self.path = path
        self.identity = identity
        manifest = parsed.model.manifest
        fileBytes = parsed.model.fileByteCount
        tokenizer = parsed.tokenizer
        chatTemplate = parsed.chatTemplate
        budget = sizing.budget
        plan = sizing.plan
        contextTokens = sizing.contextTokens
        prefillChunkTokens = sizing.tokensPerStep
        isResident = options.isResident
        workingSetShortage = sizing.workingSetShortage
        speculationRoom = sizing.speculationRoom
        speculationPolicy = options.speculation
        keepsPopularity = options.keepsPopularity && !options.isResident
        onNotice = options.onNotice
        if let workingSetShortage { onNotice("\(workingSetShortage)") }
        if decision.isRefusal || decision.isChosenLossy { onNotice(decision.reason) }
        if let notice = decision.sparsityNotice { onNotice(notice) }
        _ = options.flash.tuner?.tuned(
            options.flash, path: path, memoryBytes: sizing.plan.arenaBytes)
        var memory = try Self.reserve(sizing.budget, options)
        let (pages, buffers) = (memory.split([.keyValuePages]), memory.split([.activations]))
        let predicting = memory.split([.predictors])
        let weights = memory.split(MemoryTerm.streamedWeights.union([.neuronScales]))
        self.memory = memory
        // How much of the program starting has mapped is the kernel's to decide, and varies by
        // megabytes; how much decoding needs does not.
        ProcessMemory.releaseCode()
        do throws(FlashError) {
            store = try WeightStore(
                path: path, model: parsed.model, plan: sizing.plan, options: options.flash,
                verification: options.verification, cacheRules: options.cacheRules,
                memory: weights)
        } catch {
            throw LoadError(error)
        }
        // One file from the first byte to the last, not two that had the name in turn.
        guard identity == ModelIdentity(path: path) else {
            throw .read(ReadFailure(file: path, fileOffset: 0, cause: .changed))
        }
        if let refusal = store.ringRefusal {
            onNotice("\(refusal): threads read instead")
        }
        let graph: ModelGraph
        do { graph = try ModelGraph(store) } catch { throw .format(error) }
        do throws(SystemError) {
            cache = try KVCache(
                layout: sizing.layout, byteCount: sizing.cacheBytes, memory: pages)
            transformer = try Transformer(
                store: store, graph: graph, cache: cache, shape: sizing.activations,
                kernels: .best,
                team: ComputeTeam(
                    memberCount: options.threads, progress: options.flash.progress),
                memory: buffers)
            if let predictors = decision.predictors, plan.sparse != nil {
                try transformer.predict(by: predictors, memory: predicting)
            }
            transformer.firingThresholds = decision.thresholds
        } catch {
            throw .system(error)
        }
        if options.isResident {
            do { try store.warmExperts() } catch { throw .read(error) }
        }
        warmPopularExperts()
    }

    /// Takes what the sizing says out of the process's ledger, or of one of the model's own.
    private static func reserve(
        _ budget: MemoryPlan, _ options: ModelOptions
    ) throws(LoadError) -> MemoryReservation {
        let ledger =
            options.ledger
            ?? MemoryLedger(
                limitBytes: budget.limitBytes, connectionBytes: options.connectionBytes)
        // Where nobody set it, it is what there is now.
        ledger.limitBytes = budget.limitBytes
        let shared: Set<MemoryTerm> = [.process, .connections]
        do {
            return try ledger.reserve(budget.terms.filter { !shared.contains($0.term) })
        } catch {
            throw .memory(error)
        }
    }

    /// Gives the calling thread, which computes from now on, a processor of its own.
    package func pinComputingThread() { transformer.team.pinCaller() }

    /// What opening `path` would need, without reading weights.
    package static func sizing(path: String, options: ModelOptions) throws(LoadError) -> ModelSizing
    {
        let parsed = try parse(path)
        try check(parsed, options)
        let decision = SparseDecision(parsed, path: path, options)
        var sizing = try ModelSizing.noted(parsed, options.deciding(decision))
        let reason = parsed.model.manifest.neurons == nil ? nil : decision.reason
        let reasons = [reason, decision.sparsityNotice].compactMap { $0 }
        sizing.sparseReason = reasons.isEmpty ? nil : reasons.joined(separator: "; ")
        sizing.neuronWays = SparseDecision.ways(
            parsed, path: path, options, isThresholded: !decision.thresholds.isEmpty)
        return sizing
    }

    package static func parse(
        _ path: String, progress: ProgressCounter? = nil
    ) throws(LoadError) -> ParsedModel {
        let source: FileByteSource
        do {
            source = try FileByteSource(path: path, name: path, progress: progress)
        } catch {
            throw .system(error)
        }
        let vocabulary: Vocabulary
        let model: PackedModel
        do throws(FormatError) {
            model = try PackedModel(source: source)
            vocabulary = try model.vocabulary(from: source)
        } catch {
            throw .format(error)
        }
        do {
            return ParsedModel(
                model: model, tokenizer: try Tokenizer(vocabulary),
                chatTemplate: vocabulary.chatTemplate)
        } catch {
            throw .tokenizer(error)
        }
    }
}

/// A packed file's directory and vocabulary, before any weights.
package struct ParsedModel {
    package let model: PackedModel
    package let tokenizer: Tokenizer
    package let chatTemplate: String?
}

extension LoadError: EndingError {
    package var exitStatus: ExitStatus {
        switch self {
        case .format, .tokenizer: .badData
        case .system(let error): error.exitStatus
        case .read(let failure): failure.exitStatus
        case .budget, .memory: .badConfiguration
        case .contextBeyondModel: .usage
        }
    }
}
