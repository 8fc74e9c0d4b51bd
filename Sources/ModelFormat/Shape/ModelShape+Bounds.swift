// Numbers of shapes within what the layout, the kernels and plain arithmetic can hold: checked
// first, so that no product of shapes overflows.

extension ModelShape {
    /// Checks every number.
    ///
    /// - Throws: `FormatError` naming the first that is out of bounds.
    package func checkBounds(file: String) throws(FormatError) {
        let checker = BoundsChecker(file: file)
        let columns = PackedLimits.columnsMax
        try checker.check(contextLength, 1...PackedLimits.contextLengthMax, "context length")
        try checker.check(layerCount, 1...PackedLimits.layersMax, "layer count")
        try checker.check(width, 1...columns, "width")
        if let positions = learnedPositions {
            try checker.check(positions.offset, 0...PackedLimits.rowsMax, "offset of positions")
            try checker.check(
                positions.count, contextLength + positions.offset...PackedLimits.rowsMax,
                "count of positions")
        }
        if let layerEmbeddingWidth {
            // A token's are one row.
            try checker.check(
                layerEmbeddingWidth, 1...columns / layerCount, "width of layers' embeddings")
        }
        try checker.check(vocabularySize, 1...PackedLimits.rowsMax, "vocabulary size")
        try checker.check(norm.epsilon, isPositive: false, "norm epsilon")
        guard norm.epsilon >= 0 else {
            throw FormatError(
                file: file, expected: "a norm epsilon of at least 0", found: "\(norm.epsilon)")
        }
        for scale in [embeddingScale, logitScale, logitCap].compactMap({ $0 }) {
            try checker.check(scale, isPositive: true, "scale")
        }
        for layer in layers {
            switch layer.mixer {
            case .attention(let attention): try checker.check(attention)
            case .recurrent(let mixer): try checker.check(mixer)
            case .latent(let latent): try checker.check(latent)
            case .none: break
            }
            if let dense = layer.feedForward.dense {
                try checker.check(dense.width, 1...columns, "feed-forward width")
            }
            if let mixture = layer.feedForward.mixture { try checker.check(mixture) }
            let mixture = layer.feedForward.mixture
            for bound in [
                layer.feedForward.dense?.bound, mixture?.bound, mixture?.shared?.bound
            ] {
                if let bound { try checker.check(bound, isPositive: true, "bound of gates") }
            }
            if let scale = layer.residualScale {
                try checker.check(scale, isPositive: true, "residual scale")
            }
        }
    }
}

private struct BoundsChecker {
    let file: String

    func check(_ value: Int, _ range: ClosedRange<Int>, _ what: String) throws(FormatError) {
        guard range.contains(value) else {
            throw FormatError(
                file: file, expected: "\(what) from \(range.lowerBound) to \(range.upperBound)",
                found: "\(value)")
        }
    }

    func check(_ value: Float, isPositive: Bool, _ what: String) throws(FormatError) {
        guard value.isFinite, isPositive ? value > 0 : true else {
            throw FormatError(
                file: file, expected: "a finite\(isPositive ? " positive" : "") \(what)",
                found: "\(value)")
        }
    }

    func check(_ attention: AttentionMixer) throws(FormatError) {
        let columns = PackedLimits.columnsMax
        let heads = attention.headCount
        try check(heads, 1...columns, "head count")
        try check(attention.keyValueHeadCount, 1...heads, "key-value head count")
        try check(
            heads % attention.keyValueHeadCount, 0...0, "heads left over by key-value heads")
        try check(attention.keyHeadWidth, 1...columns / heads, "key head width")
        try check(attention.valueHeadWidth, 1...columns / heads, "value head width")
        if let scale = attention.scale { try check(scale, isPositive: true, "attention scale") }
        if let window = attention.window {
            try check(window, 1...PackedLimits.contextLengthMax, "attention window")
        }
        if let cap = attention.scoreCap { try check(cap, isPositive: true, "cap on scores") }
        if let temperature = attention.positionTemperature {
            try check(temperature.scale, isPositive: true, "attention temperature")
            try check(
                temperature.interval, 1...PackedLimits.contextLengthMax, "temperature interval")
        }
        if let rope = attention.rope { try check(rope, headWidth: attention.keyHeadWidth) }
    }

