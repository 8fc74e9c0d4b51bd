// How long the context is: what was asked for where it fits, and what nobody asked for as far as
// memory would else idle.

internal import Inference
internal import ModelFormat
internal import Weights

extension ModelSizing {
    /// With the context that is asked for, or with as much of what is wished for as fits.
    static func asked(_ parsed: ParsedModel, _ options: ModelOptions) throws(LoadError) -> Self {
        guard options.contextTokens == nil, let wanted = options.contextTokensWanted else {
            return try ModelSizing(parsed, options)
        }
        let most = min(wanted, parsed.model.manifest.shape.contextLength)
        if let all = try? with(most, parsed, options) { return all }
        let least = try with(min(most, contextTokensMin), parsed, options)
        return least.lengthened(to: most, parsed, options) { _ in true }
    }

    /// A context that nobody asked for takes what else nobody uses.
    func grown(_ parsed: ParsedModel, _ options: ModelOptions) -> Self {
        guard options.contextTokens == nil, options.contextTokensWanted == nil,
            !options.isResident
        else { return self }
        var options = options
        options.logitsRowsMax = activations.logitsRowsMax
        options.speculationRoom = speculationRoom
        let own = parsed.model.manifest.shape.contextLength
        return lengthened(to: min(own, ModelOptions.contextTokensMax), parsed, options) {
            $0.takesNothing(from: self)
        }
    }

    /// In a few words, why the context is as long as it is.
    func reasonOfContext(_ parsed: ParsedModel, _ options: ModelOptions) -> String {
        let own = parsed.model.manifest.shape.contextLength
        if options.contextTokens != nil { return "as asked" }
        if contextTokens == own { return "the model's own" }
        if let wanted = options.contextTokensWanted {
            return wanted == contextTokens ? "as asked" : "all that fits, of \(wanted) asked for"
        }
        return contextTokens == ModelOptions.contextTokensMax
            ? "the most that nobody asks for: context_tokens asks for more"
            : "what weights leave of the memory: context_tokens asks for more"
    }

    private static func with(
        _ contextTokens: Int, _ parsed: ParsedModel, _ options: ModelOptions
    ) throws(LoadError) -> Self {
        var options = options
        options.contextTokens = contextTokens
        return try ModelSizing(parsed, options)
    }

    /// The same with the longest context up to `most` that fits and is welcome.
    private func lengthened(
        to most: Int, _ parsed: ParsedModel, _ options: ModelOptions, isWelcome: (Self) -> Bool
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
            if tokens > best.contextTokens,
                let longer = try? Self.with(tokens, parsed, options), isWelcome(longer)
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
