// Numbers instead of text: log-likelihood, logits and the greedy continuation of a token sequence,
// for comparison with other implementations and for perplexity.

package import FlashStorage
internal import GenerationAPI
internal import Inference
package import LinuxSystem
package import ModelFormat
package import Models
internal import SequenceState
internal import Tokenization

/// What an evaluation found. Field for field the schema of the reference script.
package struct Evaluation: Sendable, Equatable {
    package var tokens: [TokenID]
    /// The likeliest continuation, token by token.
    package var greedy: [TokenID] = []
    /// For the last position; one per token of the vocabulary.
    package var logits: [Float] = []
    /// Mean negative natural-log likelihood of all scored tokens; 0 when there is none.
    package var meanLoss = 0.0
    package var scoredTokens = 0
}

/// Why an evaluation could not be made.
package enum EvaluationError: Error, Sendable, CustomStringConvertible {
    case noTokens
    case tokenOutsideVocabulary(TokenID, vocabularySize: Int)
    /// Longer than what can be in memory at once, of which some tokens alone are to be kept.
    case promptTooLong(tokens: Int, tokensMax: Int)
    case read(ReadFailure)

    package var description: String {
        switch self {
        case .noTokens: "there are no tokens to evaluate"
        case .tokenOutsideVocabulary(let token, let size):
            "token \(token.rawValue) is outside the vocabulary of \(size)"
        case .promptTooLong(let tokens, let most):
            "a prompt of \(tokens) tokens, of which some are to be kept, does not fit in memory: "
                + "\(most) do"
        case .read(let failure): "\(failure)"
        }
    }
}

