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

extension Division {
    /// Nil when the cache holds what one token uses.
    func shortage(_ problem: DivisionProblem, _ choice: DivisionChoice) -> WorkingSetShortage? {
        let used =
            problem.manifest.experts.count * (problem.shape.experts?.usedCount ?? 0)
        guard plan.expertSlotCount < used else { return nil }
        // A larger limit may bring a longer context or larger steps along, so that the sum is taken
        // again with each.
        var (problem, choice) = (problem, choice)
        choice.logitsRowsMax = activations.logitsRowsMax
        choice.speculationRoom = speculationRoom
        if problem.wishes.contextTokensWanted != nil { choice.contextTokens = contextTokens }
        var division = self
        var limit = budget.limitBytes
        for _ in 0..<16 {
            let missing = division.bytesMissing(forSlots: used)
            if missing <= 0 { break }
            limit = max(limit, division.budget.sumBytes) + missing
            problem.share.limitBytes = limit
            guard let next = try? Division(problem, choice) else { break }
            division = next
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
