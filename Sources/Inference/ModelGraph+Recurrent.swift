// The weights of layers that have a state in place of keys and values.

internal import Compute
internal import ModelFormat

extension LayerGraph {
    static func convolution(
        _ layer: Int, _ mixer: ConvolutionMixer, _ weights: WeightLookup
    ) throws(FormatError) -> Convolution {
        Convolution(
            before: try weights.matrix(.convolutionBefore, layer: layer),
            after: try weights.matrix(.convolutionAfter, layer: layer),
            input: try weights.matrix(.convolutionInput, layer: layer),
            output: try weights.matrix(.convolutionOutput, layer: layer),
            convolution: ShortConvolution(
                weights: try weights.vector(.convolution, layer: layer), length: mixer.length,
                activates: false))
    }

    static func deltaRule(
        _ layer: Int, _ mixer: DeltaRuleMixer, _ weights: WeightLookup, _ epsilon: Float
    ) throws(FormatError) -> DeltaRule {
        let width = Float(mixer.headWidth)
        // A root-mean-square norm is a length's, times the root of how many elements there are.
        func unitNorm(_ factor: Float) -> Norm {
            Norm(
                weights: Array(repeating: factor, count: mixer.headWidth),
                epsilon: epsilon / width)
        }
        return DeltaRule(
            shape: DeltaRuleShape(
                keyHeadCount: mixer.keyHeadCount, valueHeadCount: mixer.valueHeadCount,
                width: mixer.headWidth, alternates: mixer.alternatesKeys),
            input: try weights.matrix(.deltaInput, layer: layer),
            gate: try weights.matrix(.deltaGate, layer: layer),
            step: try weights.matrix(.deltaStep, layer: layer),
            decay: try weights.matrix(.deltaDecay, layer: layer),
            output: try weights.matrix(.deltaOutput, layer: layer),
            convolution: ShortConvolution(
                weights: try weights.vector(.convolution, layer: layer),
                length: mixer.convolutionLength, activates: true),
            decayBias: try weights.vector(.deltaDecayBias, layer: layer),
            decayFactors: try weights.vector(.deltaDecayFactors, layer: layer),
            queryNorm: unitNorm(1 / width), keyNorm: unitNorm(1 / width.squareRoot()),
            norm: try weights.norm(
                .deltaNorm, bias: nil, layer: layer,
                NormShape(.rootMeanSquare, epsilon: epsilon)))
    }
}