    func check(_ latent: LatentMixer) throws(FormatError) {
        let columns = PackedLimits.columnsMax
        let heads = latent.headCount
        try check(latent.attention)
        try check(latent.queryRank ?? 1, 1...columns, "query rank")
        try check(latent.plainHeadWidth, 1...columns / heads, "plain head width")
        try check(latent.valueHeadWidth, 1...columns / heads, "value head width")
    }

    func check(_ mixer: RecurrentMixer) throws(FormatError) {
        let columns = PackedLimits.columnsMax
        let lengths = PackedLimits.convolutionLengths
        switch mixer {
        case .shortConvolution(let mixer):
            try check(mixer.length, lengths, "convolution length")
        case .deltaRule(let mixer):
            try check(mixer.convolutionLength, lengths, "convolution length")
            let heads = mixer.valueHeadCount
            try check(heads, 1...columns, "state head count")
            try check(mixer.keyHeadCount, 1...heads, "state key head count")
            try check(heads % mixer.keyHeadCount, 0...0, "state heads left over by those of keys")
            try check(mixer.headWidth, 1...columns / (3 * heads), "state head width")
        case .stateSpace(let mixer):
            try check(mixer.convolutionLength, lengths, "convolution length")
            let heads = mixer.headCount
            try check(heads, 1...columns, "state head count")
            try check(mixer.headWidth, 1...columns / (2 * heads), "state head width")
            try check(mixer.groupCount, 1...heads, "state group count")
            try check(heads % mixer.groupCount, 0...0, "state heads left over by groups")
            try check(mixer.stateWidth, 1...columns / (4 * mixer.groupCount), "state width")
        }
    }

    func check(_ mixture: MixtureShape) throws(FormatError) {
        let columns = PackedLimits.columnsMax
        try check(mixture.count, 1...PackedLimits.expertsMax, "expert count")
        try check(mixture.usedCount, 1...mixture.count, "used expert count")
        try check(mixture.width, 1...columns, "expert feed-forward width")
        if let shared = mixture.shared {
            try check(shared.width, 1...columns, "shared expert width")
        }
        try check(mixture.weightsScale, isPositive: false, "expert weights scale")
        guard let groups = mixture.groupCount else { return }
        try check(groups, 2...max(2, mixture.count / 2), "expert group count")
        try check(mixture.count % groups, 0...0, "experts left over by groups")
        let used = mixture.groupUsedCount ?? 0
        try check(used, 1...groups, "used expert group count")
        try check(mixture.usedCount, 1...used * (mixture.count / groups), "used expert count")
    }

    private func check(_ rope: RotaryEmbedding, headWidth: Int) throws(FormatError) {
        try check(rope.rotatedWidth, 0...headWidth, "rotated width")
        try check(rope.rotatedWidth % 2, 0...0, "odd elements of rotated width")
        try check(rope.base, isPositive: true, "rotary base")
        if let context = rope.longContextBeyond {
            try check(context, 1...PackedLimits.contextLengthMax, "short context length")
        }
        switch rope.scaling {
        case .none: break
        case .linear(let factor): try check(factor, isPositive: true, "rotary scaling factor")
        case .yarn(let yarn):
            try check(yarn.factor, isPositive: true, "rotary scaling factor")
            try check(yarn.extrapolationFactor, isPositive: false, "extrapolation factor")
            try check(yarn.attentionFactor, isPositive: false, "attention factor")
            try check(yarn.betaFast, isPositive: false, "YaRN beta")
            try check(yarn.betaSlow, isPositive: false, "YaRN beta")
            try check(
                yarn.originalContextLength, 1...PackedLimits.contextLengthMax,
                "original context length")
        }
    }
}
