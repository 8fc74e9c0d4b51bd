// A model opened under a budget: its tokenizer, its weights, its KV pool and its forward pass.
// Made, used and freed on one thread.

internal import AnswerParsing
internal import Compute
package import Constraints
internal import FlashStorage
package import GenerationAPI
package import Inference
package import LinuxSystem
package import Memory
package import ModelFormat
package import SequenceState
package import Tokenization
package import Weights

/// A loaded model.
package final class ModelInstance {
    package let path: String
    /// How its memory is divided, and why.
    package let division: Division
    package let store: WeightStore
    package let cache: KVCache
    package let transformer: Transformer
    let options: ModelOptions
    let identity: ModelIdentity
    /// Uses of experts when popularity was saved last.
    var savedAtUses = 0
    let parsed: ParsedModel
    /// What answers can be held to; nil where there is no memory for that.
    package let constraints: ConstraintLibrary?
    /// How fast it should be.
    let prediction: SpeedPrediction
    /// All that is not in arenas: given back when the model is let go.
    private let memory: MemoryReservation

    /// Opens the packed file at `path`.
    ///
    /// - Throws: `LoadError`; `.budget` names every term when the least does not fit.
    package convenience init(path: String, options: ModelOptions) throws(LoadError) {
        try self.init(try ModelProposal(path: path, options: options))
    }

    /// Opens a model as it was proposed.
    ///
    /// - Throws: `LoadError`, also where its file is another one by now.
    package init(_ proposal: ModelProposal) throws(LoadError) {
        path = proposal.path
        options = proposal.options
        identity = proposal.identity
        parsed = proposal.parsed
        division = proposal.division
        constraints = proposal.division.constraints.map {
            ConstraintLibrary(proposal.parsed.tokenizer, room: $0)
        }
        prediction = SpeedPrediction(proposal.division, proposal.parsed.model.manifest)
        Self.tell(division, options.onNotice)
        // How much of the program starting has mapped is the kernel's to decide, and varies by
        // megabytes; how much decoding needs does not.
        ProcessMemory.releaseCode()
        var memory = try Self.reserve(division.budget, options)
        let pages = memory.split([.keyValuePages, .states])
        let buffers = memory.split([.activations])
        let passing = memory.split([.prefixesOnTheirWay])
        let predicting = memory.split([.predictors])
        let weights = memory.split(MemoryTerm.streamedWeights.union([.neuronScales]))
        self.memory = memory
        do throws(FlashError) {
            store = try WeightStore(
                path: path, model: parsed.model, plan: division.plan, options: options.flash,
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
            options.onNotice("\(refusal): threads read instead")
        }
        let graph: ModelGraph
        do {
            graph = try ModelGraph(store, contextTokens: division.contextTokens)
        } catch {
            throw .format(error)
        }
        do throws(SystemError) {
            cache = try KVCache(
                layout: division.layout, byteCount: division.cacheBytes, memory: pages)
            let team = ComputeTeam(
                memberCount: options.threads, progress: options.flash.progress)
            transformer = try Transformer(
                store: store, graph: graph, cache: cache, shape: division.activations,
                executor: Executor(kernels: .best, team: team), memory: buffers)
            if let predictors = division.sparse.predictors, division.plan.sparse != nil {
                try transformer.predict(by: predictors, memory: predicting)
            }
            transformer.firingThresholds = division.sparse.thresholds
        } catch {
            throw .system(error)
        }
        do { try keepColdSpans() } catch { throw .system(error) }
        keepPrefixes(passing)
        try warm()
    }

    /// Reads what its memory holds for good, and what was popular.
    private func warm() throws(LoadError) {
        if options.isResident {
            do { try store.experts.warm() } catch { throw .read(error) }
        }
        warmPopularExperts()
        // Nor does decoding need what opening ran.
        ProcessMemory.releaseCode()
    }

    /// Gives the calling thread, which computes from now on, a processor of its own.
    package func pinComputingThread() { transformer.executor.team.pinCaller() }
}

// MARK: What was found and decided

extension ModelInstance {
    package var manifest: PackedManifest { parsed.model.manifest }
    package var fileBytes: UInt64 { parsed.model.fileByteCount }
    package var tokenizer: Tokenizer { parsed.tokenizer }
    package var templates: ChatTemplateSources { parsed.templates }
    package var budget: MemoryPlan { division.budget }
    package var plan: WeightPlan { division.plan }
    package var contextTokens: Int { division.contextTokens }
    /// Why so many.
    package var contextReason: String { division.contextReason }
    /// The longest prompt that there is memory for.
    package var promptTokensMax: Int { options.promptTokensMax(contextTokens: contextTokens) }
    /// What happens when the context is full.
    package var whenFull: FullContext { options.whenFull }
    /// Of what is on flash, the tokens that each token of an answer reads; nil reads all.
    package var coldTokensMax: Int? { choosesByKeys ? options.coldTokensMax : nil }
    /// The same in pages.
    package var coldPagesMax: Int? { coldTokensMax.map { KVLayout.pages(tokens: $0) } }
    /// Tokens that are kept of a longer prompt, besides its last ones; nil keeps all.
    package var snapTokens: Int? { options.snapTokens }
    /// Tokens that are computed of a longer prompt; nil computes all.
    package var gemTokens: Int? { options.gemTokens }
    /// The layer that says which ones: as far up as is asked for, or the nearest one before it that
    /// sees a whole prompt, or after it; nil where none does.
    package var gemLayer: Int? {
        let windows = cache.layout.windows
        let layer = min(windows.count - 1, Int(options.gemDepth * Float(windows.count)))
        return windows[...layer].lastIndex { $0 == nil } ?? windows.firstIndex { $0 == nil }
    }
    /// How texts become vectors. The last token has seen all others, where nobody says.
    package var pooling: Pooling { options.pooling ?? manifest.shape.pooling ?? .last }
    package var keepsSinks: Bool { options.measuring.keepsSinks }
    package var prefillChunkTokens: Int { division.tokensPerStep }
    package var isResident: Bool { options.isResident }
    /// The expert cache is smaller than what one token uses.
    package var workingSetShortage: WorkingSetShortage? { division.workingSetShortage }
    /// What drafts may use; none where they cannot pay.
    package var speculationRoom: SpeculationRoom { division.speculationRoom }
    /// Which neurons are read, and why.
    package var sparse: SparseDecision { division.sparse }
    /// Of an encrypted model, how often which expert was used would tell of it in the clear.
    var keepsPopularity: Bool {
        options.keepsPopularity && !options.isResident && parsed.model.seal == nil
    }
}

// MARK: Opening

extension ModelInstance {
    /// How the memory for `path` would be divided now, without reading weights.
    package static func division(
        path: String, options: ModelOptions
    ) throws(LoadError) -> Division {
        try ModelProposal(path: path, options: options).division
    }

    private static func tell(_ division: Division, _ onNotice: (String) -> Void) {
        if let shortage = division.workingSetShortage { onNotice("\(shortage)") }
        let sparse = division.sparse
        if sparse.isRefusal || sparse.isChosenLossy { onNotice(sparse.reason) }
        if let notice = sparse.sparsityNotice { onNotice(notice) }
    }

    /// Takes what was divided out of the process's ledger, or of one of the model's own.
    private static func reserve(
        _ budget: MemoryPlan, _ options: ModelOptions
    ) throws(LoadError) -> MemoryReservation {
        let shared: Set<MemoryTerm> = [.process, .connections]
        let ledger =
            options.ledger
            ?? MemoryLedger(
                limitBytes: budget.limitBytes, connectionBytes: budget[.connections])
        do {
            return try ledger.reserve(budget.terms.filter { !shared.contains($0.term) })
        } catch {
            throw .memory(error)
        }
    }

    package static func parse(
        _ path: String, keys: ModelKeySource, progress: ProgressCounter? = nil
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
            model = try PackedModel(source: source, keys: keys)
            vocabulary = try model.vocabulary(from: source)
        } catch {
            throw .format(error)
        }
        let templates = vocabulary.templates
        let dividesAnswers = templates.all.contains { AnswerStyle(template: $0) != nil }
        do {
            return ParsedModel(
                model: model, tokenizer: try Tokenizer(vocabulary),
                templates: templates, dividesAnswers: dividesAnswers)
        } catch {
            throw .tokenizer(error)
        }
    }
}

/// A packed file's directory and vocabulary, before any weights.
package struct ParsedModel {
    package let model: PackedModel
    package let tokenizer: Tokenizer
    package let templates: ChatTemplateSources
    /// Whether its answers may be taken apart, by any of its templates.
    package let dividesAnswers: Bool
}
