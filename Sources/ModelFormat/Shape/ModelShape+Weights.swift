// Which tensors a model of a given shape consists of, and their shapes: the one table that import
// fills from a GGUF file and that a manifest is checked against. What a file may leave out, such as
// biases, the shape says is there or not.

/// A matrix's shape: `rows` outputs of `columns` inputs.
package struct MatrixShape: Sendable, Equatable {
    package var rows: Int
    package var columns: Int
    /// In how many planes of as many rows files have them, as a third dimension.
    package var planes = 1
}

/// A vector that a model has.
package struct VectorShape: Sendable, Equatable {
    package var role: VectorRole
    package var count: Int
    /// Elements side by side where a file has it as a matrix; nil where it has it as a vector.
    package var columns: Int?
}

extension ModelShape {
    /// Matrices of one layer that every token needs, in execution order.
    ///
    /// - Parameter bundlesNeurons: whether a dense feed-forward network's neurons are bundles: only
    ///   its first projection is then a matrix.
    package func matrices(
        of index: Int, bundlesNeurons: Bool
    ) -> [(role: MatrixRole, shape: MatrixShape)] {
        let layer = layers[index]
        var list: [(role: MatrixRole, shape: MatrixShape)] = []
        func add(_ role: MatrixRole, rows: Int, columns: Int) {
            list.append((role, MatrixShape(rows: rows, columns: columns)))
        }
        if layerEmbeddingWidth != nil, index == 0 {
            add(.layerEmbeddingProjection, rows: layerEmbeddingsWidth, columns: width)
        }
        let routesFirst = layer.feedForward.mixture?.routerInput == .layerInput
        if let mixture = layer.feedForward.mixture, routesFirst {
            add(.router, rows: mixture.count, columns: width)
        }
        list += matrices(of: layer.mixer)
        if let mixture = layer.feedForward.mixture {
            if !routesFirst { add(.router, rows: mixture.count, columns: width) }
            if let shared = mixture.shared {
                if mixture.isGated { add(.sharedExpertGate, rows: shared.width, columns: width) }
                add(.sharedExpertUp, rows: shared.width, columns: width)
                add(.sharedExpertDown, rows: width, columns: shared.width)
            }
        }
        if let dense = layer.feedForward.dense {
            if dense.isGated { add(.feedForwardGate, rows: dense.width, columns: width) }
            if !bundlesNeurons || !dense.isGated {
                add(.feedForwardUp, rows: dense.width, columns: width)
            }
            if !bundlesNeurons { add(.feedForwardDown, rows: width, columns: dense.width) }
        }
        if let own = layerEmbeddingWidth {
            add(.layerEmbeddingGate, rows: own, columns: width)
            add(.layerEmbeddingOutput, rows: width, columns: own)
        }
        return list
    }

    private func matrices(
        of mixer: LatentMixer
    ) -> [(role: MatrixRole, shape: MatrixShape)] {
        let (heads, rank) = (mixer.headCount, mixer.keyValueRank)
        let queryColumns = mixer.queryRank ?? width
        func matrix(
            _ role: MatrixRole, _ rows: Int, _ columns: Int, planes: Int = 1
        ) -> (role: MatrixRole, shape: MatrixShape) {
            (role, MatrixShape(rows: rows, columns: columns, planes: planes))
        }
        return (mixer.queryRank.map { [matrix(.queryCompression, $0, width)] } ?? []) + [
            matrix(.plainQuery, heads * mixer.plainHeadWidth, queryColumns),
            matrix(.turnedQuery, heads * mixer.turnedHeadWidth, queryColumns),
            matrix(.latent, rank, width), matrix(.turnedKey, mixer.turnedHeadWidth, width)
        ] + (mixer.gatesHeads == true ? [matrix(.attentionGate, heads, width)] : []) + [
            matrix(.latentKeys, heads * rank, mixer.plainHeadWidth, planes: heads),
            matrix(.latentValues, mixer.valueWidth, rank, planes: heads),
            matrix(.attentionOutput, width, mixer.valueWidth)
        ]
    }