/// Scores sequences with a model. The model must allow as many logits rows as a step has tokens.
package struct Evaluator {
    private let model: ModelInstance

    package init(model: ModelInstance) { self.model = model }

    /// Scores `tokens`, and continues them greedily by up to `generate` tokens.
    ///
    /// A sequence longer than the context is scored in windows of that many tokens, each from
    /// scratch; the continuation follows the last window, as far as the context has room. A model
    /// that slides has one window, and it moves along.
    ///
    /// - Parameters:
    ///   - promptTokens: of these that are a prompt: they are not scored, and of them is kept what
    ///     the model's options say, where nothing slides.
    ///   - onProgress: told the share of the work that is done, 0...1.
    package func evaluate(
        _ tokens: [TokenID], generate: Int, promptTokens: Int = 0,
        onProgress: (Double) -> Void = { _ in }
    ) throws(EvaluationError) -> Evaluation {
        try check(tokens)
        if promptTokens > 0, model.keepsSome, promptTokens > model.gatheredTokensMax {
            throw .promptTooLong(tokens: promptTokens, tokensMax: model.gatheredTokensMax)
        }
        let total = Double(tokens.count + generate)
        var evaluation = Evaluation(tokens: tokens)
        var lossSum = 0.0
        do throws(ReadFailure) {
            var start = 0
            while start < tokens.count {
                let end = slides(tokens, generate) ? tokens.count : start + model.contextTokens
                let window = tokens[start..<min(end, tokens.count)]
                let before = start
                start = window.endIndex
                lossSum += try score(
                    Array(window), generate: start == tokens.count ? generate : 0,
                    promptTokens: before == 0 ? promptTokens : 0, &evaluation
                ) { onProgress(Double(before + $0) / total) }
            }
        } catch {
            throw .read(error)
        }
        evaluation.meanLoss = lossSum / Double(max(1, evaluation.scoredTokens))
        return evaluation
    }

    /// Computes `tokens`, in windows as ``evaluate(_:generate:onProgress:)`` does, and looks at no
    /// logits: for what is seen on the way.
    package func compute(_ tokens: [TokenID]) throws(EvaluationError) {
        try check(tokens)
        do throws(ReadFailure) {
            for start in stride(from: 0, to: tokens.count, by: model.contextTokens) {
                try compute(window: tokens[start..<min(start + model.contextTokens, tokens.count)])
            }
        } catch {
            throw .read(error)
        }
    }

    private func compute(window: ArraySlice<TokenID>) throws(ReadFailure) {
        let sequence = openSequence()
        defer { model.cache.close(sequence) }
        var rest = window
        while !rest.isEmpty {
            let chunk = rest.prefix(model.prefillChunkTokens)
            try model.transformer.forward(
                StepPlan(chunks: [
                    SequenceChunk(
                        sequence: sequence, tokens: Array(chunk),
                        firstPosition: rest.startIndex - window.startIndex, logits: .none)
                ]))
            rest = rest.dropFirst(chunk.count)
        }
    }

    private func check(_ tokens: [TokenID]) throws(EvaluationError) {
        guard !tokens.isEmpty else { throw .noTokens }
        let size = model.tokenizer.tokenCount
        if let wrong = tokens.first(where: { $0.index < 0 || $0.index >= size }) {
            throw .tokenOutsideVocabulary(wrong, vocabularySize: size)
        }
    }

    /// Whether tokens are more than the context holds, and go on all the same.
    private func slides(_ tokens: [TokenID], _ generate: Int) -> Bool {
        model.whenFull == .slide && slidingTokens != nil
            && tokens.count + generate > model.contextTokens
    }

    private var slidingTokens: Int? {
        model.cache.slidingTokens(tokensMax: model.contextTokens)
    }

    /// Tokens that a sequence keeps.
    private func cacheTokens(_ slides: Bool) -> Int {
        (slides ? slidingTokens : nil) ?? model.contextTokens
    }

    private func openSequence(slides: Bool = false, staysInMemory: Bool = false) -> SequenceID {
        let tokens = staysInMemory ? model.gatheredTokensMax : cacheTokens(slides)
        let opened = model.cache.open(
            tokensMax: tokens, slides: slides, summarizes: model.coldTokensMax != nil,
            staysInMemory: staysInMemory)
        guard let sequence = opened else {
            preconditionFailure("the pool holds one sequence of the whole context")
        }
        return sequence
    }

    /// One window from scratch.
    ///
    /// - Parameter onProgress: told how many of its tokens are computed, generated ones included.
    /// - Returns: the sum of its tokens' losses.
    private func score(
        _ window: [TokenID], generate: Int, promptTokens: Int, _ evaluation: inout Evaluation,
        _ onProgress: (Int) -> Void
    ) throws(ReadFailure) -> Double {
        let slides = slides(window, generate)
        let keepsSome = promptTokens > 0 && model.keepsSome && !slides
        let sequence = openSequence(slides: slides, staysInMemory: keepsSome)
        defer { model.cache.close(sequence) }
        var loss = 0.0
        var position = 0
        // Of the next token, in the sequence's page tables.
        var place = 0
        if promptTokens > 0 {
            position = min(promptTokens, window.count - 1)
            try read(
                prompt: window[..<position], of: sequence, keepsSome: keepsSome, at: &place)
        }
        let step = min(
            model.transformer.shape.logitsRowsMax,
            slides ? KVCache.slidingStepTokensMax(tokens: cacheTokens(slides)) : .max)
        while position < window.count {
            let end = min(position + step, window.count)
            try compute(window[position..<end], of: sequence, at: &place, logits: .all)
            for row in 0..<end - position where position + row + 1 < window.count {
                let target = window[position + row + 1]
                loss += model.transformer.withLogits(row: row) { Self.loss(of: target, $0) }
                evaluation.scoredTokens += 1
            }
            if end == window.count {
                evaluation.logits = lastLogits(row: end - position - 1)
            }
            position = end
            onProgress(position)
        }
        try continueGreedily(
            sequence, from: position, at: place, generate: generate, &evaluation, onProgress)
        return loss
    }

    private func continueGreedily(
        _ sequence: SequenceID, from start: Int, at place: Int, generate: Int,
        _ evaluation: inout Evaluation, _ onProgress: (Int) -> Void
    ) throws(ReadFailure) {
        guard generate > 0 else { return }
        var (position, place) = (start, place)
        let slides = slides(evaluation.tokens, generate)
        evaluation.greedy.append(Self.likeliest(evaluation.logits.span))
        while evaluation.greedy.count < generate, slides || place < model.contextTokens {
            try compute(
                evaluation.greedy.suffix(1), of: sequence, at: &place, logits: .last)
            position += 1
            evaluation.greedy.append(model.transformer.withLogits(row: 0) { Self.likeliest($0) })
            onProgress(position)
        }
    }

    /// Computes tokens at `place`, which moves behind them; where they do not fit any more, what is
    /// oldest gives way.
    private func compute(
        _ tokens: ArraySlice<TokenID>, of sequence: SequenceID, at place: inout Int,
        logits: SequenceChunk.Logits
    ) throws(ReadFailure) {
        var chunk = SequenceChunk(
            sequence: sequence, tokens: Array(tokens), firstPosition: place, logits: logits,
            coldPagesMax: model.coldPagesMax)
        _ = model.transformer.makeRoom(for: &chunk, keepsSinks: model.keepsSinks)
        try model.transformer.forward(StepPlan(chunks: [chunk]))
        place = chunk.firstPosition + tokens.count
    }

    private func lastLogits(row: Int) -> [Float] {
        model.transformer.withLogits(row: row) { logits in
            logits.indices.map { logits[$0] }
        }
    }

    static func loss(of token: TokenID, _ logits: Span<Float>) -> Double {
        -Double(Sampler.logProbabilities(of: token, topCount: 0, in: logits).chosen)
    }

    private static func likeliest(_ logits: Span<Float>) -> TokenID {
        var best = 0
        for index in 1..<logits.count where logits[index] > logits[best] { best = index }
        return TokenID(best)
    }
}

