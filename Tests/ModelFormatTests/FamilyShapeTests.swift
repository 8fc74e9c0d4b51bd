// A model's shape from its metadata: llama.cpp's keys, defaults and derived values per family, and
// the refusal of what makes no sense or is not computed here.

import ModelFamilies
import ModelFormat
import TestSupport
import Testing

@Suite struct FamilyShapeTests {
    /// The least that a family needs, for tests to change.
    func builder(
        _ architecture: String, without missing: String? = nil,
        _ change: (inout GGUFBuilder) -> Void
    ) -> GGUFBuilder {
        var builder = GGUFBuilder()
        builder.add("general.architecture", architecture)
        let numbers: [(String, UInt32)] = [
            ("context_length", 4_096), ("block_count", 4), ("embedding_length", 256),
            ("attention.head_count", 8), ("feed_forward_length", 768), ("vocab_size", 1_000)
        ]
        for (name, value) in numbers where name != missing {
            builder.add("\(architecture).\(name)", value)
        }
        let isLayerNorm = ["nemotron", "opt"].contains(architecture)
        let norm = isLayerNorm ? "layer_norm" : "layer_norm_rms"
        builder.add("\(architecture).attention.\(norm)_epsilon", Float(1e-6))
        change(&builder)
        return builder
    }

    func shape(
        _ architecture: String, without missing: String? = nil,
        _ change: (inout GGUFBuilder) -> Void = { _ in }
    ) throws -> ModelShape {
        try GGUFTestFiles.open(builder(architecture, without: missing, change)).shape()
    }

    @Test(arguments: ["llama", "qwen2", "qwen3", "arcee", "nemotron"])
    func denseDefaults(architecture: String) throws {
        let isPlain = ["arcee", "nemotron"].contains(architecture)
        var attention = AttentionMixer.rotating(
            heads: 8, keyValueHeads: 8, width: 32,
            ["llama", "arcee"].contains(architecture) ? .adjacent : .halves)
        if architecture == "qwen3" { attention.headNorm = .perHead }
        if architecture == "qwen2" {
            (attention.biases.query, attention.biases.key) = (true, true)
            attention.biases.value = true
        }
        var expected = ModelShape.alike(
            architecture, contextLength: 4_096, layerCount: 4, width: 256, attention: attention,
            feedForward: FeedForwardShape(
                DenseShape(
                    width: 768, activation: isPlain ? .relu2 : .silu, isGated: !isPlain)),
            vocabularySize: 1_000, epsilon: 1e-6)
        if architecture == "nemotron" { expected.norm.kind = .layer }
        #expect(try shape(architecture) == expected)
    }

    @Test func graniteScales() throws {
        expectRefused("the metadata key 'granite.logit_scale'") { try shape("granite") }
        let plain = try shape("granite") { $0.add("granite.logit_scale", Float(16)) }
        #expect((plain.embeddingScale, plain.logitScale) == (nil, 1 / 16))
        #expect(plain.attention.scale == nil && plain.attention.rope != nil)
        let still = try shape("granite") {
            $0.add("granite.logit_scale", Float(16))
            $0.add("granite.rope.scaling.finetuned", false)
        }
        #expect(still.attention.rope == nil)
        let scaled = try shape("granitemoe") {
            $0.add("granitemoe.embedding_scale", Float(12))
            $0.add("granitemoe.logit_scale", Float(8))
            $0.add("granitemoe.residual_scale", Float(0.25))
            $0.add("granitemoe.attention.scale", Float(0.5))
            // Not read for this family.
            $0.add("granitemoe.rope.scaling.finetuned", false)
            $0.add("granitemoe.expert_count", UInt32(4))
            $0.add("granitemoe.expert_used_count", UInt32(2))
            $0.add("granitemoe.expert_shared_feed_forward_length", UInt32(64))
        }
        #expect((scaled.embeddingScale, scaled.logitScale) == (12, 0.125))
        #expect(scaled.layers.allSatisfy { $0.residualScale == 0.25 })
        #expect(scaled.attention.scale == 0.5 && scaled.attention.rope != nil)
        let shared = MixtureShape.SharedExpert(width: 64, hasGate: false)
        #expect(scaled.experts?.normalizesWeights == true && scaled.experts?.shared == shared)
    }

    @Test func layersThatDoNotRotate() throws {
        let shape = try shape("smollm3")
        #expect(shape.attentions.map { $0.rope == nil } == [false, false, false, true])
        #expect(shape.ropes.count == 1)
    }

