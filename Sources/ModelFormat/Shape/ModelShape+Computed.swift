// What shapes can say and nothing computes yet: refused by name where a model is imported, and
// where a packed file is opened.

extension ModelShape {
    /// What of this shape is not computed, in words; nil when all is.
    package var notComputed: String? {
        for (index, layer) in layers.enumerated() {
            if let what = layer.notComputed ?? notShared(index) {
                return "\(what) (layer \(index))"
            }
        }
        return notUniform
    }

    /// What is not computed of a layer that reads another's keys.
    private func notShared(_ index: Int) -> String? {
        guard case .attention(let attention) = layers[index].mixer,
            let source = attention.keyValueLayer
        else { return nil }
        guard (0..<index).contains(source), case .attention(let other) = layers[source].mixer,
            other.keyValueLayer == nil, attention.readsKeys(of: other)
        else { return "keys of another layer that has none like them" }
        return nil
    }

    /// What differs between layers and is computed only where it does not.
    private var notUniform: String? {
        func differs<Value: Equatable>(_ values: [Value]) -> Bool {
            values.contains { $0 != values[0] }
        }
        let factors = ropes.filter { $0.hasFrequencyFactors || $0.longContextBeyond != nil }
        if differs(factors.map { [$0.rotatedWidth, $0.longContextBeyond] }) {
            return "frequency factors of several lengths"
        }
        if latents.isEmpty, let what = notInParts { return what }
        if differs(layers.compactMap(\.feedForward.mixture?.withoutOwn)) {
            return "mixtures that differ between layers"
        }
        if differs(layers.compactMap(\.feedForward.dense?.isGated)) {
            return "gates in some layers"
        }
        if !latents.isEmpty && (latents.count < attentions.count || differs(latents.map(\.ranks))) {
            return "latents in some layers, or of several widths"
        }
        if attentions.isEmpty { return "no layer with attention" }
        if differs(recurrents.compactMap(\.self)) { return "states that differ between layers" }
        let activations = layers.map(\.feedForward).flatMap {
            [$0.dense?.activation, $0.mixture?.activation].compactMap(\.self)
        }
        if differs(activations) { return "activations that differ between layers" }
        return nil
    }

    /// What is not computed of layers whose heads of keys and values are in several parts.
    private var notInParts: String? {
        for (index, layer) in layers.enumerated() {
            guard case .attention(let attention) = layer.mixer else { continue }
            let parts = cacheLayers(of: index).count
            guard parts > 1 else { continue }
            let tile = WeightFormat.tileRows
            let widths = [attention.queryWidth, attention.keyWidth, attention.valueWidth]
            if widths.contains(where: { $0 / parts % tile != 0 })
                || attention.attendedWidth > attention.queryWidth || attention.hasSinks
                || attention.headNorm == .wholeProjection || attention.biases != .init()
                || attention.outputGate != .none
            {
                return "heads of keys that differ between layers"
            }
        }
        return nil
    }
}

extension MixtureShape {
    /// Layers may have that bias or not, and bounds of their own; all else is the same in all.
    fileprivate var withoutOwn: MixtureShape {
        var shape = self
        shape.hasSelectionBias = false
        shape.bound = nil
        shape.shared?.bound = nil
        return shape
    }
}

extension LayerShape {
    fileprivate var notComputed: String? {
        if wiring == .parallel { return "attention beside the feed-forward network" }
        let isHalf = mixer == .none || feedForward == .none
        if isHalf && (norms.afterMixer || norms.afterFeedForward) {
            return "norms on what a layer of one half adds"
        }
        if !isHalf
            && (norms.afterMixer != norms.afterFeedForward
                || norms.beforeMixer != norms.beforeFeedForward)
        {
            return "norms around one half of a layer"
        }
        if feedForward.isBoth
            && (norms != .around || residualScale != nil || feedForward.mixture?.shared != nil
                || feedForward.mixture?.routerInput != .scaled)
        {
            return "experts beside a dense network without norms around each"
        }
        if !feedForward.isBoth && feedForward.mixture?.routerInput == .scaled {
            return "a router that reads the scaled residual stream, of a mixture alone"
        }
        if feedForward.mixture != nil && norms.afterFeedForward && residualScale != nil {
            return "a norm and a scale of what experts add"
        }
        if feedForward.hasBoundsWithoutGates { return "bounds of what has no gate" }
        if feedForward.dense?.activation == .swigluOAI {
            return "a bounded gate in a dense network"
        }
        switch mixer {
        case .attention(let attention): return attention.notComputed
        case .latent(let latent): return latent.notComputed
        case .recurrent: return nil
        case .none: return feedForward == .none ? "nothing" : nil
        }
    }
}

extension FeedForwardShape {
    fileprivate var hasBoundsWithoutGates: Bool {
        let isMixture = mixture?.bound != nil || mixture?.shared?.bound != nil
        return dense?.bound != nil && dense?.isGated != true
            || isMixture && (mixture?.isGated != true || mixture?.activation == .swigluOAI)
    }
}

extension AttentionMixer {
    fileprivate var notComputed: String? {
        if normsRotated && headNorm != .perHead {
            return "norms of whole projections after the rotary embedding"
        }
        if valuesAreKeys == true && valueWidth != keyWidth {
            return "values that are keys of another width"
        }
        if keyValueLayer != nil && (biases.key || biases.value) {
            return "biases of keys of another layer"
        }
        return nil
    }

    /// Whether those can be read in the place of own ones.
    fileprivate func readsKeys(of other: AttentionMixer) -> Bool {
        keyValueHeadCount == other.keyValueHeadCount && keyHeadWidth == other.keyHeadWidth
            && valueHeadWidth == other.valueHeadWidth && window == other.window
    }
}

extension LatentMixer {
    fileprivate var ranks: [Int?] {
        [headCount, queryRank, plainHeadWidth, valueHeadWidth]
    }

    fileprivate var notComputed: String? {
        // Rows are met 16 numbers at a time, and heads end with tiles of rows.
        let tile = WeightFormat.tileRows
        if keyValueRank % tile != 0 || valueHeadWidth % tile != 0 {
            return "latents or heads of values whose width is no multiple of \(tile)"
        }
        return nil
    }
}
