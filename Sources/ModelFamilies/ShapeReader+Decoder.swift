// The shape that most families share: attention and a feed-forward network in every layer. A family
// says what its files do not, and then changes single layers.

internal import ModelFormat

/// What a family's files do not spell out.
struct DecoderTraits {
    enum Biases {
        case none
        /// Query, key and value always have them.
        case queryKeyValue
        /// Whatever biases the file has.
        case wherePresent
    }

    enum Presence {
        case none, wherePresent, required
    }

    enum Shared {
        case none
        /// Where the file gives its width.
        case whereNamed
        /// Always; as wide as a dense network where the file does not say.
        case plain
        /// The same behind a sigmoid gate.
        case gated
        /// As wide as so many experts of that width, or of the mixture's.
        case counted
    }

    var pairing: RotaryPairing
    /// Whether layers may have more or fewer query heads than others.
    var headsMayDiffer = false
    /// Whether layers may have more or fewer heads of keys, wider or narrower networks, and experts
    /// beside those.
    var sizesMayDiffer = false
    /// Whether 0 heads of keys stand for a layer without attention, whatever it has instead.
    var mayLackAttention = false
    /// Whether rotary frequencies may have divisors of their own in long contexts.
    var mayHaveLongContexts = false
    /// Whether less than a head may be rotated.
    var mayRotatePartly = true
    var headNorm = AttentionMixer.HeadNorm.none
    var normsRotated = false
    var biases = Biases.none
    var norm = NormShape.Kind.rootMeanSquare
    var slots = NormSlots.before
    var activation = Activation.silu
    var isGated = true
    var experts = Presence.none
    /// Whether the first layers may have a dense network instead.
    var mayLeadDense = false
    /// Of the layers after those, one of so many has experts.
    var hasExpertStep = false
    var hasExpertWidthKey = false
    /// Whether a layer may be a mixer or a network alone: where its feed-forward width is 0, and
    /// where it is not.
    var hasHalfLayers = false
    /// Whether the norms' epsilon may be named as a layer norm's.
    var mayNameLayerEpsilon = false
    var sharedExpert = Shared.none
    var selectionBias = Presence.none
    /// Where the file does not say, as the next.
    var gating = MixtureShape.Gating.softmax
    var normalizesExpertWeights = false
    /// Which layers attend in the window that the file names; nil: that is not known, and the
    /// context is kept within it, where all positions are seen either way.
    var windows: WindowPattern?

    init(pairing: RotaryPairing) { self.pairing = pairing }
}

/// All layers of a period but one attend in a window.
struct WindowPattern {
    var period: Int
    /// Whether the one without comes first in the period, rather than last.
    var isFullFirst = false
    /// Of the window, where the file names none; nil is none.
    var length: Int?

    /// A period of 0 has none without.
    func hasWindow(_ layer: Int) -> Bool {
        period == 0 || layer % period != (isFullFirst ? 0 : period - 1)
    }
}

extension ShapeReader {
    /// The shape of a model whose layers are alike, but for which of them are mixtures.
    ///
    /// - Throws: `FormatError` for a missing key, or a value that makes no sense.
    func decoder(_ traits: DecoderTraits) throws(FormatError) -> ModelShape {
        let window = try window(default: traits.windows?.length)
        var context = try required("context_length", 1...Self.contextMax)
        if traits.windows == nil, let window { context = min(context, window) }
        let layers = try draftLayers().lowerBound
        let width = try required("embedding_length", 1...Self.widthMax)
        let attention = try attention(
            layers: layers, width: width, contextLength: context, traits)
        let networks = try networks(layers, traits)
        var shape = ModelShape(
            architecture: architecture, contextLength: context, width: width,
            vocabularySize: try vocabularySize(width: width),
            norm: NormShape(traits.norm, epsilon: try normEpsilon(traits)),
            layers: networks.enumerated().map { index, network in
                let layer = LayerShape(
                    mixer: .attention(attention), feedForward: network, norms: traits.slots)
                return withBiases(layer, index, traits)
            })
        let heads = try headCounts(layers: layers, traits)
        shape.changeAttention { layer, mixer in mixer.headCount = heads[layer] }
        if traits.sizesMayDiffer {
            let keyValueHeads = try divisors(of: heads)
            shape.changeAttention { layer, mixer in
                mixer.keyValueHeadCount = keyValueHeads[layer]
            }
        }
        if let window, let pattern = traits.windows {
            let isWindowed = try windowedLayers(layers, pattern)
            shape.changeAttention { layer, mixer in
                if isWindowed[layer] { mixer.window = window }
            }
        }
        return shape
    }

    /// The layers after the model's own that are made to draft tokens: files count them among the
    /// blocks (multi-token prediction).
    func draftLayers() throws(FormatError) -> Range<Int> {
        let all = try required("block_count", 1...Self.layersMax)
        let name = "nextn_predict_layers"
        let drafts = try uniform(name, 0...Int(UInt32.max)) ?? 0
        guard drafts < all else {
            throw wrong(
                name, expected: "fewer than the \(all) blocks, which it counts among them",
                found: "\(drafts)")
        }
        return all - drafts..<all
    }

