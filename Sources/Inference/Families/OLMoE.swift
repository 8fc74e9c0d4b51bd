// OLMoE: norms over whole projections.

internal import Compute

extension Family {
    /// OLMoE (arXiv 2409.02060): norms over the whole query and key projections; expert weights are
    /// left as the softmax gives them.
    static var olmoe: Family {
        var family = Family(rotaryPairing: .halves)
        family.queryKeyNorm = .wholeProjection
        return family
    }
}
