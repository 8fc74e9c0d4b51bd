// Below one token's experts an expert cache hardly works: each token's experts push out the ones
// that the next token would have found. Says so, and how much memory would do.

internal import Inference
internal import Memory
internal import ModelFormat
internal import Weights

/// An expert cache that cannot hold what one token needs.
package struct WorkingSetShortage: Sendable, Equatable, CustomStringConvertible {
    package let slotCount: Int
    /// Experts that one token uses in all layers together.
    package let neededSlotCount: Int
    /// The memory limit with which they fit.
    package let neededLimitBytes: Int

    package var description: String {
        "the cache holds \(slotCount) experts, but one token uses \(neededSlotCount): most are "
            + "read again for every token; a limit of "
            + "\(MemoryPlan.mebibytes(neededLimitBytes)) holds them"
    }
}

extension ModelSizing {
    /// The sizing with what is to be said about it.
    static func noted(_ parsed: ParsedModel, _ options: ModelOptions) throws(LoadError) -> Self {
        let fitting = try ModelSizing.speculating(parsed, options)
        var sizing = fitting.grown(parsed, options)
        sizing.contextReason = sizing.reasonOfContext(parsed, options)
        sizing.workingSetShortage = sizing.shortage(parsed, options)
        return sizing
    }

    /// Nil when the cache holds what one token uses.
    private func shortage(
        _ parsed: ParsedModel, _ options: ModelOptions
    ) -> WorkingSetShortage? {
        let manifest = parsed.model.manifest
        let used = manifest.experts.count * (manifest.shape.experts?.usedCount ?? 0)
        guard plan.expertSlotCount < used else { return nil }
        // A larger limit may bring a longer context or larger steps along, so that the sum is taken
        // again with each.
        var options = options
        options.logitsRowsMax = activations.logitsRowsMax
        options.speculationRoom = speculationRoom
        if options.contextTokensWanted != nil { options.contextTokens = contextTokens }
        var sizing = self
        var limit = budget.limitBytes
        for _ in 0..<16 {
            let missing = sizing.bytesMissing(forSlots: used)
            if missing <= 0 { break }
            limit = max(limit, sizing.budget.sumBytes) + missing
            options.memoryBytesMax = limit
            guard let next = try? ModelSizing(parsed, options, machineBytes: .max >> 4) else {
                break
            }
            sizing = next
        }
        return WorkingSetShortage(
            slotCount: plan.expertSlotCount, neededSlotCount: used, neededLimitBytes: limit)
    }

    /// Bytes beyond the sum with which all dense weights and so many experts stay.
    private func bytesMissing(forSlots count: Int) -> Int {
        guard plan.expertSlotCount < count else { return 0 }
        let dense = plan.denseBytes - plan.pinnedBytes - plan.ringBytes
        return dense + (count - plan.expertSlotCount) * plan.expertSlotBytes
    }
}