    /// Of the model of 64 layers one of four sees all, and does not rotate; others have no windows.
    @Test func exaone() throws {
        let small = try shape("exaone4") { $0.add("exaone4.attention.sliding_window", UInt32(9)) }
        #expect(windows(small) == [nil, nil, nil, nil] && small.contextLength == 4_096)
        #expect(small.layers.allSatisfy { $0.norms == .after })
        #expect(small.attentions.allSatisfy { $0.rope != nil && $0.headNorm == .perHead })
        for window in [nil, 100] {
            let large = try shape("exaone4", without: "block_count") {
                $0.add("exaone4.block_count", UInt32(64))
                if let window { $0.add("exaone4.attention.sliding_window", UInt32(window)) }
            }
            let period = [window ?? 4_096, window ?? 4_096, window ?? 4_096, nil]
            #expect(Array(windows(large)[..<8]) == period + period)
            #expect(large.attentions.allSatisfy { ($0.rope == nil) == ($0.window == nil) })
        }
    }

    @Test func normsAfter() throws {
        let shape = try shape("olmo2")
        #expect(shape.layers.allSatisfy { $0.norms == .after })
        #expect(shape.attention.headNorm == .wholeProjection)
    }

    /// Of the model's layers, the windows that they attend in.
    func windows(_ shape: ModelShape) -> [Int?] { shape.attentions.map(\.window) }

    @Test func layersInWindowsRotateByTheirOwnBase() throws {
        let shape = try shape("gemma3", without: "block_count") {
            $0.add("gemma3.block_count", UInt32(7))
            $0.add("gemma3.attention.sliding_window", UInt32(512))
            $0.add("gemma3.rope.freq_base", Float(1_000_000))
            $0.add("gemma3.rope.scaling.type", "linear")
            $0.add("gemma3.rope.scaling.factor", Float(8))
        }
        #expect(windows(shape) == [512, 512, 512, 512, 512, nil, 512])
        #expect(shape.contextLength == 4_096)
        let bases = shape.attentions.map { $0.rope?.base }
        #expect(bases == [10_000, 10_000, 10_000, 10_000, 10_000, 1_000_000, 10_000])
        #expect(shape.attentions[5].rope?.scaling == .linear(factor: 8))
        #expect(shape.attentions[6].rope?.scaling == RotaryEmbedding.Scaling.none)
        #expect(shape.embeddingScale == 16 && shape.layers.allSatisfy { $0.norms == .around })
        #expect(shape.attention.scale == nil && shape.activation == .gelu)
    }

    /// The 27B model alone divides by the root of the heads' share of the width.
    @Test func theLargestGemmaScalesItsScores() throws {
        let shape = try shape("gemma3", without: "block_count") {
            $0.add("gemma3.block_count", UInt32(62))
            $0.add("gemma3.attention.key_length", UInt32(64))
        }
        #expect(shape.attention.scale == 1 / Float(32).squareRoot())
        #expect(windows(shape) == Array(repeating: nil, count: 62))
    }

    @Test func windowsByPeriodAndByLayer() throws {
        let own = try shape("olmo2") { $0.add("olmo2.attention.sliding_window", UInt32(100)) }
        #expect(windows(own) == [100, 100, 100, nil])
        let period = try shape("olmo2") {
            $0.add("olmo2.attention.sliding_window", UInt32(100))
            $0.add("olmo2.attention.sliding_window_pattern", UInt32(2))
        }
        #expect(windows(period) == [100, nil, 100, nil])
        let each = try shape("olmo2") {
            $0.add("olmo2.attention.sliding_window", UInt32(100))
            $0.add("olmo2.attention.sliding_window_pattern", [false, true, true, false])
        }
        #expect(windows(each) == [nil, 100, 100, nil])
        expectRefused("a value for each layer, found 3 values") {
            try self.shape("olmo2") {
                $0.add("olmo2.attention.sliding_window", UInt32(100))
                $0.add("olmo2.attention.sliding_window_pattern", [true, true, true])
            }
        }
    }