    private func matrices(
        of mixer: MixerShape
    ) -> [(role: MatrixRole, shape: MatrixShape)] {
        func matrix(
            _ role: MatrixRole, rows: Int, columns: Int? = nil
        ) -> (role: MatrixRole, shape: MatrixShape) {
            (role, MatrixShape(rows: rows, columns: columns ?? width))
        }
        switch mixer {
        case .attention(let attention):
            var list = [matrix(.attentionQuery, rows: attention.queryWidth)]
            if attention.keyValueLayer == nil {
                list.append(matrix(.attentionKey, rows: attention.keyWidth))
                if attention.valuesAreKeys != true {
                    list.append(matrix(.attentionValue, rows: attention.valueWidth))
                }
            }
            if attention.gateWidth > 0 {
                list.append(matrix(.attentionGate, rows: attention.gateWidth))
            }
            return list
                + [matrix(.attentionOutput, rows: width, columns: attention.attendedWidth)]
        case .recurrent(.shortConvolution):
            return [
                matrix(.convolutionBefore, rows: width), matrix(.convolutionAfter, rows: width),
                matrix(.convolutionInput, rows: width), matrix(.convolutionOutput, rows: width)
            ]
        case .recurrent(.deltaRule(let mixer)):
            let keys = mixer.keyHeadCount * mixer.headWidth
            let inputs =
                mixer.decayBound == nil
                ? [matrix(.stateInput, rows: mixer.inputWidth)]
                : [
                    matrix(.attentionQuery, rows: keys), matrix(.attentionKey, rows: keys),
                    matrix(.attentionValue, rows: mixer.valueWidth)
                ]
            return inputs + [
                matrix(.stateGate, rows: mixer.valueWidth),
                matrix(.stateStep, rows: mixer.valueHeadCount),
                matrix(.stateDecay, rows: mixer.decayWidth),
                matrix(.stateOutput, rows: width, columns: mixer.valueWidth)
            ]
        case .recurrent(.stateSpace(let mixer)):
            return [
                matrix(.stateInput, rows: mixer.inputWidth),
                matrix(.stateGate, rows: mixer.valueWidth),
                matrix(.stateStep, rows: mixer.headCount),
                matrix(.stateOutput, rows: width, columns: mixer.valueWidth)
            ]
        case .latent(let mixer): return matrices(of: mixer)
        case .none: return []
        }
    }

    /// One expert's matrices, in the order of its bundle.
    package func expertMatrices(
        _ mixture: MixtureShape
    ) -> [(part: ExpertPart, shape: MatrixShape)] {
        let inner = MatrixShape(rows: mixture.width, columns: width)
        let rest = [
            (ExpertPart.up, inner), (.down, MatrixShape(rows: width, columns: mixture.width))
        ]
        return mixture.isGated ? [(.gate, inner)] + rest : rest
    }

    /// The token embeddings and the output matrix.
    package var outputShape: MatrixShape { MatrixShape(rows: vocabularySize, columns: width) }

    /// A table of rows; nil where the model has none.
    package subscript(_ table: RowTable) -> MatrixShape? {
        switch table {
        case .embeddings: outputShape
        case .layerEmbeddings:
            layerEmbeddingWidth == nil
                ? nil : MatrixShape(rows: vocabularySize, columns: layerEmbeddingsWidth)
        case .positionEmbeddings:
            learnedPositions.map { MatrixShape(rows: $0.count, columns: width) }
        }
    }

    /// Vectors that belong to no layer.
    package var modelVectors: [VectorShape] {
        var list = norms(.outputNorm, bias: .outputNormBias)
        if let width = layerEmbeddingWidth {
            list.append(VectorShape(role: .layerEmbeddingProjectionNorm, count: width))
        }
        if let rope = ropes.first(where: \.hasFrequencyFactors) {
            list.append(VectorShape(role: .ropeFrequencyFactors, count: rope.rotatedWidth / 2))
        }
        if let rope = ropes.first(where: { $0.longContextBeyond != nil }) {
            list += [VectorRole.ropeFactorsShort, .ropeFactorsLong].map {
                VectorShape(role: $0, count: rope.rotatedWidth / 2)
            }
        }
        return list
    }

