// Which tensors a model of given hyperparameters consists of, and their shapes: the one table that
// import fills from a GGUF file and that a manifest is checked against. Shapes follow llama.cpp's
// tensor loading for the same architectures (llama-model.cpp); no tensor is optional unless it is
// there.

/// A matrix's shape: `rows` outputs of `columns` inputs.
package struct MatrixShape: Sendable, Equatable {
    package var rows: Int
    package var columns: Int
}

/// A vector that a model has or may have.
package struct VectorShape: Sendable, Equatable {
    package var role: VectorRole
    package var count: Int
    package var required: Bool
}

extension Hyperparameters {
    /// Matrices of one layer that every token needs, in execution order.
    ///
    /// - Parameter bundlesNeurons: whether a dense feed-forward network's neurons are bundles: only
    ///   its first projection is then a matrix.
    package func layerMatrices(
        bundlesNeurons: Bool
    ) -> [(role: MatrixRole, shape: MatrixShape)] {
        let queryWidth = headCount * keyHeadWidth
        var list: [(role: MatrixRole, shape: MatrixShape)] = [
            (.attentionQuery, MatrixShape(rows: queryWidth, columns: width)),
            (.attentionKey, MatrixShape(rows: keyValueHeadCount * keyHeadWidth, columns: width)),
            (
                .attentionValue,
                MatrixShape(rows: keyValueHeadCount * valueHeadWidth, columns: width)
            ),
            (.attentionOutput, MatrixShape(rows: width, columns: headCount * valueHeadWidth))
        ]
        if let experts {
            list.append((.router, MatrixShape(rows: experts.count, columns: width)))
            let shared = experts.sharedFeedForwardWidth
            if shared > 0 {
                let inner = MatrixShape(rows: shared, columns: width)
                list.append((.sharedExpertGate, inner))
                list.append((.sharedExpertUp, inner))
                list.append((.sharedExpertDown, MatrixShape(rows: width, columns: shared)))
            }
        } else {
            let inner = MatrixShape(rows: feedForwardWidth, columns: width)
            if hasGate { list.append((.feedForwardGate, inner)) }
            if !bundlesNeurons || !hasGate { list.append((.feedForwardUp, inner)) }
            guard !bundlesNeurons else { return list }
            list.append((.feedForwardDown, MatrixShape(rows: width, columns: feedForwardWidth)))
        }
        return list
    }

    /// Whether feed-forward networks have a gate.
    package var hasGate: Bool { architecture != .arcee && architecture != .nemotron }

    /// Whether a dense feed-forward network's activation makes most neurons' outputs exactly 0, so
    /// that import bundles neurons unless told otherwise.
    package var isSparse: Bool {
        guard experts == nil else { return false }
        switch activation ?? architecture.activation {
        case .relu, .relu2: return true
        case .silu, .gelu: return false
        }
    }

    /// One expert's matrices; nil for dense models.
    package var expertMatrices: (gate: MatrixShape, up: MatrixShape, down: MatrixShape)? {
        guard let experts else { return nil }
        let inner = MatrixShape(rows: experts.feedForwardWidth, columns: width)
        return (inner, inner, MatrixShape(rows: width, columns: experts.feedForwardWidth))
    }

    /// The token embeddings and the output matrix.
    package var outputShape: MatrixShape { MatrixShape(rows: vocabularySize, columns: width) }

    /// Vectors that belong to no layer.
    package var modelVectors: [VectorShape] {
        var list = [
            VectorShape(role: .outputNorm, count: width, required: true),
            VectorShape(
                role: .ropeFrequencyFactors, count: rope.rotatedWidth / 2, required: false)
        ]
        if architecture.usesLayerNorm {
            list.append(VectorShape(role: .outputNormBias, count: width, required: true))
        }
        return list
    }

    /// Vectors of one layer.
    package var layerVectors: [VectorShape] {
        var list = [
            VectorShape(role: .attentionNorm, count: width, required: true),
            VectorShape(role: .feedForwardNorm, count: width, required: true)
        ]
        if architecture.usesLayerNorm {
            list.append(VectorShape(role: .attentionNormBias, count: width, required: true))
            list.append(VectorShape(role: .feedForwardNormBias, count: width, required: true))
        }
        let queryWidth = headCount * keyHeadWidth
        let keyWidth = keyValueHeadCount * keyHeadWidth
        switch architecture {
        case .qwen3, .qwen3moe:
            list.append(VectorShape(role: .queryNorm, count: keyHeadWidth, required: true))
            list.append(VectorShape(role: .keyNorm, count: keyHeadWidth, required: true))
        case .olmoe:
            // Over all heads at once, unlike Qwen 3.
            list.append(VectorShape(role: .queryNorm, count: queryWidth, required: true))
            list.append(VectorShape(role: .keyNorm, count: keyWidth, required: true))
        case .llama, .qwen2, .qwen2moe, .nemotron:
            list += biases(queryWidth: queryWidth, keyWidth: keyWidth)
        case .arcee:
            break
        }
        if architecture == .qwen2moe, let experts, experts.sharedFeedForwardWidth > 0 {
            list.append(VectorShape(role: .sharedExpertRouter, count: width, required: true))
        }
        return list
    }

