// Lays one choice out in a share of memory: the steps that are tried, best first, and the sum of
// what each needs.

internal import AnswerParsing
internal import Constraints
internal import Inference
internal import Knobs
internal import Memory
internal import ModelFormat
internal import SequenceState
internal import Tokenization
internal import Weights

extension Division {
    static let tokensPerStepMin = 8
    /// A context that nobody asked for takes at most this share of the limit, but is never shorter
    /// than this (or than the model's own).
    fileprivate static let contextShareDivisor = 8
    static let contextTokensMin = 512
    /// States of earlier texts take at most this share of the limit, and are at most so many.
    fileprivate static let stateShareDivisor = 32
    fileprivate static let statesKeptMax = 8
    /// The residual streams of a prompt take at most this share of the limit.
    private static let passShareDivisor = 32

    /// The best that fits.
    ///
    /// - Throws: `LoadError.budget` with the least that could do.
    init(_ problem: DivisionProblem, _ choice: DivisionChoice) throws(LoadError) {
        let limit = problem.share.limitBytes
        speculationRoom = choice.speculationRoom
        contextTokens =
            choice.contextTokens
            ?? Self.contextTokens(problem.contextTokensMost, problem.layout, problem.kvShare(limit))
        layout = problem.layout(contextTokens: contextTokens)
        cacheBytes = try problem.cacheBytes(layout, contextTokens)
        for keeping in PrefixPlan.choices(problem.wishes.prefixes) {
            let prefixes = PrefixPlan(
                problem, choice, layout, poolBytes: cacheBytes, wished: keeping)
            // Prompts have shorter steps before answers cannot be held to anything.
            let room =
                problem.wishes.holdsAnswers
                ? ConstraintRoom(problem.model.tokenizer, limitBytes: limit) : nil
            for (room, step) in Self.steps(problem, contextTokens, room) {
                let shape = ActivationShape(
                    problem.shape, bundlesNeurons: problem.manifest.neurons != nil,
                    tokensMax: step.tokens, passTokensMax: step.passTokens,
                    logitsRowsMax: min(choice.logitsRowsMax, step.tokens),
                    contextTokens: contextTokens,
                    hotTokensMax: layout.hotTokensMax(contextTokens, poolBytes: cacheBytes))
                var fixed = Self.fixedTerms(problem, choice, cacheBytes, contextTokens, shape)
                if let room { fixed.add(.grammars, room.byteCount) }
                prefixes.add(to: &fixed)
                guard let plan = Self.weights(problem, choice, shape, fixed) else { continue }
                self.plan = plan
                self.constraints = room
                self.prefixes = prefixes
                budget = Self.adding(plan, to: fixed)
                tokensPerStep = shape.passTokensMax
                sequencesMax = min(problem.sequencesMax, shape.logitsRowsMax)
                activations = shape
                return
            }
        }
        throw Self.refusal(problem, choice, contextTokens)
    }

    /// Steps with room for grammars, then without.
    private static func steps(
        _ problem: DivisionProblem, _ contextTokens: Int, _ room: ConstraintRoom?
    ) -> [(ConstraintRoom?, (tokens: Int, passTokens: Int))] {
        let steps = steps(problem, contextTokens)
        let without = steps.map { (ConstraintRoom?.none, $0) }
        return room == nil ? without : steps.map { (room, $0) } + without
    }

    /// Weights in what everything else leaves; nil where that is not enough, or where fewer tokens
    /// at once serve them better.
    private static func weights(
        _ problem: DivisionProblem, _ choice: DivisionChoice, _ shape: ActivationShape,
        _ fixed: MemoryPlan
    ) -> WeightPlan? {
        let (manifest, isResident) = (problem.manifest, problem.wishes.isResident)
        let tokens = shape.tokensMax
        let least = WeightPlan.bytesMin(
            manifest, tokensPerStep: tokens, sparse: choice.sparse)
        let isFrugal =
            tokens == tokensPerStepMin || isFrugal(shape, manifest, problem.share.limitBytes)
        guard fixed.leftBytes >= least && isFrugal || isResident else { return nil }
        let resident = WeightPlan.bytesResident(manifest, tokensPerStep: tokens)
        return WeightPlan(
            manifest, bytesMax: isResident ? resident : min(resident, fixed.leftBytes),
            tokensPerStep: tokens, sparse: choice.sparse)
    }

    private static func refusal(
        _ problem: DivisionProblem, _ choice: DivisionChoice, _ contextTokens: Int
    ) -> LoadError {
        let short = min(contextTokens, KVLayout.pageTokens)
        var error = BudgetError(
            needed: least(problem, choice, contextTokens), contextTokens: contextTokens,
            shortContextTokens: short, shortContextBytes: least(problem, choice, short).sumBytes)
        error.fitting = fitting(problem, choice, contextTokens)
        return .budget(error)
    }

