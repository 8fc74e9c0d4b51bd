// What a model computes when it may use only predicted neurons: the others' first projections
// become 0, which silences them.

internal import Inference
package import Kernels
package import LinuxSystem
package import WeightStore

/// Applies predictors to a running model through `Transformer.onNeurons`.
package final class PredictionMask {
    private var predictor: NeuronPredictor
    private var bundles: [Int32] = []
    private var isPredicted: [Bool]

    /// - Parameter tokensMax: of a step.
    package init(
        _ predictors: NeuronPredictors, tokensMax: Int, team: ComputeTeam
    ) throws(SystemError) {
        predictor = try NeuronPredictor(
            predictors, tokensMax: tokensMax, kernels: .best, team: team)
        isPredicted = [Bool](repeating: false, count: predictors.neuronsMax)
    }

    /// Sets to 0 what is not predicted: each token's bundles are chosen for it alone.
    package func apply(
        layer: Int, _ input: borrowing ProductInput, _ projections: inout Buffer<Float>,
        tokens: Int
    ) {
        predictor.predict(layer: layer, input, tokens: tokens)
        let neurons = predictor.predictors.layers[layer].neuronCount
        let threshold = predictor.predictors.threshold
        for token in 0..<tokens {
            predictor.chooseBundles(
                token: token, threshold: threshold, isResident: nil, into: &bundles)
            for index in 0..<neurons { isPredicted[index] = false }
            for bundle in bundles {
                for neuron in predictor.neurons(ofBundle: Int(bundle)) {
                    isPredicted[Int(neuron)] = true
                }
            }
            var values = projections.mutableSpan(in: token * neurons..<(token + 1) * neurons)
            for index in 0..<neurons where !isPredicted[index] { values[index] = 0 }
        }
    }
}
