// The ways of decoding a model whose neurons are bundled, each with what the share of memory allows
// it and what a token is then expected to move.

internal import FlashStorage
internal import Inference
internal import Knobs
internal import LinuxSystem
internal import ModelFormat
internal import Weights

extension DivisionProblem {
    /// Every way that memory allows, reading all neurons first; none where nothing is streamed.
    func ways() -> [NeuronWay] {
        guard let layers = manifest.neurons, !wishes.isResident else { return [] }
        func plan(_ decision: SparseDecision) -> WeightPlan? {
            (try? asked(DivisionChoice(wishes, decision)))?.plan
        }
        guard let whole = plan(SparseDecision()), whole.streamsDense else { return [] }
        let known = knowledge.calibration
        let holdsFirst = layers.allSatisfy { $0.firstBytes > 0 }
        var ways = [NeuronWay(streaming: whole)]
        for mode in [SparseMode.exact, .predicted]
        where mode == .exact || known != nil && holdsFirst {
            var decision = SparseDecision()
            decision.options = .fetching(mode, known)
            decision.predictors = mode == .exact ? nil : known
            if let plan = plan(decision),
                let way = NeuronWay(
                    fetching: plan, manifest, rates: rates, knowledge.reads,
                    predictorBytes: mode == .exact ? 0 : known?.byteCount ?? 0)
            {
                ways.append(way)
            }
        }
        return ways
    }

    /// How often neurons fire: as calibration counted, or as they are assumed to.
    private var rates: FiringRates {
        if let known = knowledge.calibration { return .calibrated(known) }
        let natural = shape.isSparse ? FiringRates.densityAssumed : 1
        let silent = isThresholded ? Double(wishes.activationSparsity ?? 0) : 0
        return .alike(min(natural, 1 - silent))
    }

    /// Whether the sparsity that was asked for is in force.
    private var isThresholded: Bool {
        ((try? knowledge.thresholds.get()) ?? nil) != nil
    }
}

extension SparseOptions {
    /// Of what a layer's neurons need, how much more memory it is worth where more of them fire.
    private static let shareExponent: Float = 1.4

    /// Neurons fetched one by one, memory shared between layers as calibration counted.
    static func fetching(_ mode: SparseMode, _ predictors: NeuronPredictors?) -> SparseOptions {
        let shares = predictors?.layers.map { layer -> Float in
            let density = Double(max(layer.quality.density, 1e-3))
            return Float(Mathematics.power(density, Double(shareExponent)))
        }
        return SparseOptions(mode: mode, shares: shares)
    }
}