extension EvaluationError: EndingError {
    package var exitStatus: ExitStatus {
        switch self {
        case .noTokens, .tokenOutsideVocabulary, .promptTooLong: .usage
        case .read(let failure): failure.exitStatus
        }
    }
}

extension Evaluator {
    /// Computes a prompt.
    ///
    /// - Parameter keepsSome: whether of it is kept what the model's options say.
    private func read(
        prompt: ArraySlice<TokenID>, of sequence: SequenceID, keepsSome: Bool,
        at place: inout Int
    ) throws(ReadFailure) {
        var rest = prompt
        if keepsSome, let count = model.gemTokens, count < prompt.count {
            rest = try choose(count, of: prompt, of: sequence)[...]
        }
        let keepsSome = keepsSome && rest.count == prompt.count
        while !rest.isEmpty {
            let count = PromptSelection.stepTokens(
                of: rest.count, atMost: model.prefillChunkTokens)
            var chunk = SequenceChunk(
                sequence: sequence, tokens: Array(rest.prefix(count)), firstPosition: place,
                logits: .none)
            _ = model.transformer.makeRoom(for: &chunk, keepsSinks: model.keepsSinks)
            place = chunk.firstPosition + count
            rest = rest.dropFirst(count)
            if keepsSome, rest.isEmpty, let kept = model.snapTokens {
                chunk.keptTokens = KVLayout.gatheredTokens(
                    kept: kept + PromptSelection.queryTokens, of: place)
            }
            try model.transformer.forward(StepPlan(chunks: [chunk]))
            guard let kept = chunk.keptTokens else { continue }
            model.cache.noteGathering(sequence, pages: (place - kept) / KVLayout.pageTokens)
            place = kept
        }
    }

    /// The tokens of a prompt that are computed; the sequence has none of them yet.
    private func choose(
        _ chosenCount: Int, of prompt: ArraySlice<TokenID>, of sequence: SequenceID
    ) throws(ReadFailure) -> [TokenID] {
        guard let layer = model.gemLayer else { return Array(prompt) }
        var rest = prompt
        while !rest.isEmpty {
            var chunk = SequenceChunk(
                sequence: sequence, tokens: Array(rest.prefix(model.prefillChunkTokens)),
                firstPosition: prompt.count - rest.count, logits: .none)
            rest = rest.dropFirst(chunk.tokens.count)
            chunk.filter = PromptFilter(
                layer: layer, chosenCount: rest.isEmpty ? chosenCount : nil)
            try model.transformer.forward(StepPlan(chunks: [chunk]))
        }
        model.cache.truncate(sequence, to: 0)
        return model.transformer.chosenPlaces.map { prompt[prompt.startIndex + $0] }
    }
}
