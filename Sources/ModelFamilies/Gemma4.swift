// Gemma 4: heads of two sizes, values normed too, and more around each half than Gemma 3 has.

internal import ModelFormat

extension ModelFamily {
    /// Gemma 4 (GGUF's `gemma4`). Layers in a window have narrower heads, more of them for keys,
    /// and a rotary base of their own; of the others a part of each head turns. Scores are not
    /// scaled. A layer without a projection of values takes those of keys. Mixtures stand beside a
    /// dense network. In the E models the last layers read keys and values of earlier ones, and
    /// every layer has an embedding of its own for each token.
    static let gemma4 = ModelFamily("gemma4") { reader throws(FormatError) in
        var traits = DecoderTraits(pairing: .halves)
        traits.sizesMayDiffer = true
        traits.headNorm = .perHead
        traits.slots = .around
        traits.activation = .gelu
        traits.windows = WindowPattern(period: 6)
        traits.experts = .wherePresent
        traits.hasExpertWidthKey = true
        var shape = try reader.decoder(traits)
        shape.embeddingScale = Float(shape.width).squareRoot()
        shape.logitCap = try reader.positive("final_logit_softcapping")
        shape.changeMixtures { layer, mixture in
            mixture.routerInput = .scaled
            (mixture.gating, mixture.normalizesWeights, mixture.weightsScale) = (.softmax, true, 1)
            if reader.has(.expertScales, layer: layer) { mixture.hasScales = true }
        }
        for layer in shape.layers.indices {
            shape.layers[layer].hasOutputScale = reader.has(.layerScale, layer: layer)
        }
        let widths = try reader.windowedHeads(shape.attention)
        let base = try reader.float("rope.freq_base_swa", 1...1e12)
        shape.changeAttention { layer, mixer in
            mixer.scale = 1
            mixer.normsValues = true
            if !reader.hasMatrix(.attentionValue, layer: layer) { mixer.valuesAreKeys = true }
            guard mixer.window != nil else { return }
            (mixer.keyHeadWidth, mixer.valueHeadWidth) = (widths.key, widths.value)
            mixer.rope?.rotatedWidth = widths.rotated
            mixer.rope?.hasFrequencyFactors = false
            if let base { mixer.rope?.base = base }
        }
        let embedding = try reader.uniform(
            "embedding_length_per_layer_input", 0...ShapeReader.widthMax)
        shape.layerEmbeddingWidth = embedding == 0 ? nil : embedding
        try reader.shareKeys(&shape)
        return shape
    }
}

extension ShapeReader {
    /// `attention.shared_kv_layers`: so many of the last layers read what the last one of their
    /// kind before them has stored: the last of all, or with a window the one before it.
    fileprivate func shareKeys(_ shape: inout ModelShape) throws(FormatError) {
        let name = "attention.shared_kv_layers"
        let count = try uniform(name, 0...shape.layerCount) ?? 0
        let first = shape.layerCount - count
        guard count == 0 || first >= 2 else {
            throw wrong(
                name, expected: "at least 2 fewer than the \(shape.layerCount) layers",
                found: "\(count)")
        }
        shape.changeAttention { layer, mixer in
            guard layer >= first else { return }
            mixer.keyValueLayer = first - (mixer.window == nil ? 1 : 2)
            (mixer.valuesAreKeys, mixer.normsValues) = (nil, false)
        }
    }

    /// `*_swa`: widths of heads in layers with a window, as of the others where a file says
    /// nothing.
    fileprivate func windowedHeads(
        _ attention: AttentionMixer
    ) throws(FormatError) -> (key: Int, value: Int, rotated: Int) {
        let range = 1...Self.headWidthMax
        let key = try uniform("attention.key_length_swa", range) ?? attention.keyHeadWidth
        let value = try uniform("attention.value_length_swa", range) ?? attention.valueHeadWidth
        let name = "rope.dimension_count_swa"
        let rotated = try uniform(name, 1...key) ?? key
        guard rotated % 2 == 0 else {
            throw wrong(name, expected: "an even number", found: "\(rotated)")
        }
        return (key, value, rotated)
    }
}
