// How fast a model should generate under a budget, before it is loaded: bytes that each token needs
// from flash and from memory, and the time that MachineSpeeds makes of them. A prediction.

package import FlashStorage
internal import Knobs
package import ModelFormat
package import Weights

/// What one generated token moves, and what follows from it.
package struct SpeedPrediction: Sendable, Equatable {
    /// Dense weights that do not stay, neurons that are fetched, experts that are not in memory, a
    /// row of the embeddings; and what of all that computing touches.
    package let way: NeuronWay
    /// Nil without experts. The share of experts that have a slot: what is found when all are
    /// equally likely, which is the worst that routing does.
    package let expertHitRate: Double?
    /// Whether more than a row of the embeddings comes from flash.
    package let readsWeights: Bool
    private let prompts: PromptCost

    package var flashBytesPerToken: Double { way.bytes }
    package var weightBytesPerToken: Double { way.touchedBytes + way.neuronBytes }

    package init(_ division: Division, _ manifest: PackedManifest) {
        let plan = division.plan
        prompts = PromptCost(division, manifest)
        let used = manifest.shape.experts?.usedCount ?? 0
        let experts = manifest.experts.reduce(0) { $0 + $1.count }
        let hits = experts > 0 ? Double(plan.expertSlotCount) / Double(experts) : nil
        let usedBytes = manifest.experts.reduce(0) { $0 + used * $1.stride }
        let dense =
            division.neuronWays.first { $0.mode == plan.sparse?.mode ?? .off }
            ?? NeuronWay(streaming: plan)
        expertHitRate = hits
        readsWeights = dense.bytes > 0 || (hits ?? 1) < 1
        let missed = Double(usedBytes) * (1 - (hits ?? 1))
        // A row of the embeddings is read too: nothing beside the rest, all where all else stays.
        way = dense.adding(
            streamed: missed + (dense.bytes + missed > 0 ? Double(plan.embeddingWindowBytes) : 0),
            touched: Double(manifest.experts.reduce(0) { $0 + used * $1.bundleBytes }))
    }

    /// Whether what decides is known: the drive where weights are read, else memory.
    package func isKnown(_ machine: MachineSpeeds, isResident: Bool) -> Bool {
        readsWeights && !isResident
            ? machine.drive != nil : machine.memoryBytesPerSecond != nil
    }

    /// How long each token of an answer takes; nil where what it takes to know is not known.
    package func tokenSeconds(_ machine: MachineSpeeds, isResident: Bool) -> Double? {
        isKnown(machine, isResident: isResident) ? machine.seconds(way) : nil
    }

    /// How long `tokens` of a prompt take that come after `cachedTokens`, up to the first token of
    /// the answer; nil where what it takes to know is not known.
    package func promptSeconds(
        tokens: Int, after cachedTokens: Int = 0, _ machine: MachineSpeeds
    ) -> Double? { prompts.seconds(tokens: tokens, after: cachedTokens, machine) }
}
