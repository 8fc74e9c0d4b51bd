// A GGUF model of a few kilobytes, made in memory: any family, any format, random weights, and
// deliberate mistakes.

import ModelFormat
import TestSupport

/// What to put into the file.
struct TinyModel {
    var architecture = "llama"
    var format = WeightFormat.f32
    /// Of norms and biases.
    var vectorFormat = WeightFormat.f32
    var layers = 2
    /// Of the layers, those before the first with experts.
    var lead = 0
    /// Blocks after the layers that metadata says only draft; their tensors are `extraTensors`.
    var drafts = 0
    /// Whether query, key and value are one tensor, and so their biases.
    var isFused = false
    /// Whether a bias has a say where experts are chosen; nil is as the family needs.
    var selectionBias: String?
    var width = 64
    var heads = 4
    var keyValueHeads = 2
    /// Not a multiple of 16 rows, so that tiles end in missing rows.
    var keyWidth = 20
    var valueWidth = 16
    var feedForward = 128
    var experts = 0
    var sharedFeedForward = 0
    var vocabulary = 37
    var tied = false
    var splitExperts = false
    var biases = false
    var ropeFactors = false
    var extraTensors: [(name: String, dimensions: [Int], format: WeightFormat)] = []
    var omitted: Set<String> = []
    var seed: UInt64 = 1
    var preTokenizer = "qwen2"
    /// Of tokens `t0` and so on, the texts of some, by their ids.
    var tokenTexts: [Int: String] = [:]
    /// Writes further metadata.
    var addMetadata: @Sendable (inout GGUFBuilder) -> Void = { _ in }

    /// The same model with rows of whole blocks of `format`.
    func with(_ format: WeightFormat) -> TinyModel {
        var copy = self
        copy.format = format
        guard format.blockElements > 32 else { return copy }
        copy.width = 256
        copy.valueWidth = 64
        copy.feedForward = 256
        return copy
    }

    /// Families that name the feed-forward network's norm by where it stands.
    static let renamesFeedForwardNorm: Set = [
        "seed_oss", "gpt-oss", "glm4moe", "qwen35", "qwen35moe", "qwen3next"
    ]
    static let deltaRules: Set = ["qwen35", "qwen35moe", "qwen3next"]
    static let convolutions: Set = ["lfm2", "lfm2moe"]
    /// Named layer by layer by their heads of keys.
    static let hybrids: Set = ["lfm2", "lfm2moe", "granitehybrid"]
    static let normsAfterAlone: Set = ["olmo2", "exaone4"]
    static let normsAfter: Set = ["olmo2", "exaone4", "gemma2", "gemma3", "afmoe"]
    static let normsHeads: Set = [
        "qwen3", "qwen3moe", "gemma3", "olmoe", "olmo2", "exaone4", "hunyuan-dense", "dots1",
        "bailingmoe2", "minimax-m2", "afmoe", "laguna", "lfm2", "lfm2moe", "qwen35", "qwen35moe",
        "qwen3next", "hunyuan-moe"
    ]
    /// Whether all layers but the last have a state in place of attention.
    private var isRecurrent: Bool {
        Self.deltaRules.contains(architecture) || Self.hybrids.contains(architecture)
    }

    struct Tensor {
        let name: String
        let dimensions: [Int]
        let format: WeightFormat
        let bytes: [UInt8]
    }

