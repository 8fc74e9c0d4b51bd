// Divides a model's share of memory before anything is loaded: every term named, the least that
// works refused with its sum when it does not fit. Decided once, from what was learnt before; what
// is loaded and what `sluice show` prints are the same value.

package import Constraints
package import FlashStorage
package import Inference
internal import LinuxSystem
package import Memory
internal import ModelFormat
package import SequenceState
internal import Tokenization
package import Weights

/// How a model will use its memory, and why.
package struct Division: Sendable {
    /// Of the budget's terms, those that are weights, and what they pass through.
    package static let weightTerms: Set<MemoryTerm> = [
        .neuronScales, .predictors, .denseWeights, .denseRing, .expertSlots, .neuronsOnTheirWay,
        .neuronWindows
    ]

    package let budget: MemoryPlan
    package let plan: WeightPlan
    package let contextTokens: Int
    /// Why so many.
    package internal(set) var contextReason = ""
    /// Texts that may be worked on at once: they share the KV pages.
    package let sequencesMax: Int
    /// Tokens of a prompt that one step computes: more than a layer computes together where weights
    /// are streamed, which are then read once for all of them.
    package let tokensPerStep: Int
    package let layout: KVLayout
    package let cacheBytes: Int
    package let prefixes: PrefixPlan
    package let activations: ActivationShape
    package internal(set) var workingSetShortage: WorkingSetShortage?
    package let speculationRoom: SpeculationRoom
    /// What there is for grammars; nil where nothing is left for them.
    package let constraints: ConstraintRoom?
    /// Which neurons are read, and why.
    package internal(set) var sparse = SparseDecision()
    /// The ways of decoding that were compared; none where nothing is streamed.
    package internal(set) var neuronWays: [NeuronWay] = []
    /// What is known of the machine.
    package internal(set) var speeds = MachineSpeeds()
}

/// What is to be divided, and all that the division follows from.
struct DivisionProblem {
    let model: ParsedModel
    var wishes: ModelOptions
    /// The limit, and what the process and its clients have of it.
    var share: MemoryPlan
    let knowledge: Knowledge
    /// Texts that may be worked on at once.
    var sequencesMax = 1

    var manifest: PackedManifest { model.model.manifest }
    var shape: ModelShape { manifest.shape }
}

/// What is tried: everything that a layout needs to be told and that no wish fixes.
struct DivisionChoice {
    /// Nil is what a share of the limit holds.
    var contextTokens: Int?
    var logitsRowsMax: Int
    var speculationRoom = SpeculationRoom()
    var sparse: SparseOptions?
    var predictorBytes = 0

    /// What is wished for, with the neurons that were decided on.
    init(_ wishes: ModelOptions, _ decision: SparseDecision) {
        contextTokens = wishes.contextTokens
        logitsRowsMax = wishes.logitsRowsMax
        guard !wishes.isResident else { return }
        sparse = decision.options
        sparse?.keepsWindows = wishes.measuring.keepsNeuronWindows
        sparse?.readsApart = wishes.measuring.readsNeuronsApart
        predictorBytes = decision.predictorBytes
    }
}

extension Division {
    /// Divides `share` between everything that `model` needs, as it is wished for and as promises
    /// to take least time.
    ///
    /// - Throws: `LoadError.budget` naming every term when the least does not fit.
    static func divide(
        _ model: ParsedModel, share: MemoryPlan, knowledge: Knowledge, wishes: ModelOptions
    ) throws(LoadError) -> Division {
        var problem = DivisionProblem(
            model: model, wishes: wishes, share: share, knowledge: knowledge)
        guard wishes.sequencesMax == nil, problem.sequencesAffordable > 1 else {
            problem.serve(wishes.sequencesMax ?? 1)
            return try divide(problem)
        }
        problem.serve(problem.sequencesAffordable)
        if let division = try? divide(problem) { return division }
        problem.serve(1)
        return try divide(problem)
    }

    private static func divide(_ problem: DivisionProblem) throws(LoadError) -> Division {
        let ways = problem.ways()
        let decision = SparseDecision(problem, ways)
        let choice = DivisionChoice(problem.wishes, decision)
        var division = try problem.speculating(choice).grown(problem, choice)
        division.contextReason = division.reasonOfContext(problem)
        division.workingSetShortage = division.shortage(problem, choice)
        division.sparse = decision
        division.neuronWays = ways
        division.speeds = problem.knowledge.speeds
        return division
    }
}
