// One generation from its prompt to its last token: what is still to be computed, how tokens become
// text, and when it ends. Touches no weights.

package import AnswerParsing
package import Constraints
package import GenerationAPI
package import Inference
internal import LinuxSystem
package import ModelFormat
package import SequenceState
package import Tokenization

/// Everything a generation needs that was decided at admission.
package struct Admission {
    let order: GenerationOrder
    let prompt: [TokenID]
    /// How the answer is taken apart; nil is not at all.
    let plan: AnswerPlan?
    /// What the answer is held to.
    let constraint: ConstraintMatcher?
    let sequence: SequenceID
    /// Places in its page tables that it has at most.
    let placesMax: Int
    /// Whether it is promised pages as it grows, and may be suspended: what it has can be computed
    /// again.
    let grows: Bool
    /// What of the prompt the sequence has already.
    let found: FoundPrefix
    let sampler: Sampler
    let tokensMax: Int
    /// Positions of the model's context.
    let contextTokens: Int
    /// Tokens that the sequence keeps where it slides; nil where it has room for all.
    let slidingTokens: Int?
    /// Of its pages on flash, those that a token of the answer reads in a layer; nil reads all.
    let coldPagesMax: Int?
    /// Tokens of the prompt that are kept, at least, where it is longer; nil keeps all.
    let keptTokens: Int?
    /// What chooses those, before any other is computed; nil keeps them when all are computed.
    let filter: PromptFilter?
    /// What a vector is made of; nil where an answer is wanted.
    let embedding: EmbeddingSum?
    let submittedNanoseconds: UInt64
    /// Tokens of the text that drafts are looked for in; nil where nothing is drafted.
    let draftWindowTokens: Int?

    /// - Parameters:
    ///   - placesMax: in its page tables, that the sequence has at most.
    ///   - grows: whether it is promised pages as it grows, and may be suspended.
    ///   - tokensMax: to be generated, at least one.
    ///   - contextTokens: positions of the model's context.
    ///   - slidingTokens: that the sequence keeps where it slides; nil where it has room for all.
    ///   - coldPagesMax: of its pages on flash, those that a token of the answer reads in a layer.
    ///   - draftWindowTokens: of the text that drafts are looked for in; nil drafts nothing.
    package init(
        order: GenerationOrder, prompt: [TokenID], plan: AnswerPlan? = nil,
        constraint: ConstraintMatcher? = nil, sequence: SequenceID,
        placesMax: Int = .max, grows: Bool = false,
        found: FoundPrefix = FoundPrefix(), sampler: Sampler,
        tokensMax: Int, contextTokens: Int, slidingTokens: Int? = nil,
        keptTokens: Int? = nil, coldPagesMax: Int? = nil, filter: PromptFilter? = nil,
        embedding: EmbeddingSum? = nil, submittedNanoseconds: UInt64, draftWindowTokens: Int?
    ) {
        self.order = order
        self.prompt = prompt
        self.plan = plan
        self.constraint = constraint
        self.sequence = sequence
        self.placesMax = placesMax
        self.grows = grows
        self.found = found
        self.sampler = sampler
        self.tokensMax = tokensMax
        self.contextTokens = contextTokens
        self.slidingTokens = slidingTokens
        self.coldPagesMax = coldPagesMax
        self.keptTokens = keptTokens
        self.filter = filter
        self.embedding = embedding
        self.submittedNanoseconds = submittedNanoseconds
        self.draftWindowTokens = draftWindowTokens
    }
}