    /// The tensors in file order with random bytes; every byte pattern is a valid block.
    func tensors() -> [Tensor] {
        var random = SplitMix(seed: seed)
        var list: [Tensor] = []
        func add(_ name: String, _ dimensions: [Int], _ format: WeightFormat) {
            guard !omitted.contains(name) else { return }
            addAnyway(name, dimensions, format)
        }
        func addAnyway(_ name: String, _ dimensions: [Int], _ format: WeightFormat) {
            let rows = dimensions.dropFirst().reduce(1, *)
            let bytes = random.bytes(rows * format.rowBytes(columns: dimensions[0]))
            list.append(
                Tensor(name: name, dimensions: dimensions, format: format, bytes: bytes))
        }
        func vector(_ name: String, _ count: Int) { add(name, [count], vectorFormat) }
        add("token_embd.weight", [width, vocabulary], format)
        let namesEmbeddings = Self.convolutions.contains(architecture)
        vector(namesEmbeddings ? "token_embd_norm.weight" : "output_norm.weight", width)
        let hasLayerNorms = architecture == "nemotron"
        if hasLayerNorms { vector("output_norm.bias", width) }
        if !tied { add("output.weight", [width, vocabulary], format) }
        if ropeFactors { vector("rope_freqs.weight", keyWidth / 2) }
        if architecture == "phi3" {
            vector("rope_factors_long.weight", keyWidth / 2)
            vector("rope_factors_short.weight", keyWidth / 2)
        }
        for layer in 0..<layers {
            let block = "blk.\(layer)."
            if !Self.normsAfterAlone.contains(architecture) {
                vector(block + "attn_norm.weight", width)
                let isRenamed = Self.renamesFeedForwardNorm.contains(architecture)
                vector(block + (isRenamed ? "post_attention_norm" : "ffn_norm") + ".weight", width)
            }
            if Self.normsAfter.contains(architecture) {
                vector(block + "post_attention_norm.weight", width)
                vector(block + "post_ffw_norm.weight", width)
            }
            if hasLayerNorms {
                vector(block + "attn_norm.bias", width)
                vector(block + "ffn_norm.bias", width)
            }
            if isRecurrent && layer < layers - 1 {
                addRecurrent(block, add)
                addFeedForward(block, hasExperts: experts > 0 && layer >= lead, add)
                continue
            }
            for (name, columns, rows) in attention {
                add(block + name + ".weight", [columns, rows], format)
                let biased =
                    architecture.hasPrefix("qwen2") ? name != "attn_output" : biases
                if biased { vector(block + name + ".bias", rows) }
            }
            if architecture == "gpt-oss" { vector(block + "attn_sinks.weight", heads) }
            if Self.normsHeads.contains(architecture) {
                let all = ["olmoe", "olmo2", "minimax-m2"].contains(architecture)
                vector(block + "attn_q_norm.weight", all ? heads * keyWidth : keyWidth)
                vector(block + "attn_k_norm.weight", all ? keyValueHeads * keyWidth : keyWidth)
            }
            addFeedForward(block, hasExperts: experts > 0 && layer >= lead, add)
        }
        for extra in extraTensors { addAnyway(extra.name, extra.dimensions, extra.format) }
        return list
    }

    /// What a layer has in place of attention.
    private func addRecurrent(
        _ block: String, _ add: (String, [Int], WeightFormat) -> Void
    ) {
        if architecture == "granitehybrid" {
            addStateSpace(block, add)
            return
        }
        guard Self.deltaRules.contains(architecture) else {
            add(block + "shortconv.in_proj.weight", [width, 3 * width], format)
            add(block + "shortconv.conv.weight", [3, width], .f32)
            add(block + "shortconv.out_proj.weight", [width, width], format)
            return
        }
        // Two heads of keys, four of values, 16 wide.
        add(block + "attn_qkv.weight", [width, 128], format)
        add(block + "attn_gate.weight", [width, 64], format)
        if architecture == "qwen3next" {
            add(block + "ssm_ba.weight", [width, 8], format)
        } else {
            add(block + "ssm_alpha.weight", [width, 4], format)
            add(block + "ssm_beta.weight", [width, 4], format)
        }
        add(block + "ssm_conv1d.weight", [4, 128], .f32)
        add(block + "ssm_dt.bias", [4], .f32)
        add(block + "ssm_a", [4], .f32)
        add(block + "ssm_norm.weight", [16], .f32)
        add(block + "ssm_out.weight", [64, width], format)
    }