    /// The longest contexts that fit: as keys and values are to be kept, and, where that is not
    /// long enough, at the widest width at which it is, or the narrowest.
    private static func fitting(
        _ problem: DivisionProblem, _ choice: DivisionChoice, _ wanted: Int
    ) -> [FittingContext] {
        let own = problem.wishes.kvFormat
        let narrower = KVBits.allCases.sorted(by: >).filter { $0 < max(own.keys, own.values) }
        var found: [FittingContext] = []
        let formats = [own] + narrower.map { KVFormat($0) }
        for format in formats where problem.shape.keyValueFormat(wished: format) == format {
            var problem = problem
            problem.wishes.kvFormat = format
            // In pages: `low` fits, what is above `high` does not.
            var (low, high) = (0, wanted / KVLayout.pageTokens)
            while low < high {
                let middle = (low + high + 1) / 2
                let needed = least(problem, choice, middle * KVLayout.pageTokens)
                if needed.leftBytes >= 0 { low = middle } else { high = middle - 1 }
            }
            // Of the narrower ones, one is enough.
            if found.count > 1 { found.removeLast() }
            if low > 1 {
                let tokens = low * KVLayout.pageTokens
                found.append(FittingContext(contextTokens: tokens, kvBits: "\(format)"))
            }
            if low == wanted / KVLayout.pageTokens { break }
        }
        return found
    }

    /// What is tried last: the least that could do.
    private static func least(
        _ problem: DivisionProblem, _ choice: DivisionChoice, _ contextTokens: Int
    ) -> MemoryPlan {
        let manifest = problem.manifest
        let layout = problem.layout(contextTokens: contextTokens)
        let cacheBytes =
            (try? problem.cacheBytes(layout, contextTokens))
            ?? layout.bytesNeeded(tokens: contextTokens)
        let activations = ActivationShape(
            problem.shape, bundlesNeurons: manifest.neurons != nil, tokensMax: tokensPerStepMin,
            passTokensMax: 0, logitsRowsMax: min(choice.logitsRowsMax, tokensPerStepMin),
            contextTokens: contextTokens,
            hotTokensMax: layout.hotTokensMax(contextTokens, poolBytes: cacheBytes))
        var needed = fixedTerms(problem, choice, cacheBytes, contextTokens, activations)
        needed.add(
            .leastWeights,
            WeightPlan.bytesMin(
                manifest, tokensPerStep: tokensPerStepMin, sparse: choice.sparse))
        return needed
    }

    /// Numbers of tokens that a layer computes together, and of tokens of a step, best first.
    private static func steps(
        _ problem: DivisionProblem, _ contextTokens: Int
    ) -> [(tokens: Int, passTokens: Int)] {
        let passTokens = passTokens(problem, contextTokens)
        var tokens = max(
            tokensPerStepMin, min(problem.wishes.prefillChunkTokens, contextTokens))
        var steps = [(tokens, passTokens)]
        while tokens > tokensPerStepMin {
            tokens = max(tokensPerStepMin, tokens / 2)
            steps.append((tokens, passTokens))
        }
        steps.append((tokens, 0))
        return steps
    }

    /// - Parameter share: memory that a context that nobody asked for may take.
    private static func contextTokens(_ wanted: Int, _ layout: KVLayout, _ share: Int) -> Int {
        let affordable = layout.tokenCount(bytesMax: share, tokensMax: wanted)
        return min(wanted, max(contextTokensMin, affordable))
    }

