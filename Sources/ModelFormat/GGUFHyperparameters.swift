// A model's shape out of GGUF metadata, with llama.cpp's keys and defaults. Every value has a sane
// range; what the metadata leaves out is derived from other values or from tensor shapes, and what
// this project does not compute is refused by name.

extension GGUFFile {
    /// The model's shape and constants.
    ///
    /// - Throws: `FormatError` for an unknown architecture, a missing key, or a value that makes no
    ///   sense.
    package func hyperparameters() throws(FormatError) -> Hyperparameters {
        try GGUFHyperparameterReader(file: self, architecture: architecture()).hyperparameters()
    }
}

private struct GGUFHyperparameterReader {
    let file: GGUFFile
    let architecture: Architecture

    static let layersMax = 1_024
    static let widthMax = 1 << 20
    static let feedForwardWidthMax = 1 << 22
    static let headsMax = 1 << 14
    static let headWidthMax = 1 << 14
    static let contextMax = 1 << 30
    static let expertsMax = 4_096
    static let vocabularyMax = GGUFLimits.tableStrings

    var metadata: GGUFMetadata { file.metadata }

    func hyperparameters() throws(FormatError) -> Hyperparameters {
        let context = try contextLength()
        let layers = try required("block_count", 1...Self.layersMax)
        let width = try required("embedding_length", 1...Self.widthMax)
        let heads = try requiredUniform("attention.head_count", 1...Self.headsMax)
        let keyValueHeads = try keyValueHeadCount(heads: heads)
        let keyWidth = try headWidth("attention.key_length", width: width, heads: heads)
        let valueWidth = try headWidth("attention.value_length", width: width, heads: heads)
        let experts = try experts()
        let feedForwardWidth =
            experts == nil
            ? try requiredUniform("feed_forward_length", 1...Self.feedForwardWidthMax) : 0
        return Hyperparameters(
            architecture: architecture, contextLength: context, layerCount: layers, width: width,
            headCount: heads, keyValueHeadCount: keyValueHeads, keyHeadWidth: keyWidth,
            valueHeadWidth: valueWidth, feedForwardWidth: feedForwardWidth,
            vocabularySize: try vocabularySize(width: width), normEpsilon: try normEpsilon(),
            rope: try rotaryEmbedding(headWidth: keyWidth, contextLength: context),
            experts: experts)
    }

    // MARK: Attention

    /// These families attend to everything, in llama.cpp too. A file that names a sliding window is
    /// limited to it: within the window both are the same, so the answer stays exact.
    private func contextLength() throws(FormatError) -> Int {
        let context = try required("context_length", 1...Self.contextMax)
        let window = try uniform("attention.sliding_window", 0...Int(UInt32.max)) ?? 0
        return window == 0 ? context : min(context, window)
    }