    /// Four heads in two groups, 16 wide, with keys of 32.
    private func addStateSpace(
        _ block: String, _ add: (String, [Int], WeightFormat) -> Void
    ) {
        add(block + "ssm_in.weight", [width, 64 + 192 + 4], format)
        add(block + "ssm_conv1d.weight", [4, 192], .f32)
        add(block + "ssm_conv1d.bias", [192], .f32)
        add(block + "ssm_dt.bias", [4], .f32)
        add(block + "ssm_a", [1, 4], .f32)
        add(block + "ssm_d", [1, 4], .f32)
        add(block + "ssm_norm.weight", [32, 2], .f32)
        add(block + "ssm_out.weight", [64, width], format)
    }

    private func addRecurrentKeys(to writer: inout GGUFBuilder) {
        let prefix = architecture + "."
        if Self.convolutions.contains(architecture) {
            writer.add(prefix + "shortconv.l_cache", UInt32(3))
            return
        }
        let counts: [(String, UInt32)] = [
            ("ssm.conv_kernel", 4),
            ("ssm.state_size", architecture == "granitehybrid" ? 32 : 16), ("ssm.group_count", 2),
            ("ssm.time_step_rank", 4), ("ssm.inner_size", 64),
            ("full_attention_interval", UInt32(layers))
        ]
        for (name, count) in counts { writer.add(prefix + name, count) }
    }

    /// Attention's matrices: their names, columns and rows.
    private var attention: [(String, Int, Int)] {
        let gateRows = Self.deltaRules.contains(architecture) ? heads * valueWidth : 0
        let rows = [
            heads * keyWidth + gateRows, keyValueHeads * keyWidth, keyValueHeads * valueWidth
        ]
        let inputs =
            isFused
            ? [("attn_qkv", width, rows.reduce(0, +))]
            : [
                ("attn_q", width, rows[0]), ("attn_k", width, rows[1]), ("attn_v", width, rows[2])
            ]
        let gateWidths = ["afmoe": heads * valueWidth, "laguna": heads]
        let gates = gateWidths[architecture].map { [("attn_gate", width, $0)] } ?? []
        return inputs + gates + [("attn_output", heads * valueWidth, width)]
    }

    private func addFeedForward(
        _ block: String, hasExperts: Bool, _ add: (String, [Int], WeightFormat) -> Void
    ) {
        guard hasExperts else {
            let isFused = architecture == "phi3"
            if !isFused && architecture != "arcee" && architecture != "nemotron" {
                add(block + "ffn_gate.weight", [width, feedForward], format)
            }
            add(block + "ffn_up.weight", [width, (isFused ? 2 : 1) * feedForward], format)
            add(block + "ffn_down.weight", [feedForward, width], format)
            guard biases else { return }
            if architecture == "llama" { add(block + "ffn_gate.bias", [feedForward], vectorFormat) }
            add(block + "ffn_up.bias", [feedForward], vectorFormat)
            add(block + "ffn_down.bias", [width], vectorFormat)
            return
        }
        add(block + "ffn_gate_inp.weight", [width, experts], .f32)
        if architecture == "gpt-oss" {
            add(block + "ffn_gate_inp.bias", [experts], .f32)
            for (part, rows) in [("gate", feedForward), ("up", feedForward), ("down", width)] {
                add(block + "ffn_\(part)_exps.bias", [rows, experts], .f32)
            }
        }
        let needsBias = ["glm4moe", "minimax-m2", "afmoe", "laguna", "lfm2moe"]
            .contains(architecture)
        if let name = selectionBias ?? (needsBias ? "exp_probs_b.bias" : nil) {
            add(block + name, [experts], vectorFormat)
        }
        for (part, columns, rows) in [
            ("gate", width, feedForward), ("up", width, feedForward), ("down", feedForward, width)
        ] {
            if splitExperts {
                for expert in 0..<experts {
                    add(block + "ffn_\(part).\(expert).weight", [columns, rows], format)
                }
            } else {
                add(block + "ffn_\(part)_exps.weight", [columns, rows, experts], format)
            }
        }
        guard sharedFeedForward > 0 else { return }
        if ["qwen2moe", "qwen35moe", "qwen3next"].contains(architecture) {
            add(block + "ffn_gate_inp_shexp.weight", [width], vectorFormat)
        }
        add(block + "ffn_gate_shexp.weight", [width, sharedFeedForward], format)
        add(block + "ffn_up_shexp.weight", [width, sharedFeedForward], format)
        add(block + "ffn_down_shexp.weight", [sharedFeedForward, width], format)
    }

