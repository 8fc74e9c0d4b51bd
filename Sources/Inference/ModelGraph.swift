// A model's structure with every weight resolved: what the forward pass walks through. Built once
// from the packed manifest and the family's description.

package import Compute
package import ModelFormat
package import Weights

/// A model, ready to be computed.
package struct ModelGraph: Sendable {
    package let shape: ModelShape
    package let layers: [LayerGraph]
    package let outputNorm: Norm
    /// Index into the manifest's matrices.
    package let output: Int
    /// Divisors of the rotary frequencies.
    package let ropeFrequencyFactors: [Float]?

    /// Resolves every weight of `store`.
    ///
    /// - Parameter contextTokens: positions of the longest text: some models turn otherwise for
    ///   long ones.
    /// - Throws: `FormatError` naming a weight that the architecture needs and the file lacks.
    package init(_ store: WeightStore, contextTokens: Int) throws(FormatError) {
        shape = store.manifest.shape
        let weights = WeightLookup(store: store, fileName: store.manifest.modelName)
        var layers: [LayerGraph] = []
        for layer in shape.layers.indices {
            layers.append(try LayerGraph(layer, weights, shape))
        }
        self.layers = layers
        outputNorm = try weights.norm(
            .outputNorm, bias: .outputNormBias, layer: nil, shape.norm)
        output = try weights.matrix(.output, layer: nil)
        ropeFrequencyFactors =
            switch shape.isLong(contextTokens) {
            case nil: store.vector(.ropeFrequencyFactors)
            case true?: try weights.vector(.ropeFactorsLong, layer: nil)
            case false?: try weights.vector(.ropeFactorsShort, layer: nil)
            }
    }

    /// The attention that has this layer of the KV cache.
    func attention(cacheLayer: Int) -> LayerGraph.Attention? {
        layers.lazy.compactMap {
            if case .attention(let attention) = $0.mixer { attention } else { nil }
        }.first { $0.cacheLayers.contains(cacheLayer) }
    }
}