    /// Tokens that may wait in each layer for its weights: what this share of the limit holds.
    private static func passTokens(_ problem: DivisionProblem, _ contextTokens: Int) -> Int {
        if problem.wishes.isResident { return 0 }
        let affordable =
            problem.share.limitBytes / passShareDivisor
            / ActivationShape.waitingTokenBytes(problem.shape)
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
        _ problem: DivisionProblem, _ choice: DivisionChoice, _ cacheBytes: Int,
        _ contextTokens: Int, _ activations: ActivationShape
    ) -> MemoryPlan {
        let (manifest, tokenizer) = (problem.manifest, problem.model.tokenizer)
        let stateBytes = problem.layout.stateBytes
        var budget = problem.share
        budget.add(
            .vocabulary, tokenizer.residentBytes + problem.model.templates.byteCount)
        budget.add(.vectors, manifest.vectors.extent.byteCount)
        budget.add(.neuronScales, NeuronWeights.scalesBytes(manifest))
        budget.add(
            .directory,
            directoryBytes(manifest, isSparse: choice.sparse != nil)
                + (problem.model.model.seal?.byteCount ?? 0))
        let promptTokens = problem.wishes.promptTokensMax(contextTokens: contextTokens)
        budget.add(
            .promptText,
            PromptBuilder.workBytes(contextTokens: promptTokens)
                + (problem.sequencesMax - 1) * tokensBytes(promptTokens))
        // Who wants a vector has that in place of candidates.
        let samplerBytes = Sampler.bytesMax(
            vocabularySize: tokenizer.tokenCount, contextTokens: contextTokens)
        let vectorBytes = 2 * manifest.shape.width * MemoryLayout<Float>.stride
        budget.add(.sampler, problem.sequencesMax * max(samplerBytes, vectorBytes))
        if problem.model.dividesAnswers {
            budget.add(
                .answers,
                problem.sequencesMax * CallLimits.bytesMax(contextTokens: contextTokens))
        }
        budget.add(.keyValuePages, cacheBytes - stateBytes)
        budget.add(.states, stateBytes)
        budget.add(.activations, activations.byteCount)
        budget.add(.drafts, choice.speculationRoom.bytes)
        budget.add(.predictors, choice.predictorBytes)
        return budget
    }

    /// What a text's tokens take, and what is yet to be computed of them.
    fileprivate static func tokensBytes(_ count: Int) -> Int {
        2 * count * MemoryLayout<TokenID>.stride
    }

    /// The books: an entry per extent and expert, a checksum per page of the embeddings.
    private static func directoryBytes(_ manifest: PackedManifest, isSparse: Bool) -> Int {
        let extents = manifest.matrices.reduce(0) { $0 + $1.extentCount }
        let experts = manifest.experts.reduce(0) { $0 + $1.count }
        let bundles = (manifest.neurons ?? []).reduce(0) { $0 + $1.extentCount }
        return (extents + bundles) * 128 + experts * 96
            + manifest.rowTables.reduce(0) { $0 + (manifest[$1]?.pageChecksums.byteCount ?? 0) }
            + NeuronWeights.directoryBytes(manifest)
            + (isSparse ? NeuronWeights.booksBytes(manifest) : 0)
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

extension DivisionProblem {
    /// The longest context that nobody has to ask for.
    var contextTokensMost: Int {
        wishes.isResident
            ? min(shape.contextLength, ModelOptions.contextTokensResident) : shape.contextLength
    }

    /// How the KV cache keeps what is wished for: with cold spans where they are allowed.
    var layout: KVLayout {
        var layout = KVLayout(
            shape, format: wishes.kvFormat,
            tokensAtOnceMax: max(Division.tokensPerStepMin, wishes.prefillChunkTokens))
        layout = layout.withSequences(sequencesMax)
            .withStates(sequencesMax + statesKept(layout))
        // What later layers read too is read again by each of them: it stays in memory.
        guard !shape.sharesKeys else { return layout }
        let summarizes = wishes.coldTokensMax != nil && shape.choosesByKeys
        return wishes.kvBytesMax.map {
            layout.withColdSpans(poolBytes: $0, summarizes: summarizes)
        } ?? layout
    }

    /// States of earlier texts that are kept beside the one that is open.
    private func statesKept(_ layout: KVLayout) -> Int {
        if let count = wishes.measuring.statesKept { return count }
        guard layout.hasStates, wishes.prefixes != .off else { return 0 }
        let share = share.limitBytes / Division.stateShareDivisor
        return min(Division.statesKeptMax, share / layout.states.byteCount)
    }

    /// The same for sequences of `contextTokens`: nothing goes to flash where all fits.
    func layout(contextTokens: Int) -> KVLayout {
        let (cold, warm) = (layout, layout.withoutColdSpans)
        let isWhole = warm.byteCount(tokens: contextTokens) <= wishes.kvBytesMax ?? .max
        return isWhole ? warm : cold
    }

    /// Bytes of the KV pool: all that a sequence needs, or what it may have of that.
    ///
    /// - Throws: `LoadError.keyValueMemory` where that is less than the least.
    func cacheBytes(_ layout: KVLayout, _ contextTokens: Int) throws(LoadError) -> Int {
        let whole = layout.byteCount(tokens: contextTokens)
        guard let most = wishes.kvBytesMax else { return whole }
        let needed = layout.bytesNeeded(tokens: contextTokens)
        guard needed <= most else {
            throw .keyValueMemory(
                bytesMax: most, needed: needed, contextTokens: contextTokens)
        }
        return min(most, whole)
    }

    /// Memory that a context that nobody asked for may take of the limit.
    func kvShare(_ limit: Int) -> Int {
        wishes.kvBytesMax ?? limit / Division.contextShareDivisor
    }
}