    /// Qwen 2 always has query, key and value biases; Llama-shaped models and Nemotron may have
    /// any.
    private func biases(queryWidth: Int, keyWidth: Int) -> [VectorShape] {
        let required = architecture != .llama && architecture != .nemotron
        let valueWidth = keyValueHeadCount * valueHeadWidth
        var list = [
            VectorShape(role: .queryBias, count: queryWidth, required: required),
            VectorShape(role: .keyBias, count: keyWidth, required: required),
            VectorShape(role: .valueBias, count: valueWidth, required: required)
        ]
        guard !required else { return list }
        list.append(VectorShape(role: .attentionOutputBias, count: width, required: false))
        guard experts == nil else { return list }
        for role in [VectorRole.feedForwardGateBias, .feedForwardUpBias]
        where hasGate || role != .feedForwardGateBias {
            list.append(VectorShape(role: role, count: feedForwardWidth, required: false))
        }
        list.append(VectorShape(role: .feedForwardDownBias, count: width, required: false))
        return list
    }

    /// Checks every number against what the layout, the kernels and plain arithmetic can hold, so
    /// that products of shapes never overflow.
    ///
    /// - Throws: `FormatError` naming the first that is out of bounds.
    package func checkBounds(file: String) throws(FormatError) {
        func check(_ value: Int, _ range: ClosedRange<Int>, _ what: String) throws(FormatError) {
            guard range.contains(value) else {
                throw FormatError(
                    file: file,
                    expected: "\(what) from \(range.lowerBound) to \(range.upperBound)",
                    found: "\(value)")
            }
        }
        let columns = PackedLimits.columnsMax
        try check(contextLength, 1...PackedLimits.contextLengthMax, "context length")
        try check(layerCount, 1...PackedLimits.layersMax, "layer count")
        try check(width, 1...columns, "width")
        try check(headCount, 1...columns, "head count")
        try check(keyValueHeadCount, 1...headCount, "key-value head count")
        try check(headCount % keyValueHeadCount, 0...0, "heads left over by key-value heads")
        try check(keyHeadWidth, 1...columns / headCount, "key head width")
        try check(valueHeadWidth, 1...columns / headCount, "value head width")
        try check(feedForwardWidth, (experts == nil ? 1 : 0)...columns, "feed-forward width")
        try check(vocabularySize, 1...PackedLimits.rowsMax, "vocabulary size")
        try check(rope.rotatedWidth, 0...keyHeadWidth, "rotated width")
        try check(rope.rotatedWidth % 2, 0...0, "odd elements of rotated width")
        if let experts {
            try check(experts.count, 1...PackedLimits.expertsMax, "expert count")
            try check(experts.usedCount, 1...experts.count, "used expert count")
            try check(experts.feedForwardWidth, 1...columns, "expert feed-forward width")
            try check(experts.sharedFeedForwardWidth, 0...columns, "shared expert width")
        }
        try checkConstants(file: file)
    }

    private func checkConstants(file: String) throws(FormatError) {
        func check(_ value: Float, positive: Bool, _ what: String) throws(FormatError) {
            guard value.isFinite, positive ? value > 0 : true else {
                throw FormatError(
                    file: file, expected: "a finite\(positive ? " positive" : "") \(what)",
                    found: "\(value)")
            }
        }
        try check(normEpsilon, positive: false, "norm epsilon")
        guard normEpsilon >= 0 else {
            throw FormatError(
                file: file, expected: "a norm epsilon of at least 0", found: "\(normEpsilon)")
        }
        try check(rope.base, positive: true, "rotary base")
        if let experts { try check(experts.weightsScale, positive: false, "expert weights scale") }
        switch rope.scaling {
        case .none: break
        case .linear(let factor): try check(factor, positive: true, "rotary scaling factor")
        case .yarn(let yarn):
            try check(yarn.factor, positive: true, "rotary scaling factor")
            try check(yarn.extrapolationFactor, positive: false, "extrapolation factor")
            try check(yarn.attentionFactor, positive: false, "attention factor")
            try check(yarn.betaFast, positive: false, "YaRN beta")
            try check(yarn.betaSlow, positive: false, "YaRN beta")
            guard (1...PackedLimits.contextLengthMax).contains(yarn.originalContextLength) else {
                throw FormatError(
                    file: file, expected: "a positive original context length",
                    found: "\(yarn.originalContextLength)")
            }
        }
    }
}