    /// The file's bytes: GGUF version 3.
    func gguf() -> [UInt8] {
        var writer = GGUFBuilder()
        let prefix = architecture + "."
        writer.add("general.architecture", architecture)
        writer.add("general.name", "tiny \(architecture)")
        writer.add(prefix + "block_count", UInt32(layers + drafts))
        if drafts > 0 { writer.add(prefix + "nextn_predict_layers", UInt32(drafts)) }
        if lead > 0 { writer.add(prefix + "leading_dense_block_count", UInt32(lead)) }
        writer.add(prefix + "context_length", UInt32(64))
        writer.add(prefix + "embedding_length", UInt32(width))
        writer.add(prefix + "feed_forward_length", UInt32(feedForward))
        writer.add(prefix + "attention.head_count", UInt32(heads))
        if Self.hybrids.contains(architecture) {
            let counts = (0..<layers).map { Int32($0 < layers - 1 ? 0 : keyValueHeads) }
            writer.add(prefix + "attention.head_count_kv", counts)
        } else {
            writer.add(prefix + "attention.head_count_kv", UInt32(keyValueHeads))
        }
        if isRecurrent { addRecurrentKeys(to: &writer) }
        writer.add(prefix + "attention.key_length", UInt32(keyWidth))
        writer.add(prefix + "attention.value_length", UInt32(valueWidth))
        let norm = architecture == "nemotron" ? "layer_norm" : "layer_norm_rms"
        writer.add(prefix + "attention.\(norm)_epsilon", Float(1e-6))
        writer.add(prefix + "rope.freq_base", Float(10_000))
        if architecture.hasPrefix("granite") { writer.add(prefix + "logit_scale", Float(2)) }
        if experts > 0 {
            writer.add(prefix + "expert_count", UInt32(experts))
            writer.add(prefix + "expert_used_count", UInt32(2))
            if !["llama", "olmoe", "granitemoe", "minimax-m2"].contains(architecture) {
                writer.add(prefix + "expert_feed_forward_length", UInt32(feedForward))
            }
            if sharedFeedForward > 0 {
                writer.add(prefix + "expert_shared_feed_forward_length", UInt32(sharedFeedForward))
                writer.add(prefix + "expert_shared_count", UInt32(1))
            }
        }
        writer.add("tokenizer.ggml.model", "gpt2")
        writer.add("tokenizer.ggml.pre", preTokenizer)
        writer.add(
            "tokenizer.ggml.tokens", (0..<vocabulary).map { tokenTexts[$0] ?? "t\($0)" })
        writer.add("tokenizer.ggml.merges", ["t 1", "t 2"])
        writer.add("tokenizer.chat_template", "{{ messages")
        addMetadata(&writer)
        for tensor in tensors() {
            writer.addTensor(
                tensor.name, tensor.dimensions.map(UInt64.init), type: tensor.format.ggufType,
                offset: UInt64(writer.data.count))
            writer.data += tensor.bytes
            while writer.data.count % writer.alignment != 0 { writer.data.append(0) }
        }
        return writer.bytes()
    }

    /// The model as a source in memory.
    func source(_ name: String = "tiny.gguf") -> ByteArraySource {
        ByteArraySource(name: name, bytes: gguf())
    }
}
