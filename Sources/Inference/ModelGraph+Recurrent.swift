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
    ) throws(FormatError) -> State {
        let width = Float(mixer.headWidth)
        // A root-mean-square norm is a length's, times the root of how many elements there are.
        func unitNorm(_ factor: Float) -> Norm {
            Norm(
                weights: Array(repeating: factor, count: mixer.headWidth),
                epsilon: epsilon / width)
        }
        return State(
            rule: StateRule(
                .delta, keyHeadCount: mixer.keyHeadCount, valueHeadCount: mixer.valueHeadCount,
                keyWidth: mixer.headWidth, valueWidth: mixer.headWidth,
                alternates: mixer.alternatesKeys, decaysApart: mixer.decayBound != nil),
            inputs: try inputs(layer, mixer, weights),
            gate: try weights.matrix(.stateGate, layer: layer),
            step: try weights.matrix(.stateStep, layer: layer),
            decay: try weights.matrix(.stateDecay, layer: layer),
            output: try weights.matrix(.stateOutput, layer: layer),
            convolution: ShortConvolution(
                weights: try convolution(layer, mixer, weights),
                length: mixer.convolutionLength, activates: true),
            stepBias: try weights.vector(.stateStepBias, layer: layer),
            decayFactors: try weights.vector(.stateDecayFactors, layer: layer),
            unitNorms: (unitNorm(1 / width), unitNorm(1 / width.squareRoot())),
            norms: [
                try weights.norm(
                    .stateNorm, bias: nil, layer: layer,
                    NormShape(.rootMeanSquare, epsilon: epsilon))
            ],
            gatesFirst: false, decayBound: mixer.decayBound)
    }

    private static func inputs(
        _ layer: Int, _ mixer: DeltaRuleMixer, _ weights: WeightLookup
    ) throws(FormatError) -> [Int] {
        let roles =
            mixer.decayBound == nil
            ? [MatrixRole.stateInput] : [.attentionQuery, .attentionKey, .attentionValue]
        return try roles.map { role throws(FormatError) in
            try weights.matrix(role, layer: layer)
        }
    }

    private static func convolution(
        _ layer: Int, _ mixer: DeltaRuleMixer, _ weights: WeightLookup
    ) throws(FormatError) -> [Float] {
        let roles =
            mixer.decayBound == nil
            ? [VectorRole.convolution] : [.queryConvolution, .keyConvolution, .valueConvolution]
        return try roles.map { role throws(FormatError) in
            try weights.vector(role, layer: layer)
        }.flatMap(\.self)
    }

    static func stateSpace(
        _ layer: Int, _ mixer: StateSpaceMixer, _ weights: WeightLookup, _ epsilon: Float
    ) throws(FormatError) -> State {
        let norms = try weights.vector(.stateNorm, layer: layer)
        let width = mixer.valueWidth / mixer.groupCount
        return State(
            rule: StateRule(
                .adding(skips: try weights.vector(.stateSkip, layer: layer)),
                keyHeadCount: mixer.groupCount, valueHeadCount: mixer.headCount,
                keyWidth: mixer.stateWidth, valueWidth: mixer.headWidth),
            inputs: [try weights.matrix(.stateInput, layer: layer)],
            gate: try weights.matrix(.stateGate, layer: layer),
            step: try weights.matrix(.stateStep, layer: layer), decay: nil,
            output: try weights.matrix(.stateOutput, layer: layer),
            convolution: ShortConvolution(
                weights: try weights.vector(.convolution, layer: layer),
                bias: mixer.hasConvolutionBias
                    ? try weights.vector(.convolutionBias, layer: layer) : nil,
                length: mixer.convolutionLength, activates: true),
            stepBias: try weights.vector(.stateStepBias, layer: layer),
            decayFactors: try weights.vector(.stateDecayFactors, layer: layer),
            unitNorms: nil,
            norms: (0..<mixer.groupCount).map { group in
                let weights = norms[group * width..<(group + 1) * width]
                return Norm(weights: Array(weights), epsilon: epsilon)
            }, gatesFirst: true, decayBound: nil)
    }
}
