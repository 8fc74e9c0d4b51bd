// Divides the budget before anything is loaded: every term named, the least that works refused with
// its sum when it does not fit.

package import Inference
internal import LinuxSystem
package import Memory
internal import ModelFormat
internal import Tokenization
package import Weights

/// How a model will use its memory.
package struct ModelSizing: Sendable {
    /// Of the budget's terms, those that are weights, and what they pass through.
    package static let weightTerms: Set<MemoryTerm> = [
        .neuronScales, .predictors, .denseWeights, .denseRing, .expertSlots,
        .neuronsOnTheirWay, .neuronWindows
    ]
    private static let tokensPerStepMin = 8
    /// A context that nobody asked for takes at most this share of the limit, but is never shorter
    /// than this (or than the model's own).
    private static let contextShareDivisor = 8
    static let contextTokensMin = 512
    /// The residual streams of a prompt take at most this share of the limit.
    private static let passShareDivisor = 32

    package let budget: MemoryPlan
    package let plan: WeightPlan
    package let contextTokens: Int
    /// Why so many.
    package internal(set) var contextReason = ""
    /// Tokens of a prompt that one step computes: more than a layer computes together where weights
    /// are streamed, which are then read once for all of them.
    package let tokensPerStep: Int
    package let layout: KVLayout
    package let cacheBytes: Int
    package let activations: ActivationShape
    package var workingSetShortage: WorkingSetShortage?
    package let speculationRoom: SpeculationRoom
    /// Why neurons are fetched one by one, or why not; nil where there are no neuron bundles.
    package var sparseReason: String?
    /// The ways of decoding that were compared; none where nothing is streamed.
    package var neuronWays: [NeuronWay] = []

    /// - Parameter machineBytes: what the machine and the cgroups allow.
    init(
        _ parsed: ParsedModel, _ options: ModelOptions,
        machineBytes: Int = MemoryLimits.smallestBytes()
    ) throws(LoadError) {
        let manifest = parsed.model.manifest
        let shape = manifest.shape
        speculationRoom = options.speculationRoom
        layout = Self.layout(shape, options)
        let limit = Self.limitBytes(options, machineBytes)
        contextTokens =
            options.contextTokens
            ?? Self.contextTokens(
                min(shape.contextLength, ModelOptions.contextTokensMax), layout, limit)
        cacheBytes = layout.byteCount(tokens: contextTokens)
        for step in Self.steps(shape, options, contextTokens, limit) {
            let shape = ActivationShape(
                shape, bundlesNeurons: manifest.neurons != nil, tokensMax: step.tokens,
                passTokensMax: step.passTokens,
                logitsRowsMax: min(options.logitsRowsMax, step.tokens),
                contextTokens: contextTokens)
            let fixed = Self.fixedTerms(
                parsed, options, limit, cacheBytes, contextTokens, shape)
            let weightsMin = WeightPlan.bytesMin(
                manifest, tokensPerStep: step.tokens, sparse: options.sparseOptions)
            let isFrugal =
                step.tokens == Self.tokensPerStepMin || Self.isFrugal(shape, manifest, limit)
            if fixed.leftBytes >= weightsMin && isFrugal || options.isResident {
                let resident = WeightPlan.bytesResident(manifest, tokensPerStep: step.tokens)
                let bytes = options.isResident ? resident : min(resident, fixed.leftBytes)
                plan = WeightPlan(
                    manifest, bytesMax: bytes, tokensPerStep: step.tokens,
                    sparse: options.sparseOptions)
                budget = Self.adding(plan, to: fixed)
                tokensPerStep = shape.passTokensMax
                activations = shape
                return
            }
        }
        let short = min(contextTokens, KVLayout.pageTokens)
        throw .budget(
            BudgetError(
                needed: Self.least(parsed, options, contextTokens, limit),
                contextTokens: contextTokens, shortContextTokens: short,
                shortContextBytes: Self.least(parsed, options, short, limit).sumBytes))
    }

    /// What was tried last: the least that could do.
    private static func least(
        _ parsed: ParsedModel, _ options: ModelOptions, _ contextTokens: Int, _ limit: Int
    ) -> MemoryPlan {
        let manifest = parsed.model.manifest
        let shape = manifest.shape
        let activations = ActivationShape(
            shape, bundlesNeurons: manifest.neurons != nil, tokensMax: tokensPerStepMin,
            passTokensMax: 0,
            logitsRowsMax: min(options.logitsRowsMax, tokensPerStepMin),
            contextTokens: contextTokens)
        let cacheBytes = layout(shape, options).byteCount(tokens: contextTokens)
        var needed = fixedTerms(
            parsed, options, limit, cacheBytes, contextTokens, activations)
        needed.add(
            .leastWeights,
            WeightPlan.bytesMin(
                manifest, tokensPerStep: tokensPerStepMin, sparse: options.sparseOptions))
        return needed
    }

    /// Numbers of tokens that a layer computes together, and of tokens of a step, best first.
    private static func steps(
        _ shape: ModelShape, _ options: ModelOptions, _ contextTokens: Int, _ limit: Int
    ) -> [(tokens: Int, passTokens: Int)] {
        let passTokens = passTokens(shape, options, contextTokens, limit)
        var tokens = max(tokensPerStepMin, min(options.prefillChunkTokens, contextTokens))
        var steps = [(tokens, passTokens)]
        while tokens > tokensPerStepMin {
            tokens = max(tokensPerStepMin, tokens / 2)
            steps.append((tokens, passTokens))
        }
        steps.append((tokens, 0))
        return steps
    }

    private static func contextTokens(
        _ wanted: Int, _ layout: KVLayout, _ limit: Int
    ) -> Int {
        let affordable = layout.tokenCount(
            bytesMax: limit / contextShareDivisor, tokensMax: wanted)
        return min(wanted, max(contextTokensMin, affordable))
    }

    private static func layout(_ shape: ModelShape, _ options: ModelOptions) -> KVLayout {
        KVLayout(
            shape, element: options.kvElement,
            tokensAtOnceMax: max(tokensPerStepMin, options.prefillChunkTokens))
    }

    private static func limitBytes(_ options: ModelOptions, _ machine: Int) -> Int {
        if options.isResident { return Int.max >> 4 }
        return min(options.memoryBytesMax ?? MemoryLimits.availableBytes(), machine)
    }

    /// Tokens that may wait in each layer for its weights: what this share of the limit holds.
    private static func passTokens(
        _ shape: ModelShape, _ options: ModelOptions, _ contextTokens: Int, _ limit: Int
    ) -> Int {
        if options.isResident { return 0 }
        let affordable = limit / passShareDivisor / ActivationShape.waitingTokenBytes(shape)
        return min(contextTokens, affordable)
    }

    /// Whether computing many tokens at once leaves the memory to the weights, which need it more.
    private static func isFrugal(
        _ activations: ActivationShape, _ manifest: PackedManifest, _ limit: Int
    ) -> Bool {
        let plan = WeightPlan(manifest, tokensPerStep: activations.tokensMax)
        return activations.waveBytes + plan.embeddingBytes <= limit / 16
    }

    private static func fixedTerms(
        _ parsed: ParsedModel, _ options: ModelOptions, _ limit: Int, _ cacheBytes: Int,
        _ contextTokens: Int, _ activations: ActivationShape
    ) -> MemoryPlan {
        let manifest = parsed.model.manifest
        var budget = MemoryPlan(limitBytes: limit)
        budget.add(.process, MemoryLedger.processBytes)
        budget.add(.connections, options.connectionBytes)
        budget.add(.vocabulary, parsed.tokenizer.residentBytes)
        budget.add(.vectors, manifest.vectors.extent.byteCount)
        budget.add(.neuronScales, WeightStore.neuronScalesBytes(manifest))
        budget.add(.directory, directoryBytes(manifest, isSparse: options.sparseOptions != nil))
        budget.add(.promptText, PromptBuilder.workBytes(contextTokens: contextTokens))
        budget.add(
            .sampler,
            Sampler.bytesMax(
                vocabularySize: parsed.tokenizer.tokenCount, contextTokens: contextTokens))
        budget.add(.keyValuePages, cacheBytes)
        budget.add(.activations, activations.byteCount)
        budget.add(.drafts, options.speculationRoom.bytes)
        budget.add(.predictors, options.predictorBytes)
        return budget
    }

    /// The books: an entry per extent and expert, a checksum per page of the embeddings.
    private static func directoryBytes(_ manifest: PackedManifest, isSparse: Bool) -> Int {
        let extents = manifest.matrices.reduce(0) { $0 + $1.extentCount }
        let experts = manifest.experts.reduce(0) { $0 + $1.count }
        let bundles = (manifest.neurons ?? []).reduce(0) { $0 + $1.extentCount }
        return (extents + bundles) * 128 + experts * 96
            + manifest.embeddings.pageChecksums.byteCount
            + WeightStore.neuronDirectoryBytes(manifest)
            + (isSparse ? WeightStore.sparseDirectoryBytes(manifest) : 0)
    }

    private static func adding(_ plan: WeightPlan, to fixed: MemoryPlan) -> MemoryPlan {
        var budget = fixed
        budget.add(.denseWeights, plan.pinnedBytes)
        budget.add(.denseRing, plan.ringBytes)
        budget.add(.expertSlots, plan.expertBytes)
        budget.add(.embeddingWindows, plan.embeddingBytes)
        budget.add(.neuronsOnTheirWay, plan.stagingBytes)
        budget.add(.neuronWindows, plan.sparseBytes)
        return budget
    }
}