    /// Each layer's feed-forward network.
    private func networks(
        _ layers: Int, _ traits: DecoderTraits
    ) throws(FormatError) -> [FeedForwardShape] {
        let mixture = try mixture(traits)
        let areMixtures = try mixtureLayers(layers, isMixture: mixture != nil, traits)
        func dense(_ width: Int) -> FeedForwardShape {
            FeedForwardShape(
                DenseShape(width: width, activation: traits.activation, isGated: traits.isGated))
        }
        if traits.hasHalfLayers {
            return try feedForwardWidths(layers).map { width in
                guard width > 0 else { return .none }
                return mixture.map { FeedForwardShape($0) } ?? dense(width)
            }
        }
        if traits.sizesMayDiffer {
            return try feedForwardWidths(layers, least: 1).enumerated().map { layer, width in
                var both = dense(width)
                if hasMatrix(.router, layer: layer) { both.mixture = mixture }
                return both
            }
        }
        var plain: FeedForwardShape?
        if areMixtures.contains(false) {
            plain = dense(try requiredUniform("feed_forward_length", 1...Self.feedForwardWidthMax))
        }
        let networks = (mixture.map { FeedForwardShape($0) }, plain)
        return areMixtures.map { ($0 ? networks.0 : networks.1) ?? FeedForwardShape.none }
    }

    /// `feed_forward_length` of each layer; 0 where it has no network.
    private func feedForwardWidths(
        _ layers: Int, least: Int = 0
    ) throws(FormatError) -> [Int] {
        let name = "feed_forward_length"
        var list = try metadata.integers(key(name), countMax: Self.layersMax) ?? []
        if list.count == 1 { list = Array(repeating: list[0], count: layers) }
        let range = least...Self.feedForwardWidthMax
        guard list.count >= layers, list.allSatisfy({ range.contains($0) }) else {
            throw wrong(
                name, expected: "a width up to \(range.upperBound) for each layer",
                found: "\(list.count) values")
        }
        return Array(list.prefix(layers))
    }

    /// Which layers are mixtures, in a model that has some.
    private func mixtureLayers(
        _ layers: Int, isMixture: Bool, _ traits: DecoderTraits
    ) throws(FormatError) -> [Bool] {
        guard isMixture else { return Array(repeating: false, count: layers) }
        var (lead, step) = (0, 1)
        if traits.mayLeadDense {
            lead = try uniform("leading_dense_block_count", 0...Self.layersMax) ?? 0
        }
        if traits.hasExpertStep {
            step = try uniform("interleave_moe_layer_step", 1...Self.layersMax) ?? 1
        }
        return (0..<layers).map { $0 >= lead && ($0 + 1) % step == 0 }
    }

    /// A layer with the biases that it has.
    private func withBiases(
        _ layer: LayerShape, _ index: Int, _ traits: DecoderTraits
    ) -> LayerShape {
        var layer = layer
        layer.feedForward.mixture?.hasSelectionBias =
            switch traits.selectionBias {
            case .none: false
            case .wherePresent: has(.expertSelectionBias, layer: index)
            case .required: true
            }
        guard case .attention(var attention) = layer.mixer, traits.biases != .none else {
            return layer
        }
        if traits.biases == .queryKeyValue {
            (attention.biases.query, attention.biases.key) = (true, true)
            attention.biases.value = true
        } else {
            attention.biases.query = has(.queryBias, layer: index)
            attention.biases.key = has(.keyBias, layer: index)
            attention.biases.value = has(.valueBias, layer: index)
            attention.biases.output = has(.attentionOutputBias, layer: index)
            layer.feedForward.dense?.biases.gate =
                traits.isGated && has(.feedForwardGateBias, layer: index)
            layer.feedForward.dense?.biases.up = has(.feedForwardUpBias, layer: index)
            layer.feedForward.dense?.biases.down = has(.feedForwardDownBias, layer: index)
        }
        layer.mixer = .attention(attention)
        return layer
    }

    private func attention(
        layers: Int, width: Int, contextLength: Int, _ traits: DecoderTraits
    ) throws(FormatError) -> AttentionMixer {
        let counts = try headCounts(layers: layers, traits)
        let heads = counts.max() ?? 1
        let keyValueHeads = try keyValueHeadCount(heads: counts, traits)
        let keyWidth = try headWidth("attention.key_length", width: width, heads: heads)
        let valueWidth = try headWidth("attention.value_length", width: width, heads: heads)
        var attention = AttentionMixer(
            headCount: heads, keyValueHeadCount: keyValueHeads, keyHeadWidth: keyWidth,
            valueHeadWidth: valueWidth,
            rope: try rotaryEmbedding(
                headWidth: keyWidth, contextLength: contextLength, traits))
        attention.headNorm = traits.headNorm
        attention.normsRotated = traits.normsRotated
        return attention
    }

