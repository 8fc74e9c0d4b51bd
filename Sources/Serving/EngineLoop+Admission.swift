// From an order that waits to a session: its prompt becomes tokens at the desk, then it waits until
// the KV cache has room.

internal import GenerationAPI
internal import Inference
internal import LinuxSystem
internal import ModelFormat
internal import Models
internal import SequenceState
internal import Tokenization

extension EngineLoop {
    /// Whether an order may be taken up whose turn it is.
    var mayAdmit: Bool { queue.count > 0 && !isHeldUp && preparing.count < Engine.jobsMax }

    /// Takes up waiting orders while there is room: their prompts go to the desk. Orders for
    /// another model wait until those before them are done with, and others behind them.
    func admit() {
        while !isStopped, mayAdmit, let first = queue.first {
            do {
                guard let open = try openModel(for: first.order.model), open.hasPlace else {
                    isHeldUp = true
                    return
                }
                if let waiting = takeWaiting() { prepare(waiting, open) }
            } catch {
                takeWaiting()?.onEvent(.failed(error))
            }
        }
    }

    private func prepare(_ waiting: WaitingOrder, _ open: OpenModel) {
        open.keepAlive = waiting.order.keepAlive ?? options.keepAlive
        let builder = PromptBuilder(open.model, progress: status.progress)
        let order = waiting.order
        let job = PromptJob(id: waiting.id) { isCancelled in
            Result { () throws(GenerationError) in
                try builder.prepare(order, isCancelled: isCancelled)
            }
        }
        preparing[waiting.id] = Preparation(waiting: waiting, open: open, job: job)
        open.preparingCount += 1
        desk.post(job)
    }

    /// Takes in prompts that have become tokens.
    func startPrepared() {
        for (job, outcome) in desk.takeFinished() {
            guard let preparation = preparing.removeValue(forKey: job.id) else { continue }
            let (waiting, open) = (preparation.waiting, preparation.open)
            open.preparingCount -= 1
            noteLess(of: open)
            if job.isCancelled { continue }
            do throws(GenerationError) {
                if let problem = open.problem { throw problem }
                let prompt = try outcome.get()
                if let told = prompt.told {
                    waiting.onEvent(.started(model: open.name, promptTokens: 0))
                    waiting.onEvent(told)
                    waiting.onEvent(.finished(.stop, GenerationStatistics()))
                    continue
                }
                open.ready.append(ReadyOrder(waiting: waiting.withoutPrompt, prompt: prompt))
            } catch {
                waiting.onEvent(.failed(error))
            }
        }
    }

    /// Begins an order where there is room for it.
    ///
    /// - Returns: nil where it has to wait for others to end.
    /// - Throws: `GenerationError` where it never could.
    func begin(_ ready: ReadyOrder, in open: OpenModel) throws(GenerationError) -> Session? {
        let (model, order, prompt) = (open.model, ready.waiting.order, ready.prompt.tokens)
        if case .embedding(let rules) = order.wanted {
            return try beginEmbedding(ready, rules, in: open)
        }
        guard try keepsKeysAndValues(as: order, open) else { return nil }
        let room = try room(for: prompt, order, in: open)
        let sampler = try sampler(for: order, model)
        let constraint = try ready.prompt.matcher(for: order)
        let tokensMax = min(order.tokensMax ?? room.tokensMax, room.tokensMax)
        guard tokensMax > 0 else {
            throw GenerationError(
                .invalidRequest, "max_tokens must be at least 1", parameter: "max_tokens")
        }
        // Of what is gathered nothing is on flash.
        let coldPagesMax = room.keptTokens == nil ? try coldPagesMax(order, model) : nil
        let placesMax = room.placesMax(promptTokens: prompt.count, tokensMax: tokensMax)
        let grows = room.growsByPages && !model.cache.layout.hasColdSpans
        if grows, !hasPages(for: prompt.count, upTo: placesMax, in: open) { return nil }
        let begun = model.cache.begin(
            prompt: room.remembered(of: prompt), tokensMax: placesMax,
            promised: grows ? firstPromise(prompt.count, upTo: placesMax) : nil,
            slides: room.slidingTokens != nil, summarizes: coldPagesMax != nil,
            staysInMemory: room.keptTokens != nil, owner: order.client.prefixOwner)
        guard let (sequence, found) = begun else {
            guard open.scheduler.running.isEmpty else { return nil }
            throw noPages(model, tokens: prompt.count + tokensMax, summarizes: coldPagesMax != nil)
        }
        let admission = Admission(
            order: order, prompt: prompt, plan: ready.prompt.plan, constraint: constraint,
            sequence: sequence,
            placesMax: placesMax, grows: grows, found: found, sampler: sampler,
            tokensMax: tokensMax, contextTokens: model.contextTokensNow,
            slidingTokens: room.slidingTokens, keptTokens: room.keptTokens,
            coldPagesMax: coldPagesMax, filter: room.filter,
            submittedNanoseconds: ready.waiting.submittedNanoseconds,
            draftWindowTokens: model.draftWindowTokens(of: prompt.count + tokensMax))
        return Session(
            id: ready.waiting.id, admission, tokenizer: model.tokenizer,
            onEvent: ready.waiting.onEvent)
    }

    func sampler(
        for order: GenerationOrder, _ model: ModelInstance
    ) throws(GenerationError) -> Sampler {
        let biases = try biases(of: order, model)
        do {
            return try Sampler(
                order.sampling, vocabularySize: model.tokenizer.tokenCount,
                contextTokens: model.contextTokens,
                suppressed: model.tokenizer.suppressed(includingEnds: order.ignoresEnd),
                biases: biases)
        } catch {
            throw GenerationError(.invalidRequest, "\(error)", parameter: error.parameter.rawValue)
        }
    }

    /// What an order adds to logits.
    private func biases(
        of order: GenerationOrder, _ model: ModelInstance
    ) throws(GenerationError) -> [TokenBias] {
        let count = model.tokenizer.tokenCount
        guard order.biases.allSatisfy({ $0.token < count }) else {
            throw GenerationError(
                .invalidRequest, "logit_bias: a token outside the vocabulary of \(count)",
                parameter: "logit_bias")
        }
        return order.biases
    }

    /// Sees that the cache keeps keys and values as an order says.
    ///
    /// - Returns: false while others keep them otherwise: pages are of one kind at a time.
    func keepsKeysAndValues(
        as order: GenerationOrder, _ open: OpenModel
    ) throws(GenerationError) -> Bool {
        let wished = try keyValueFormat(order, open.model)
        if wished == open.model.cache.layout.format { return true }
        guard open.scheduler.running.isEmpty else { return false }
        do {
            try open.model.cache.change(to: wished)
        } catch {
            throw GenerationError(.readFailed, "\(error)")
                .naming(open.name, insteadOf: open.model.path)
        }
        return true
    }

    /// What the context leaves for the answer, with keys and values kept as the order says.
    private func room(
        for prompt: [TokenID], _ order: GenerationOrder, in open: OpenModel
    ) throws(GenerationError) -> SequenceRoom {
        let model = open.model
        if try slides(order, model),
            let room = try SequenceRoom.sliding(promptTokens: prompt.count, order, model)
        {
            return room
        }
        let context = model.contextTokensNow
        guard context > prompt.count else {
            let reason =
                context < model.contextTokens
                ? "the KV pages hold no more at \(model.cache.layout.format) bits; "
                    + "\(model.contextTokens) at "
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
}