    private func keyValueHeadCount(heads: Int) throws(FormatError) -> Int {
        let count = try uniform("attention.head_count_kv", 1...heads) ?? heads
        guard heads % count == 0 else {
            throw wrong(
                "attention.head_count_kv", expected: "a divisor of the \(heads) heads",
                found: "\(count)")
        }
        return count
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

    private func normEpsilon() throws(FormatError) -> Float {
        let name = "attention.layer_norm_\(architecture.usesLayerNorm ? "" : "rms_")epsilon"
        guard let epsilon = try float(name, Float.leastNonzeroMagnitude...1) else {
            throw metadata.missing(key(name))
        }
        return epsilon
    }

    // MARK: Feed-forward

    private func experts() throws(FormatError) -> Experts? {
        let count = try uniform("expert_count", 0...Self.expertsMax) ?? 0
        guard count > 0 else {
            guard !needsExperts else { throw metadata.missing(key("expert_count")) }
            return nil
        }
        guard needsExperts || architecture == .llama else {
            throw wrong("expert_count", expected: "no experts in this family", found: "\(count)")
        }
        let used = try requiredUniform("expert_used_count", 1...count)
        return Experts(
            count: count, usedCount: used, feedForwardWidth: try expertWidth(used: used),
            sharedFeedForwardWidth: try sharedExpertWidth(), gating: try gating(),
            normalizesWeights: try metadata.bool(key("expert_weights_norm")),
            weightsScale: try weightsScale())
    }

    private var needsExperts: Bool {
        switch architecture {
        case .qwen2moe, .qwen3moe, .olmoe: true
        case .llama, .qwen2, .qwen3, .arcee, .nemotron: false
        }
    }

    /// Mixtral and OLMoE give their experts' width as `feed_forward_length`. Qwen's files have a
    /// key of their own; where it is missing llama.cpp divides.
    private func expertWidth(used: Int) throws(FormatError) -> Int {
        let range = 1...Self.feedForwardWidthMax
        switch architecture {
        case .qwen2moe, .qwen3moe:
            if let width = try uniform(
                "expert_feed_forward_length", 0...Self.feedForwardWidthMax), width > 0
            {
                return width
            }
            let total = try requiredUniform("feed_forward_length", range)
            guard total % used == 0 else {
                throw wrong(
                    "feed_forward_length", expected: "a multiple of the \(used) experts used",
                    found: "\(total)")
            }
            return total / used
        default: return try requiredUniform("feed_forward_length", range)
        }
    }

    private func sharedExpertWidth() throws(FormatError) -> Int {
        guard architecture == .qwen2moe else { return 0 }
        let range = 0...Self.feedForwardWidthMax
        let width = try uniform("expert_shared_feed_forward_length", range) ?? 0
        return width > 0
            ? width : try requiredUniform("feed_forward_length", 1...Self.feedForwardWidthMax)
    }

    private func gating() throws(FormatError) -> Experts.Gating {
        let name = "expert_gating_func"
        switch try uniform(name, 0...Int(UInt32.max)) ?? 0 {
        case 0, 1: return .softmax
        case 2: return .sigmoid
        case let value:
            throw wrong(
                name, expected: "1 (softmax) or 2 (sigmoid)",
                found: value == 3 ? "3 (softmax over the used experts' weights)" : "\(value)")
        }
    }

    /// 0 stands for "no scale", as in llama.cpp.
    private func weightsScale() throws(FormatError) -> Float {
        let scale = try float("expert_weights_scale", 0...1_000_000) ?? 0
        return scale == 0 ? 1 : scale
    }

    // MARK: Positions

    private func rotaryEmbedding(
        headWidth: Int, contextLength: Int
    ) throws(FormatError) -> RotaryEmbedding {
        let name = "rope.dimension_count"
        let width = try uniform(name, 1...headWidth) ?? headWidth
        guard width % 2 == 0 else {
            throw wrong(name, expected: "an even number", found: "\(width)")
        }
        guard architecture != .llama || width == headWidth else {
            throw wrong(name, expected: "\(headWidth), the width of a head", found: "\(width)")
        }
        return RotaryEmbedding(
            base: try float("rope.freq_base", 1...1e12) ?? 10_000, rotatedWidth: width,
            scaling: try ropeScaling(contextLength: contextLength))
    }

    /// `rope.scaling.*`. A factor without a type means linear scaling, as in llama.cpp.
    private func ropeScaling(
        contextLength: Int
    ) throws(FormatError) -> RotaryEmbedding.Scaling {
        let type = try metadata.string(key("rope.scaling.type")) ?? "linear"
        guard ["none", "linear", "yarn"].contains(type) else {
            throw wrong(
                "rope.scaling.type", expected: "none, linear or yarn", found: shown(type))
        }
        let factor = type == "none" ? 1 : try ropeFactor()
        let attention = try float("rope.scaling.attn_factor", 0...1_000_000) ?? 1
        var yarn = try yarn(factor: factor, contextLength: contextLength)
        yarn.attentionFactor = attention
        if type == "yarn", factor != 1 { return .yarn(yarn) }
        if attention != 1 {
            // Linear scaling with a factor on the rotation is YaRN that extrapolates nothing.
            yarn.extrapolationFactor = 0
            return .yarn(yarn)
        }
        return factor == 1 ? .none : .linear(factor: factor)
    }

    /// 0 stands for "no scaling"; old files use another key.
    private func ropeFactor() throws(FormatError) -> Float {
        let range: ClosedRange<Float> = 0...1_000_000
        var factor = try float("rope.scaling.factor", range)
        if factor == nil { factor = try float("rope.scale_linear", range) }
        return factor.flatMap { $0 == 0 ? nil : $0 } ?? 1
    }

    /// `yarn_attn_factor` is not read: llama.cpp computes that value itself, and only
    /// `attn_factor` multiplies it.
    private func yarn(
        factor: Float, contextLength: Int
    ) throws(FormatError) -> RotaryEmbedding.Yarn {
        let original = "rope.scaling.original_context_length"
        var yarn = RotaryEmbedding.Yarn(
            factor: factor,
            originalContextLength: try uniform(original, 1...Self.contextMax) ?? contextLength)
        let extrapolation = try float("rope.scaling.yarn_ext_factor", -1...1) ?? -1
        if extrapolation >= 0 { yarn.extrapolationFactor = extrapolation }
        let betas: ClosedRange<Float> = 0...1_000_000
        yarn.betaFast = try float("rope.scaling.yarn_beta_fast", betas) ?? yarn.betaFast
        yarn.betaSlow = try float("rope.scaling.yarn_beta_slow", betas) ?? yarn.betaSlow
        return yarn
    }

    // MARK: Vocabulary

    /// The embedding's rows where there are tensors; else what the metadata says.
    private func vocabularySize(width: Int) throws(FormatError) -> Int {
        let tokens = metadata.entry("tokenizer.ggml.tokens").map { Int(clamping: $0.count) }
        guard let embedding = file.tensor(named: "token_embd.weight") else {
            let size = try uniform("vocab_size", 1...Self.vocabularyMax) ?? tokens
            guard let size, (1...Self.vocabularyMax).contains(size) else {
                throw metadata.missing(key("vocab_size"))
            }
            return size
        }
        guard embedding.dimensions.count == 2, embedding.columns == width,
            embedding.rows <= Self.vocabularyMax
        else {
            let shape = embedding.dimensions.map(String.init).joined(separator: " x ")
            throw FormatError(
                file: metadata.source.name,
                expected: "token_embd.weight of \(width) columns and a row for each token",
                found: shape)
        }
        if let tokens, tokens != embedding.rows {
            throw FormatError(
                file: metadata.source.name,
                expected: "\(embedding.rows) tokens, as token_embd.weight has rows",
                found: "\(tokens)")
        }
        return embedding.rows
    }

    // MARK: Keys

    private func key(_ name: String) -> String { "\(architecture.rawValue).\(name)" }

    private func uniform(_ name: String, _ range: ClosedRange<Int>) throws(FormatError) -> Int? {
        try metadata.uniformInteger(key(name), in: range)
    }

    private func requiredUniform(
        _ name: String, _ range: ClosedRange<Int>
    ) throws(FormatError) -> Int {
        guard let value = try uniform(name, range) else { throw metadata.missing(key(name)) }
        return value
    }

    private func required(_ name: String, _ range: ClosedRange<Int>) throws(FormatError) -> Int {
        guard let value = try metadata.integer(key(name), in: range) else {
            throw metadata.missing(key(name))
        }
        return value
    }

    private func float(_ name: String, _ range: ClosedRange<Float>) throws(FormatError) -> Float? {
        try metadata.float(key(name), in: range)
    }

    private func wrong(_ name: String, expected: String, found: String) -> FormatError {
        FormatError(
            file: metadata.source.name, offset: metadata.entry(key(name))?.payload.lowerBound,
            expected: "\(key(name)) to be \(expected)", found: found)
    }
}