    /// `attention.sliding_window`: the newest positions that are seen; 0 stands for all.
    private func window(default length: Int?) throws(FormatError) -> Int? {
        let name = "attention.sliding_window"
        let window = try uniform(name, 0...Int(UInt32.max)) ?? length ?? 0
        return window == 0 ? nil : min(window, Self.contextMax)
    }

    /// `attention.sliding_window_pattern`: a period, or layer by layer; else the family's own.
    private func windowedLayers(
        _ layers: Int, _ pattern: WindowPattern
    ) throws(FormatError) -> [Bool] {
        var pattern = pattern
        let name = "attention.sliding_window_pattern"
        if let entry = metadata.entry(key(name)), entry.type == .array {
            let list = try metadata.integers(key(name), countMax: Self.layersMax) ?? []
            guard list.count >= layers else {
                throw wrong(name, expected: "a value for each layer", found: "\(list.count) values")
            }
            return list.prefix(layers).map { $0 != 0 }
        }
        if let period = try uniform(name, 0...Self.layersMax) { pattern.period = period }
        return (0..<layers).map { pattern.hasWindow($0) }
    }

    /// `attention.head_count`: of each layer, where a family allows that, else of all.
    private func headCounts(
        layers: Int, _ traits: DecoderTraits
    ) throws(FormatError) -> [Int] {
        let name = "attention.head_count"
        guard traits.headsMayDiffer, metadata.entry(key(name))?.type == .array else {
            let count = try requiredUniform(name, 1...Self.headsMax)
            return Array(repeating: count, count: layers)
        }
        let list = try metadata.integers(key(name), countMax: Self.layersMax) ?? []
        guard list.count >= layers, list.allSatisfy({ (1...Self.headsMax).contains($0) }) else {
            throw wrong(
                name, expected: "1 to \(Self.headsMax) heads for each layer",
                found: "\(list.prefix(4)) and so on, \(list.count) values")
        }
        return Array(list.prefix(layers))
    }

    /// `attention.head_count_kv`: of each layer; 0 where a layer has no attention.
    func keyValueHeadCounts(layers: Int) throws(FormatError) -> [Int] {
        let name = "attention.head_count_kv"
        let list = try metadata.integers(key(name), countMax: Self.layersMax) ?? []
        if list.count == 1 { return Array(repeating: list[0], count: layers) }
        guard list.count >= layers, list.allSatisfy({ (0...Self.headsMax).contains($0) }) else {
            throw wrong(
                name, expected: "0 to \(Self.headsMax) heads for each layer",
                found: "\(list.count) values")
        }
        return Array(list.prefix(layers))
    }

    /// `attention.head_count_kv` of each layer, which divides its heads.
    private func divisors(of heads: [Int]) throws(FormatError) -> [Int] {
        let name = "attention.head_count_kv"
        guard metadata.entry(key(name)) != nil else { return heads }
        let counts = try keyValueHeadCounts(layers: heads.count)
        for (count, heads) in zip(counts, heads) where count == 0 || heads % count != 0 {
            throw wrong(name, expected: "divisors of the \(heads) heads", found: "\(count)")
        }
        return counts
    }

    private func keyValueHeadCount(
        heads: [Int], _ traits: DecoderTraits
    ) throws(FormatError) -> Int {
        let fewest = heads.min() ?? 1
        let count: Int
        if traits.sizesMayDiffer { return fewest }
        if traits.mayLackAttention, metadata.entry(key("attention.head_count_kv"))?.type == .array {
            let all = Set(try keyValueHeadCounts(layers: heads.count)).subtracting([0])
            guard let one = all.first, all.count == 1, one <= fewest else {
                throw wrong(
                    "attention.head_count_kv",
                    expected: "0 or one number, up to \(fewest), in every layer",
                    found: all.isEmpty
                        ? "none"
                        : all.sorted().prefix(4).map(String.init).joined(separator: ", "))
            }
            count = one
        } else {
            count = try uniform("attention.head_count_kv", 1...fewest) ?? fewest
        }
        guard let odd = heads.first(where: { $0 % count != 0 }) else { return count }
        throw wrong(
            "attention.head_count_kv", expected: "a divisor of the \(odd) heads",
            found: "\(count)")
    }

    private func headWidth(
        _ name: String, width: Int, heads: Int
    ) throws(FormatError) -> Int {
        if let value = try uniform(name, 1...Self.headWidthMax) { return value }
        guard width % heads == 0, width / heads <= Self.headWidthMax else {
            throw wrong(
                name, expected: "a value, as \(heads) heads do not divide the width \(width)",
                found: "none")
        }
        return width / heads
    }

    private func normEpsilon(_ traits: DecoderTraits) throws(FormatError) -> Float {
        let kind = traits.norm
        let name = "attention.layer_norm_\(kind == .layer ? "" : "rms_")epsilon"
        let range = Float.leastNonzeroMagnitude...1
        if let epsilon = try float(name, range) { return epsilon }
        if traits.mayNameLayerEpsilon,
            let epsilon = try float("attention.layer_norm_epsilon", range)
        {
            return epsilon
        }
        throw metadata.missing(key(name))
    }
}