/// A generation in progress. One timeline in the KV cache.
package final class Session {
    package let id: Int
    package private(set) var sequence: SequenceID
    /// Places in its page tables that it has at most.
    let placesMax: Int
    private let grows: Bool
    package private(set) var statistics = GenerationStatistics()
    private let order: GenerationOrder
    private let tokenizer: Tokenizer
    private let tokensMax: Int
    private let onEvent: @Sendable (GenerationEvent) -> Void
    private let startedNanoseconds: UInt64
    private var firstTokenNanoseconds: UInt64?
    private var sampler: Sampler
    /// What the answer is held to; nil where it is free.
    private let constraint: ConstraintMatcher?
    private var answer: AnswerStream
    /// Tokens not yet computed: the rest of the prompt, or the last token sampled.
    private var pending: ArraySlice<TokenID>
    private var position: Int
    /// Tokens after which what is oldest is forgotten; nil where there is room for all.
    private let slidingTokens: Int?
    private let coldPagesMax: Int?
    /// Tokens of the prompt that are kept; nil keeps all.
    private let keptTokens: Int?
    /// Whether they are kept when all are computed.
    private let gathersLater: Bool
    /// What chooses them; nil where all are computed, and when they are chosen.
    private var filter: PromptFilter?
    /// Whether anything was forgotten.
    private var hasSlid = false
    /// Whether what the sequence has is a prefix.
    private var isPrefix: Bool
    /// The prompt, and what was sampled since; nothing any more once something was forgotten.
    private var tokens: [TokenID]
    private var drafting: Drafting?
    /// Drafts of the present pass that are still to be compared with what is sampled.
    private var drafts: ArraySlice<TokenID> = []
    private var embedding: EmbeddingSum?
    /// The one event that ends a session was sent.
    package private(set) var isFinished = false

    package init(
        id: Int, _ admission: Admission, tokenizer: Tokenizer,
        onEvent: @escaping @Sendable (GenerationEvent) -> Void
    ) {
        self.id = id
        sequence = admission.sequence
        placesMax = admission.placesMax
        grows = admission.grows
        order = admission.order
        sampler = admission.sampler
        constraint = admission.constraint
        tokensMax = admission.tokensMax
        slidingTokens = admission.slidingTokens
        coldPagesMax = admission.coldPagesMax
        keptTokens = admission.keptTokens
        filter = admission.filter
        embedding = admission.embedding
        gathersLater = admission.filter == nil
        isPrefix = admission.filter == nil
        position = admission.found.tokenCount
        tokens = admission.prompt
        pending = admission.prompt[position...]
        answer = AnswerStream(
            tokenizer, stopStrings: admission.order.stopStrings, plan: admission.plan,
            allowsParallelCalls: admission.order.allowsParallelCalls)
        self.tokenizer = tokenizer
        self.onEvent = onEvent
        startedNanoseconds = MonotonicClock.nanoseconds
        statistics.promptTokens = admission.prompt.count
        statistics.contextTokens = admission.contextTokens
        statistics.cachedTokens = position
        statistics.cachedFrom = admission.found.source.map { $0 == .flash ? .flash : .memory }
        statistics.queueSeconds = Self.seconds(
            from: admission.submittedNanoseconds, to: startedNanoseconds)
        drafting = admission.draftWindowTokens.map { Drafting(windowTokens: $0) }
        for token in admission.prompt {
            sampler.accept(token)
            drafting?.read(token)
        }
    }

    /// Whether everything before its last token is computed, and one token follows the other.
    package var isDecoding: Bool { firstTokenNanoseconds != nil && pending.count == 1 }

    /// Tokens that are known and not computed yet.
    package var pendingCount: Int { pending.count }

    package var client: ClientID { order.client }

    /// Whether it can give up its pages and go on later: all that it has can be computed again.
    var maySuspend: Bool { grows && isPrefix && !hasSlid }

    /// All tokens that are known: the prompt, and what was sampled.
    var knownTokens: [TokenID] { tokens }

    func noteSuspension() { statistics.suspensionCount += 1 }

    /// Goes on with another sequence, which has what was found of its tokens.
    func resume(with sequence: SequenceID, _ found: FoundPrefix) {
        self.sequence = sequence
        position = found.tokenCount
        pending = tokens[position...]
        embedding?.reset()
    }

    /// Whether tokens of the prompt are still to be chosen: steps of that are its own.
    package var isFiltering: Bool { filter != nil }

    /// The next tokens of the pass that says which ones are computed, at most `tokensMax`.
    private func nextFilteredChunk(_ filter: PromptFilter, tokensMax: Int) -> SequenceChunk {
        let tokens = pending.prefix(tokensMax)
        var chunk = SequenceChunk(
            sequence: sequence, tokens: Array(tokens), firstPosition: position, logits: .none)
        chunk.filter = PromptFilter(
            layer: filter.layer, chosenCount: tokens.count == pending.count ? keptTokens : nil)
        return chunk
    }

    /// Computes the tokens at these places of the prompt, and no others.
    func beginAnew(with places: [Int]) {
        filter = nil
        tokens = places.map { tokens[$0] }
        pending = tokens[...]
        position = 0
    }

    /// The next tokens to compute, at most `tokensMax`.
    package func nextChunk(tokensMax: Int) -> SequenceChunk {
        if let filter { return nextFilteredChunk(filter, tokensMax: tokensMax) }
        let most = slidingTokens.map { KVCache.slidingStepTokensMax(tokens: $0) } ?? tokensMax
        var count = min(tokensMax, most, pending.count)
        let isGathered = keptTokens != nil && gathersLater && !isDecoding
        if isGathered { count = PromptSelection.stepTokens(of: pending.count, atMost: count) }
        let isLast = count == pending.count
        var chunk = SequenceChunk(
            sequence: sequence, tokens: Array(pending.prefix(count)), firstPosition: position,
            logits: isLast && embedding == nil ? .last : .none,
            coldPagesMax: isDecoding ? coldPagesMax : nil)
        if isGathered, isLast {
            chunk.keptTokens = keptTokens.map {
                KVLayout.gatheredTokens(kept: $0, of: position + count)
            }
        }
        return chunk
    }

    /// The last token and drafts of those after it, at most `draftsMax`.
    package func nextChunk(
        draftsMax: Int, _ control: inout SpeculationControl
    ) -> SequenceChunk {
        var chunk = nextChunk(tokensMax: 1)
        // The last token of all needs no logits after it.
        var room = min(draftsMax, tokensMax - statistics.generatedTokens - 1)
        // Nor may drafts change when a sequence slides.
        if let slidingTokens, slidingTokens > position {
            room = min(room, slidingTokens - position - 1)
        }
        guard let drafting, room > 0 else { return chunk }
        let (tokens, probabilities) = drafting.drafts(count: room)
        // Nothing follows an end: its logits would not be looked at.
        var useful = tokens.prefix { !tokenizer.isEndOfGeneration($0) }
        // Nor does a token that will not be chosen.
        if let constraint { useful = useful.prefix(constraint.allowedCount(useful)) }
        let count = control.draftCount(Array(probabilities.prefix(useful.count)))
        guard count > 0 else { return chunk }
        drafts = useful.prefix(count)
        chunk.tokens += drafts
        chunk.logits = .all
        return chunk
    }

    /// Who may be given what was computed; nil where nobody knows, or where it is no prefix any
    /// more.
    var owner: PrefixOwner? {
        isPrefix && !hasSlid && embedding == nil ? order.client.prefixOwner : nil
    }

    /// What the sequence has is no prefix any more.
    func forgetOwner() { isPrefix = false }

    /// Positions whose keys and values count.
    var computedCount: Int { position }

    /// Tokens whose keys and values the sequence has.
    package var computedTokens: [TokenID] { Array(tokens.prefix(position)) }

    /// Whether what is oldest is forgotten when its room is full.
    var slides: Bool { slidingTokens != nil }

    /// What was computed, and what follows, comes so many tokens earlier in the page tables.
    func moveUp(by count: Int) {
        guard count > 0 else { return }
        position -= count
        hasSlid = true
        tokens = []
    }

    /// The chunk was computed. Without logits there is more of the prompt; with them,
    /// ``sample(_:)`` follows. A draft's position counts only once the draft was sampled; the next
    /// chunk overwrites what else is in the KV cache.
    package func advance(_ chunk: SequenceChunk) {
        let computed = chunk.tokens.count - drafts.count
        position += computed
        pending = pending.dropFirst(computed)
        if order.reportsProgress, firstTokenNanoseconds == nil { tellProgress() }
        statistics.draftedTokens += drafts.count
    }

    private func tellProgress() {
        let done = min(position, statistics.promptTokens)
        onEvent(
            .progress(
                PromptProgress(
                    tokens: statistics.promptTokens, cachedTokens: statistics.cachedTokens,
                    doneTokens: done,
                    seconds: Self.seconds(
                        from: startedNanoseconds, to: MonotonicClock.nanoseconds))))
    }

    /// Chooses the next token from the logits after the last token computed, or after the last
    /// draft that was right.
    ///
    /// - Returns: whether that token was drafted, and the next row holds the logits after it.
    package func sample(_ logits: Span<Float>) -> Bool {
        noteFirstToken()
        guard let token = choose(logits) else { return false }
        if tokenizer.isEndOfGeneration(token) {
            finish(.stop)
            return false
        }
        sampler.accept(token)
        if !hasSlid { tokens.append(token) }
        drafting?.learn(token)
        let isDrafted = drafts.popFirst() == token
        if isDrafted { statistics.acceptedTokens += 1 }
        emit(token, logits)
        guard !isFinished, isDrafted else {
            drafts = []
            pending = [token]
            return false
        }
        position += 1
        return true
    }

    /// The next token, one that the answer's constraint allows; nil, and the session has failed,
    /// where there is none.
    private func choose(_ logits: Span<Float>) -> TokenID? {
        guard let constraint else { return sampler.sample(logits) }
        let chosen =
            switch constraint.selection(candidatesMax: sampler.candidatesMax) {
            case .few(let tokens): sampler.sample(logits, among: tokens)
            case .mask(let mask): sampler.sample(logits) { mask.contains($0.index) }
            case .each: constraint.withChecks { sampler.sample(logits, where: $0) }
            }
        do throws(ConstraintError) {
            guard let chosen else {
                throw .tooLarge("no token of the model's goes on as the answer has to")
            }
            if tokenizer.isEndOfGeneration(chosen) { return chosen }
            guard try constraint.accept(chosen) else {
                throw .tooLarge("there is no room for how the answer goes on")
            }
            return chosen
        } catch {
            fail(
                GenerationError(
                    .invalidRequest, "\(error)", parameter: order.formatParameter))
            return nil
        }
    }

    private func noteFirstToken() {
        guard firstTokenNanoseconds == nil else { return }
        let now = MonotonicClock.nanoseconds
        firstTokenNanoseconds = now
        statistics.promptSeconds = Self.seconds(from: startedNanoseconds, to: now)
        statistics.timeToFirstTokenSeconds = statistics.queueSeconds + statistics.promptSeconds
    }

    /// Tells the text of a token, and ends the session where it says so.
    private func emit(_ token: TokenID, _ logits: Span<Float>) {
        statistics.generatedTokens += 1
        let (parts, isStopped) = answer.append(token)
        var report =
            order.alternativesReported.map {
                [probabilities(of: token, logits, alternatives: $0)]
            } ?? []
        for part in parts {
            if case .content(let text) = part {
                onEvent(.text(text, probabilities: report))
                report = []
            } else {
                tell(part)
            }
        }
        if !report.isEmpty { onEvent(.text("", probabilities: report)) }
        if isStopped || answer.isComplete { return finish(.stop, flushes: false) }
        // Nothing could follow but the end.
        if let constraint, constraint.isComplete { finish(.stop) }
        if statistics.generatedTokens >= tokensMax { finish(.length) }
    }

    private func tell(_ part: AnswerPart) {
        switch part {
        case .content(let text): onEvent(.text(text, probabilities: []))
        case .reasoning(let text): onEvent(.reasoning(text))
        case .callBegan(let index, let id, let name):
            onEvent(.toolCall(.began(index: index, id: id, name: name)))
        case .arguments(let index, let text):
            onEvent(.toolCall(.arguments(index: index, text)))
        case .callEnded(let index): onEvent(.toolCall(.ended(index: index)))
        }
    }

    /// Ends the session with its statistics.
    package func finish(_ reason: FinishReason, flushes: Bool = true) {
        guard !isFinished else { return }
        answer.finish(flushes: flushes).forEach(tell)
        statistics.stopString = answer.stopString
        let reason = reason == .stop && answer.hasCalled ? .toolCalls : reason
        let now = MonotonicClock.nanoseconds
        statistics.generateSeconds = Self.seconds(from: firstTokenNanoseconds ?? now, to: now)
        isFinished = true
        onEvent(.finished(reason, statistics))
    }

    /// Ends the session with an error.
    package func fail(_ error: GenerationError) {
        guard !isFinished else { return }
        isFinished = true
        onEvent(.failed(error))
    }

    /// Adds its share of what a step read from flash.
    package func charge(_ cost: StepCost, keyValueBytes: Int) {
        statistics.flashBytes += cost.flashBytes
        statistics.bundleHits += cost.bundleHits
        statistics.bundleMisses += cost.bundleMisses
        statistics.keyValueBytes = keyValueBytes
    }

    private func probabilities(
        of token: TokenID, _ logits: Span<Float>, alternatives: Int
    ) -> (chosen: TokenProbability, alternatives: [TokenProbability]) {
        let report = Sampler.logProbabilities(of: token, topCount: alternatives, in: logits)
        func described(_ token: TokenID, _ logProbability: Float) -> TokenProbability {
            TokenProbability(
                token: token, bytes: tokenizer.bytes(of: token), logProbability: logProbability)
        }
        return (
            described(token, report.chosen),
            report.alternatives.map { described($0.token, $0.logProbability) }
        )
    }

    private static func seconds(from start: UInt64, to end: UInt64) -> Double {
        Double(end - start) / 1e9
    }
}

// MARK: vectors

extension Session {
    /// Whether a vector is wanted, and no answer.
    var wantsEmbedding: Bool { embedding != nil }

    /// Tokens of a chunk that was computed, of which the vector is made.
    func pooledRows(of chunk: SequenceChunk) -> Range<Int> {
        embedding?.rows(of: chunk, isLast: pending.isEmpty) ?? 0..<0
    }

    /// Adds a token.
    func pool(_ hidden: Span<Float>) { embedding?.add(hidden) }

    /// Tells the vector, where all of the text is computed.
    func finishEmbedding() {
        guard let embedding, pending.isEmpty else { return }
        noteFirstToken()
        do throws(GenerationError) {
            onEvent(.embedding(try embedding.vector))
            finish(.stop)
        } catch {
            fail(error)
        }
    }
}

extension ClientID {
    /// Whose prefixes it finds; nil finds none.
    var prefixOwner: PrefixOwner? { user.map { .user($0) } }
}