    @Test func routersBeforeAttention() throws {
        func thinker(_ change: (inout GGUFBuilder) -> Void = { _ in }) throws -> ModelShape {
            try self.shape("smallthinker") {
                $0.add("smallthinker.expert_count", UInt32(8))
                $0.add("smallthinker.expert_used_count", UInt32(2))
                $0.add("smallthinker.expert_feed_forward_length", UInt32(96))
                change(&$0)
            }
        }
        let shape = try thinker { $0.add("smallthinker.attention.sliding_window", UInt32(9)) }
        #expect(windows(shape) == [nil, 4_096, 4_096, 4_096])
        #expect(shape.attentions.map { $0.rope == nil } == [true, false, false, false])
        #expect(shape.experts?.routerInput == .layerInput && shape.experts?.width == 96)
        #expect(shape.matrices(of: 0, bundlesNeurons: false)[0].role == .router)
        #expect(try thinker().attentions.allSatisfy { $0.rope != nil && $0.window == nil })
    }

    @Test func unknownArchitecturesAreNamed() {
        for name in ["gpt2", "LLAMA", "", "mamba"] {
            expectRefused(
                "out of llama qwen2 qwen3 qwen2moe qwen3moe olmoe arcee nemotron granite "
                    + "granitemoe smollm3 olmo2 gemma2 gemma3 smallthinker exaone4 seed_oss "
                    + "hunyuan-dense mistral3 gpt-oss dots1 bailingmoe2 glm4moe ernie4_5-moe "
                    + "minimax-m2 afmoe laguna lfm2 lfm2moe qwen35 qwen35moe qwen3next "
                    + "hunyuan-moe phi3 granitehybrid deepseek2 "
                    + "nemotron_h nemotron_h_moe gemma4 bailingmoe3 opt, found '\(name)'"
            ) {
                try shape(name)
            }
        }
    }

