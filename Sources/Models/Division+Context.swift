// How long the context is: what was asked for where it fits, and what nobody asked for as far as
// memory would else idle.

internal import Inference
internal import ModelFormat
internal import SequenceState
internal import Weights

extension DivisionProblem {
    /// With the context that is asked for, or with as much of what is wished for as fits.
    func asked(_ choice: DivisionChoice) throws(LoadError) -> Division {
        guard choice.contextTokens == nil, let wanted = wishes.contextTokensWanted else {
            return try Division(self, choice)
        }
        let most = min(wanted, shape.contextLength)
        if let all = try? with(most, choice) { return all }
        let least = try with(min(most, Division.contextTokensMin), choice)
        return least.lengthened(to: most, self, choice) { _ in true }
    }

    fileprivate func with(
        _ contextTokens: Int, _ choice: DivisionChoice
    ) throws(LoadError) -> Division {
        var choice = choice
        choice.contextTokens = contextTokens
        return try Division(self, choice)
    }
}

extension Division {
    /// A context that nobody asked for takes what else nobody uses.
    func grown(_ problem: DivisionProblem, _ choice: DivisionChoice) -> Self {
        let wishes = problem.wishes
        guard wishes.contextTokens == nil, wishes.contextTokensWanted == nil, !wishes.isResident
        else { return self }
        var choice = choice
        choice.logitsRowsMax = activations.logitsRowsMax
        choice.speculationRoom = speculationRoom
        return lengthened(to: problem.contextTokensMost, problem, choice) {
            $0.takesNothing(from: self)
        }
    }

    /// In a few words, why the context is as long as it is.
    func reasonOfContext(_ problem: DivisionProblem) -> String {
        if problem.wishes.contextTokens != nil { return "as asked" }
        if contextTokens == problem.shape.contextLength { return "the model's own" }
        if let wanted = problem.wishes.contextTokensWanted {
            return wanted == contextTokens ? "as asked" : "all that fits, of \(wanted) asked for"
        }
        return problem.wishes.isResident
            ? "enough to measure: --context asks for more"
            : "what weights leave of the memory: context_tokens asks for more, "
                + "and fewer kv_bits hold more"
    }

    /// The same with the longest context up to `most` that fits and is welcome.
    fileprivate func lengthened(
        to most: Int, _ problem: DivisionProblem, _ choice: DivisionChoice,
        isWelcome: (Self) -> Bool
    ) -> Self {
        // In pages: `low` fits, what is above `high` does not.
        var (low, high) = (
            contextTokens / KVLayout.pageTokens,
            (most + KVLayout.pageTokens - 1) / KVLayout.pageTokens
        )
        var best = self
        while low < high {
            let middle = (low + high + 1) / 2
            let tokens = min(most, middle * KVLayout.pageTokens)
            if tokens > best.contextTokens, let longer = try? problem.with(tokens, choice),
                isWelcome(longer)
            {
                best = longer
                low = middle
            } else {
                high = middle - 1
            }
        }
        return best
    }

    /// Whether nothing is smaller than in `other`: a longer context has used what was idle.
    private func takesNothing(from other: Self) -> Bool {
        tokensPerStep >= other.tokensPerStep
            && activations.tokensMax >= other.activations.tokensMax
            && activations.logitsRowsMax >= other.activations.logitsRowsMax
            && plan.pinnedBytes >= other.plan.pinnedBytes
            && plan.ringBytes >= other.plan.ringBytes
            && plan.expertSlotCount >= other.plan.expertSlotCount
            && plan.sparse?.rowCount ?? 0 >= other.plan.sparse?.rowCount ?? 0
    }
}