/// One layer's weights. Matrices are indices into the manifest; vectors are resident.
package struct LayerGraph: Sendable {
    package struct Attention: Sendable {
        package let shape: AttentionMixer
        package let query: Int
        /// Nil where another layer's keys and values are read.
        package let key: Int?
        /// Nil where values are keys before their norm, too.
        package let value: Int?
        /// Of the factors on what attention gives; nil is none.
        package let gate: Int?
        package let output: Int
        package let treatment: HeadTreatment
        package let outputBias: [Float]?
        /// Factor on scores.
        package let scale: Float
        /// Of each head, a score without a value; nil is none.
        package let sinks: [Float]?
        /// Which of the model's rotary embeddings turns heads; nil where none does.
        package let rope: Int?
        /// Of the KV cache, its own or those that it reads: several where heads are in parts.
        package let cacheLayers: Range<Int>
        /// Of each head of values.
        let valueNorm: Norm?
        /// Where values are keys too; then `query` and `key` are the parts that turn, and `value`
        /// is the latent. Nil elsewhere.
        let latent: Latent?
    }

    /// A short convolution between gates.
    package struct Convolution: Sendable {
        package let before: Int
        package let after: Int
        package let input: Int
        package let output: Int
        package let convolution: ShortConvolution
    }

    /// Heads with a state behind a short convolution.
    package struct State: Sendable {
        package let rule: StateRule
        /// Queries, keys and values; one matrix, or three.
        package let inputs: [Int]
        /// Of the factors on the result.
        package let gate: Int
        package let step: Int
        /// Nil where what is kept follows from the step.
        package let decay: Int?
        package let output: Int
        package let convolution: ShortConvolution
        package let stepBias: [Float]
        package let decayFactors: [Float]
        /// Of queries and keys to length 1, queries by one over the root of their width besides;
        /// nil leaves them.
        package let unitNorms: (query: Norm, key: Norm)?
        /// Of the results: one for all heads, or where they are gated first one for each group.
        package let norms: [Norm]
        package let gatesFirst: Bool
        /// Of what is left of a state, where that is told for each number of a key; nil elsewhere.
        /// The gate is then a sigmoid.
        let decayBound: Float?
    }

    /// A gated or, without `gate`, a plain feed-forward network.
    package struct Dense: Sendable {
        package let gate: Int?
        package let up: Int
        package let down: Int
        package let width: Int
        package var gateBias: [Float]?
        package var upBias: [Float]?
        package var downBias: [Float]?
        /// Of gates and what they multiply.
        var bound: Float?
    }

    package struct Mixture: Sendable {
        package let shape: MixtureShape
        package let router: Int
        package let experts: PackedExpertLayer
        package let shared: Dense?
        /// Weights of the sigmoid gate on the shared expert.
        package let sharedRouter: [Float]?
        /// Added to the router's logits.
        package let routerBias: [Float]?
        /// Added to probabilities where experts are chosen; nil is none.
        package let selectionBias: [Float]?
        /// Of each expert, the factor on its result; nil is 1.
        let scales: [Float]?
        /// The dense network beside it; nil is none.
        var beside: Beside?

        /// Whether the router reads the layer's input, before attention.
        var routesFirst: Bool { shape.routerInput == .layerInput }
    }

    /// A dense network beside a mixture, whose norm is the layer's, and the norms around both.
    struct Beside: Sendable {
        let dense: Dense
        let denseNorm: Norm
        let afterDenseNorm: Norm
        let routerNorm: Norm
        let expertsNorm: Norm
        let afterExpertsNorm: Norm
    }

    /// A feed-forward network whose neurons are bundles.
    package struct Neurons: Sendable {
        /// The gate, or up where there is none, as a matrix.
        package let first: Int
        package let record: PackedNeuronLayer
        let geometry: NeuronGeometry
        /// Added to the first projection before the activation; nil is none.
        let firstBias: [Float]?
        /// Added to the sum of columns; nil is none.
        let downBias: [Float]?
    }

    /// What lets tokens see each other.
    package enum Mixer: Sendable {
        case attention(Attention)
        case convolution(Convolution)
        case state(State)
    }

    package enum FeedForward: Sendable {
        case dense(Dense)
        case neurons(Neurons)
        case mixture(Mixture)
    }

    package let index: Int
    /// Of what the mixer reads; nil takes the residual stream as it is.
    package let mixerNorm: Norm?
    /// Of what the mixer adds; nil adds it as it is.
    package let afterMixerNorm: Norm?
    /// Nil where a layer is a network alone.
    package let mixer: Mixer?
    package let feedForwardNorm: Norm?
    package let afterFeedForwardNorm: Norm?
    /// Nil where a layer is a mixer alone.
    package let feedForward: FeedForward?
    /// Factor on what each half adds; nil is 1.
    package let residualScale: Float?
    /// Nil where layers have no embeddings of their own.
    let layerEmbedding: LayerEmbedding?
    /// Factor on the residual stream when the layer has added all; nil is 1.
    let outputScale: Float?

    init(_ index: Int, _ weights: WeightLookup, _ shape: ModelShape) throws(FormatError) {
        self.index = index
        let layer = shape.layers[index]
        residualScale = layer.residualScale
        outputScale = layer.hasOutputScale ? try weights.vector(.layerScale, layer: index)[0] : nil
        layerEmbedding =
            shape.layerEmbeddingWidth == nil ? nil : try LayerEmbedding(index, weights, shape)
        switch layer.mixer {
        case .attention(let attention):
            mixer = .attention(try Self.attention(index, attention, weights, shape))
        case .recurrent(.shortConvolution(let mixer)):
            self.mixer = .convolution(try Self.convolution(index, mixer, weights))
        case .recurrent(.deltaRule(let mixer)):
            self.mixer = .state(try Self.deltaRule(index, mixer, weights, shape.norm.epsilon))
        case .recurrent(.stateSpace(let mixer)):
            self.mixer = .state(try Self.stateSpace(index, mixer, weights, shape.norm.epsilon))
        case .latent(let latent):
            mixer = .attention(try Self.latent(index, latent, weights, shape))
        case .none: mixer = nil
        }
        mixerNorm =
            layer.norms.beforeMixer
            ? try weights.norm(
                .attentionNorm, bias: .attentionNormBias, layer: index, shape.norm) : nil
        afterMixerNorm =
            layer.norms.afterMixer
            ? try weights.norm(.afterAttentionNorm, bias: nil, layer: index, shape.norm) : nil
        feedForwardNorm =
            layer.norms.beforeFeedForward
            ? try weights.norm(
                .feedForwardNorm, bias: .feedForwardNormBias, layer: index, shape.norm) : nil
        afterFeedForwardNorm =
            layer.norms.afterFeedForward
            ? try weights.norm(.afterFeedForwardNorm, bias: nil, layer: index, shape.norm) : nil
        if let mixture = layer.feedForward.mixture, let experts = weights.experts(layer: index) {
            var graph = try Self.mixture(index, mixture, experts, weights)
            if let dense = layer.feedForward.dense {
                graph.beside = try Self.beside(index, dense, weights, shape)
            }
            feedForward = .mixture(graph)
        } else if let record = weights.store.manifest.neurons?[index] {
            let isGated = record.gate != nil
            feedForward = .neurons(
                Neurons(
                    first: try weights.matrix(
                        isGated ? .feedForwardGate : .feedForwardUp, layer: index),
                    record: record, geometry: NeuronGeometry(record),
                    firstBias: weights.store.vector(
                        isGated ? .feedForwardGateBias : .feedForwardUpBias, layer: index),
                    downBias: weights.store.vector(.feedForwardDownBias, layer: index)))
        } else {
            feedForward = try layer.feedForward.dense.map { dense throws(FormatError) in
                .dense(try Self.dense(index, dense, weights))
            }
        }
    }

    static func dense(
        _ index: Int, _ shape: DenseShape, _ weights: WeightLookup
    ) throws(FormatError) -> Dense {
        Dense(
            gate: weights.optionalMatrix(.feedForwardGate, layer: index),
            up: try weights.matrix(.feedForwardUp, layer: index),
            down: try weights.matrix(.feedForwardDown, layer: index),
            width: shape.width,
            gateBias: weights.store.vector(.feedForwardGateBias, layer: index),
            upBias: weights.store.vector(.feedForwardUpBias, layer: index),
            downBias: weights.store.vector(.feedForwardDownBias, layer: index),
            bound: shape.bound)
    }

    private static func attention(
        _ layer: Int, _ mixer: AttentionMixer, _ weights: WeightLookup, _ shape: ModelShape
    ) throws(FormatError) -> Attention {
        let isOwn = mixer.keyValueLayer == nil
        var treatment = HeadTreatment(
            normEpsilon: shape.norm.epsilon, rotatedWidth: mixer.rope?.rotatedWidth ?? 0,
            pairing: mixer.rope?.pairing ?? .halves)
        treatment.queryBias = weights.store.vector(.queryBias, layer: layer)
        treatment.keyBias = weights.store.vector(.keyBias, layer: layer)
        treatment.valueBias = weights.store.vector(.valueBias, layer: layer)
        if mixer.headNorm != .none {
            treatment.queryNorm = try weights.vector(.queryNorm, layer: layer)
            if isOwn { treatment.keyNorm = try weights.vector(.keyNorm, layer: layer) }
        }
        treatment.normsRotated = mixer.normsRotated
        treatment.temperature = mixer.positionTemperature
        return Attention(
            shape: mixer,
            query: try weights.matrix(.attentionQuery, layer: layer),
            key: isOwn ? try weights.matrix(.attentionKey, layer: layer) : nil,
            value: mixer.valuesAreKeys == true || !isOwn
                ? nil : try weights.matrix(.attentionValue, layer: layer),
            gate: mixer.gateWidth > 0 ? try weights.matrix(.attentionGate, layer: layer) : nil,
            output: try weights.matrix(.attentionOutput, layer: layer), treatment: treatment,
            outputBias: weights.store.vector(.attentionOutputBias, layer: layer),
            scale: mixer.scale ?? 1 / Float(mixer.keyHeadWidth).squareRoot(),
            sinks: mixer.hasSinks ? try weights.vector(.attentionSinks, layer: layer) : nil,
            rope: mixer.rope.flatMap { shape.ropes.firstIndex(of: $0) },
            cacheLayers: shape.cacheLayers(of: layer),
            valueNorm: mixer.normsValues && isOwn
                ? Norm(
                    weights: Array(repeating: 1, count: mixer.valueHeadWidth),
                    epsilon: shape.norm.epsilon) : nil,
            latent: nil)
    }

    private static func mixture(
        _ layer: Int, _ shape: MixtureShape, _ experts: PackedExpertLayer, _ weights: WeightLookup
    ) throws(FormatError) -> Mixture {
        var shared: Dense?
        if let up = weights.optionalMatrix(.sharedExpertUp, layer: layer) {
            shared = Dense(
                gate: weights.optionalMatrix(.sharedExpertGate, layer: layer), up: up,
                down: try weights.matrix(.sharedExpertDown, layer: layer),
                width: shape.shared?.width ?? 0, bound: shape.shared?.bound)
        }
        return Mixture(
            shape: shape, router: try weights.matrix(.router, layer: layer), experts: experts,
            shared: shared,
            sharedRouter: weights.store.vector(.sharedExpertRouter, layer: layer),
            routerBias: weights.store.vector(.routerBias, layer: layer),
            selectionBias: shape.hasSelectionBias
                ? try weights.vector(.expertSelectionBias, layer: layer) : nil,
            scales: shape.hasScales == true
                ? try weights.vector(.expertScales, layer: layer) : nil)
    }
}