    @Test func givenValuesWin() throws {
        let shape = try shape("qwen3") {
            $0.add("qwen3.attention.head_count_kv", UInt32(2))
            $0.add("qwen3.attention.key_length", UInt32(64))
            $0.add("qwen3.attention.value_length", UInt32(48))
            $0.add("qwen3.rope.dimension_count", UInt32(16))
            $0.add("qwen3.rope.freq_base", Float(1_000_000))
        }
        let attention = shape.attention
        #expect(
            (attention.keyValueHeadCount, attention.keyHeadWidth, attention.valueHeadWidth)
                == (2, 64, 48))
        #expect(
            attention.rope
                == RotaryEmbedding(base: 1_000_000, rotatedWidth: 16, pairing: .halves))
    }

    @Test func perLayerValuesMustBeEqual() throws {
        let shape = try shape("llama") {
            $0.add("llama.attention.head_count_kv", [Int32(4), 4, 4, 4])
        }
        #expect(shape.attention.keyValueHeadCount == 4)
        expectRefused("head_count_kv to be the same in every layer, found 2 in layer 3") {
            try self.shape("llama") {
                $0.add("llama.attention.head_count_kv", [Int32(4), 4, 4, 2])
            }
        }
    }

    @Test func mixtral() throws {
        let shape = try shape("llama") {
            $0.add("llama.expert_count", UInt32(8))
            $0.add("llama.expert_used_count", UInt32(2))
        }
        #expect(shape.feedForwardWidth == 0)
        #expect(shape.experts == mixture(8, 2, 768, normalizes: true))
    }

    @Test func olmoe() throws {
        let shape = try shape("olmoe") {
            $0.add("olmoe.expert_count", UInt32(64))
            $0.add("olmoe.expert_used_count", UInt32(8))
        }
        #expect(shape.experts == mixture(64, 8, 768, normalizes: false))
    }

    @Test func qwenExperts() throws {
        let given = try shape("qwen2moe") {
            $0.add("qwen2moe.expert_count", UInt32(60))
            $0.add("qwen2moe.expert_used_count", UInt32(4))
            $0.add("qwen2moe.expert_feed_forward_length", UInt32(96))
            $0.add("qwen2moe.expert_shared_feed_forward_length", UInt32(384))
            $0.add("qwen2moe.expert_weights_norm", false)
            $0.add("qwen2moe.expert_weights_scale", Float(2.5))
            $0.add("qwen2moe.expert_gating_func", UInt32(2))
        }
        var expected = mixture(60, 4, 96, normalizes: false)
        expected.shared = .init(width: 384, hasGate: true)
        expected.gating = .sigmoid
        expected.weightsScale = 2.5
        #expect(given.experts == expected)
        let derived = try shape("qwen2moe") {
            $0.add("qwen2moe.expert_count", UInt32(60))
            $0.add("qwen2moe.expert_used_count", UInt32(4))
        }
        expected = mixture(60, 4, 192, normalizes: false)
        expected.shared = .init(width: 768, hasGate: true)
        #expect(derived.experts == expected)
        let unshared = try shape("qwen3moe", without: "feed_forward_length") {
            $0.add("qwen3moe.expert_count", UInt32(16))
            $0.add("qwen3moe.expert_used_count", UInt32(16))
            $0.add("qwen3moe.expert_feed_forward_length", UInt32(96))
            $0.add("qwen3moe.expert_weights_scale", Float(0))
        }
        #expect(unshared.experts == mixture(16, 16, 96, normalizes: true))
    }

    private func mixture(
        _ count: Int, _ used: Int, _ width: Int, normalizes: Bool
    ) -> MixtureShape {
        MixtureShape(
            count: count, usedCount: used, width: width, activation: .silu, gating: .softmax,
            normalizesWeights: normalizes)
    }

    @Test func expertsThatMakeNoSense() {
        expectRefused("the metadata key 'qwen3moe.expert_count'") { try shape("qwen3moe") }
        expectRefused("no experts in this family, found 8") {
            try shape("qwen3") { $0.add("qwen3.expert_count", UInt32(8)) }
        }
        func mixtral(_ change: (inout GGUFBuilder) -> Void) throws -> ModelShape {
            try shape("llama") {
                $0.add("llama.expert_count", UInt32(8))
                change(&$0)
            }
        }
        expectRefused("the metadata key 'llama.expert_used_count'") { try mixtral { _ in } }
        expectRefused("expert_used_count in 1...8, found 9") {
            try mixtral { $0.add("llama.expert_used_count", UInt32(9)) }
        }
        expectRefused("3 (softmax of the chosen) or 4 (root of softplus), found 5") {
            try mixtral {
                $0.add("llama.expert_used_count", UInt32(2))
                $0.add("llama.expert_gating_func", UInt32(5))
            }
        }
    }

    @Test func ropeScaling() throws {
        func scaling(
            _ change: (inout GGUFBuilder) -> Void
        ) throws -> RotaryEmbedding.Scaling {
            try #require(try shape("llama", change).attention.rope).scaling
        }
        let linear = try scaling { $0.add("llama.rope.scaling.factor", Float(4)) }
        #expect(linear == .linear(factor: 4))
        let old = try scaling { $0.add("llama.rope.scale_linear", Float(2)) }
        #expect(old == .linear(factor: 2))
        let none = try scaling {
            $0.add("llama.rope.scaling.type", "none")
            $0.add("llama.rope.scaling.factor", Float(4))
        }
        #expect(none == .none)
        let zero = try scaling { $0.add("llama.rope.scaling.factor", Float(0)) }
        #expect(zero == .none)
        let yarn = try scaling {
            $0.add("llama.rope.scaling.type", "yarn")
            $0.add("llama.rope.scaling.factor", Float(4))
            $0.add("llama.rope.scaling.original_context_length", UInt32(1_024))
            $0.add("llama.rope.scaling.attn_factor", Float(0.5))
            $0.add("llama.rope.scaling.yarn_ext_factor", Float(0.75))
            $0.add("llama.rope.scaling.yarn_beta_fast", Float(16))
            $0.add("llama.rope.scaling.yarn_beta_slow", Float(2))
        }
        #expect(
            yarn
                == .yarn(
                    .init(
                        factor: 4, originalContextLength: 1_024, extrapolationFactor: 0.75,
                        attentionFactor: 0.5, betaFast: 16, betaSlow: 2)))
        let plain = try scaling {
            $0.add("llama.rope.scaling.type", "yarn")
            $0.add("llama.rope.scaling.factor", Float(2))
            $0.add("llama.rope.scaling.yarn_ext_factor", Float(-1))
        }
        #expect(plain == .yarn(.init(factor: 2, originalContextLength: 4_096)))
        let attention = try scaling { $0.add("llama.rope.scaling.attn_factor", Float(2)) }
        #expect(
            attention
                == .yarn(
                    .init(
                        factor: 1, originalContextLength: 4_096, extrapolationFactor: 0,
                        attentionFactor: 2)))
        expectRefused("none, linear or yarn, found 'longrope'") {
            try scaling { $0.add("llama.rope.scaling.type", "longrope") }
        }
        expectRefused("rope.scaling.factor in 0.0...1000000.0, found -1.0") {
            try scaling { $0.add("llama.rope.scaling.factor", Float(-1)) }
        }
    }

    @Test func slidingWindowLimitsTheContext() throws {
        for (window, context) in [(UInt32(0), 4_096), (1_024, 1_024), (8_192, 4_096)] {
            let shape = try shape("llama") { $0.add("llama.attention.sliding_window", window) }
            #expect(shape.contextLength == context)
        }
    }

    @Test func valuesThatMakeNoSense() {
        func refuse(_ words: String, _ name: String, _ value: UInt32) {
            expectRefused(words) { try shape("llama") { $0.add("llama.\(name)", value) } }
        }
        refuse("a divisor of the 8 heads, found 3", "attention.head_count_kv", 3)
        refuse("head_count_kv in 1...8, found 16", "attention.head_count_kv", 16)
        refuse("in 1...32, found 64", "rope.dimension_count", 64)
        refuse("32, the width of a head, found 16", "rope.dimension_count", 16)
        expectRefused("an even number, found 31") {
            try shape("qwen2") { $0.add("qwen2.rope.dimension_count", UInt32(31)) }
        }
        refuse("key_length in 1...16384", "attention.key_length", 1 << 20)
        for base in [Float(0), -1, .nan, .infinity] {
            expectRefused("llama.rope.freq_base in") {
                try shape("llama") { $0.add("llama.rope.freq_base", base) }
            }
        }
        expectRefused("a value, as 7 heads do not divide the width 256") {
            try shape("llama", without: "attention.head_count") {
                $0.add("llama.attention.head_count", UInt32(7))
            }
        }
    }

    @Test(arguments: [
        "context_length", "block_count", "embedding_length", "attention.head_count",
        "feed_forward_length", "vocab_size"
    ])
    func missingKeysAreNamed(name: String) {
        expectRefused("the metadata key 'llama.\(name)', found none") {
            try shape("llama", without: name)
        }
    }

    @Test func epsilonIsThereAndPositive() {
        for epsilon in [Float(0), -1, .nan, 2] {
            expectRefused("layer_norm_rms_epsilon in") {
                var builder = GGUFBuilder()
                builder.add("general.architecture", "llama")
                let numbers: [(String, UInt32)] = [
                    ("context_length", 64), ("block_count", 1), ("embedding_length", 32),
                    ("attention.head_count", 2), ("feed_forward_length", 64), ("vocab_size", 8)
                ]
                for (name, value) in numbers { builder.add("llama.\(name)", value) }
                builder.add("llama.attention.layer_norm_rms_epsilon", epsilon)
                return try GGUFTestFiles.open(builder).shape()
            }
        }
    }

    @Test func filesSayHowTheyPool() throws {
        let kinds: [(UInt32, Pooling?)] = [(0, nil), (1, .mean), (2, .cls), (3, .last), (4, nil)]
        for (number, pooling) in kinds {
            let builder = builder("qwen3") { $0.add("qwen3.pooling_type", number) }
            let shape = try GGUFTestFiles.open(builder).shape()
            #expect(shape.pooling == pooling)
        }
    }

    @Test func vocabularySizeComesFromTheEmbedding() throws {
        func size(rows: UInt64, columns: UInt64, tokens: Int?) throws -> Int {
            var builder = builder("llama", without: "vocab_size") {
                if let tokens {
                    $0.add("tokenizer.ggml.tokens", (0..<tokens).map { "t\($0)" })
                }
                $0.addTensor("token_embd.weight", [columns, rows], type: 1)
            }
            builder.data = [UInt8](repeating: 0, count: Int(2 * rows * columns))
            return try GGUFTestFiles.open(builder).shape().vocabularySize
        }
        #expect(try size(rows: 12, columns: 256, tokens: nil) == 12)
        #expect(try size(rows: 12, columns: 256, tokens: 12) == 12)
        expectRefused("12 tokens, as token_embd.weight has rows, found 13") {
            try size(rows: 12, columns: 256, tokens: 13)
        }
        expectRefused("token_embd.weight of 256 columns") {
            try size(rows: 12, columns: 128, tokens: nil)
        }
        let listed = try shape("llama", without: "vocab_size") {
            $0.add("tokenizer.ggml.tokens", ["a", "b", "c"])
        }
        #expect(listed.vocabularySize == 3)
    }
}