    /// Vectors of one layer.
    package func vectors(of layer: LayerShape) -> [VectorShape] {
        var list: [VectorShape] = []
        if layer.norms.beforeMixer { list += norms(.attentionNorm, bias: .attentionNormBias) }
        if layer.norms.afterMixer { list += [VectorShape(role: .afterAttentionNorm, count: width)] }
        if layer.norms.beforeFeedForward {
            list += norms(.feedForwardNorm, bias: .feedForwardNormBias)
        }
        if layer.norms.afterFeedForward {
            list += [VectorShape(role: .afterFeedForwardNorm, count: width)]
        }
        if layerEmbeddingWidth != nil {
            list.append(VectorShape(role: .afterLayerEmbeddingNorm, count: width))
        }
        if layer.hasOutputScale { list.append(VectorShape(role: .layerScale, count: 1)) }
        if layer.feedForward.isBoth {
            list += [VectorRole.afterDenseNorm, .expertsNorm, .afterExpertsNorm].map {
                VectorShape(role: $0, count: width)
            }
        }
        switch layer.mixer {
        case .attention(let attention): list += vectors(of: attention)
        case .recurrent(let mixer): list += vectors(of: mixer)
        case .latent(let mixer):
            if let rank = mixer.queryRank {
                list.append(VectorShape(role: .queryCompressionNorm, count: rank))
            }
            list.append(VectorShape(role: .latentNorm, count: mixer.keyValueRank))
        case .none: break
        }
        if let dense = layer.feedForward.dense {
            let present: [(Bool, VectorRole, Int)] = [
                (dense.biases.gate, .feedForwardGateBias, dense.width),
                (dense.biases.up, .feedForwardUpBias, dense.width),
                (dense.biases.down, .feedForwardDownBias, width)
            ]
            list += present.filter(\.0).map { VectorShape(role: $0.1, count: $0.2) }
        }
        if let mixture = layer.feedForward.mixture, mixture.routerInput == .scaled {
            list.append(VectorShape(role: .routerScale, count: width))
        }
        if let mixture = layer.feedForward.mixture, mixture.hasScales == true {
            list.append(VectorShape(role: .expertScales, count: mixture.count))
        }
        if let mixture = layer.feedForward.mixture, mixture.hasRouterBias {
            list.append(VectorShape(role: .routerBias, count: mixture.count))
        }
        if layer.feedForward.mixture?.shared?.hasGate == true {
            list.append(VectorShape(role: .sharedExpertRouter, count: width))
        }
        if let mixture = layer.feedForward.mixture, mixture.hasSelectionBias {
            list.append(VectorShape(role: .expertSelectionBias, count: mixture.count))
        }
        return list
    }

    private func norms(_ role: VectorRole, bias: VectorRole) -> [VectorShape] {
        let weights = VectorShape(role: role, count: width)
        return norm.kind == .layer ? [weights, VectorShape(role: bias, count: width)] : [weights]
    }

    private func convolution(_ length: Int, channels: Int) -> VectorShape {
        VectorShape(role: .convolution, count: length * channels, columns: length)
    }

    /// One of all channels, or those of queries, keys and values apart.
    private func convolutions(_ mixer: DeltaRuleMixer) -> [VectorShape] {
        let length = mixer.convolutionLength
        guard mixer.decayBound != nil else {
            return [convolution(length, channels: mixer.inputWidth)]
        }
        let keys = mixer.keyHeadCount * mixer.headWidth
        return [
            (VectorRole.queryConvolution, keys), (.keyConvolution, keys),
            (.valueConvolution, mixer.valueWidth)
        ].map { VectorShape(role: $0, count: length * $1, columns: length) }
    }

    private func vectors(of mixer: StateSpaceMixer) -> [VectorShape] {
        var list = [convolution(mixer.convolutionLength, channels: mixer.inputWidth)]
        if mixer.hasConvolutionBias {
            list.append(VectorShape(role: .convolutionBias, count: mixer.inputWidth))
        }
        let heads = mixer.headCount
        return list + [
            VectorShape(role: .stateStepBias, count: heads),
            VectorShape(role: .stateDecayFactors, count: heads, columns: 1),
            VectorShape(role: .stateSkip, count: heads, columns: 1),
            VectorShape(
                role: .stateNorm, count: mixer.valueWidth,
                columns: mixer.valueWidth / mixer.groupCount)
        ]
    }

    private func vectors(of mixer: RecurrentMixer) -> [VectorShape] {
        switch mixer {
        case .shortConvolution(let mixer):
            [convolution(mixer.length, channels: width)]
        case .deltaRule(let mixer):
            convolutions(mixer) + [
                VectorShape(role: .stateStepBias, count: mixer.decayWidth),
                VectorShape(
                    role: .stateDecayFactors, count: mixer.valueHeadCount,
                    columns: mixer.decayBound == nil ? nil : 1),
                VectorShape(role: .stateNorm, count: mixer.headWidth)
            ]
        case .stateSpace(let mixer): vectors(of: mixer)
        }
    }

    private func vectors(of attention: AttentionMixer) -> [VectorShape] {
        var list: [VectorShape] = []
        let normed: (query: Int, key: Int)? =
            switch attention.headNorm {
            case .none: nil
            case .perHead: (attention.keyHeadWidth, attention.keyHeadWidth)
            case .wholeProjection: (attention.queryWidth, attention.keyWidth)
            }
        if let normed {
            list.append(VectorShape(role: .queryNorm, count: normed.query))
            if attention.keyValueLayer == nil {
                list.append(VectorShape(role: .keyNorm, count: normed.key))
            }
        }
        let present: [(Bool, VectorRole, Int)] = [
            (attention.biases.query, .queryBias, attention.queryWidth),
            (attention.biases.key, .keyBias, attention.keyWidth),
            (attention.biases.value, .valueBias, attention.valueWidth),
            (attention.biases.output, .attentionOutputBias, width),
            (attention.hasSinks, .attentionSinks, attention.headCount)
        ]
        return list + present.filter(\.0).map { VectorShape(role: $0.1, count: $0.2) }
    }
}
