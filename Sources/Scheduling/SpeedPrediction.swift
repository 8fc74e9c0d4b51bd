// How fast a model should generate under a budget, before it is loaded: bytes that each token needs
// from flash and from memory, over what these deliver. A prediction, and an optimistic one.

package import ModelFormat
internal import WeightStore

/// What one generated token moves, and what follows from it.
package struct SpeedPrediction: Sendable, Equatable {
    /// Expected bytes from flash: dense weights that do not stay, neurons that are fetched, experts
    /// that are not in memory, a row of the embeddings.
    package let flashBytesPerToken: Double
    /// Bytes of weights that computing touches.
    package let weightBytesPerToken: Double
    /// Nil without experts. The share of experts that have a slot: what is found when all are
    /// equally likely, which is the worst that routing does.
    package let expertHitRate: Double?
    /// Whether more than a row of the embeddings comes from flash.
    package let readsWeights: Bool

    package init(_ sizing: ModelSizing, _ manifest: PackedManifest) {
        let plan = sizing.plan
        let used = manifest.hyperparameters.experts?.usedCount ?? 0
        let experts = manifest.experts.reduce(0) { $0 + $1.count }
        let hits = experts > 0 ? Double(plan.expertSlotCount) / Double(experts) : nil
        let usedBytes = manifest.experts.reduce(0) { $0 + used * $1.stride }
        let way =
            sizing.neuronWays.first { $0.mode == plan.sparse?.mode ?? .off }
            ?? NeuronWay(streaming: plan)
        let streamed = way.bytes
        expertHitRate = hits
        readsWeights = streamed > 0 || (hits ?? 1) < 1
        flashBytesPerToken =
            streamed + Double(plan.embeddingWindowBytes)
            + Double(usedBytes) * (1 - (hits ?? 1))
        let matrixBytes = Double(manifest.matrices.reduce(0) { $0 + $1.byteCount })
        weightBytesPerToken =
            (manifest.neurons == nil ? matrixBytes : way.touchedBytes)
            + Double(manifest.experts.reduce(0) { $0 + used * $1.bundleBytes })
    }

    /// Reading and computing at once, a token takes the longer of the two. A bandwidth that is not
    /// known (nil) is taken for no limit.
    ///
    /// - Returns: nil when neither is known.
    package func tokensPerSecond(
        flashBytesPerSecond: Double?, memoryBytesPerSecond: Double?
    ) -> Double? {
        let flash = flashBytesPerSecond.map { flashBytesPerToken / $0 } ?? 0
        let memory = memoryBytesPerSecond.map { weightBytesPerToken / $0 } ?? 0
        let seconds = max(flash, memory)
        return seconds > 0 ? 1 / seconds : nil
    }
}
