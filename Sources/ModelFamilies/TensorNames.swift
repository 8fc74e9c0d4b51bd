// The names that GGUF files give to the tensors of the supported architectures (llama.cpp's
// llama-arch.cpp).

package import ModelFormat

/// GGUF tensor names by role.
package enum TensorNames {
    package static func rows(of table: RowTable) -> String {
        switch table {
        case .embeddings: "token_embd.weight"
        case .layerEmbeddings: "per_layer_token_embd.weight"
        case .positionEmbeddings: "position_embd.weight"
        }
    }

    package static func matrix(_ role: MatrixRole, layer: Int?) -> String {
        let stem =
            switch role {
            case .attentionQuery: "attn_q"
            case .attentionKey: "attn_k"
            case .attentionValue: "attn_v"
            case .attentionGate: "attn_gate"
            case .attentionOutput: "attn_output"
            case .queryCompression: "attn_q_a"
            case .plainQuery: "attn_q_plain"
            case .turnedQuery: "attn_q_turned"
            case .latent: "attn_kv_latent"
            case .turnedKey: "attn_k_turned"
            case .latentKeys: "attn_k_b"
            case .latentValues: "attn_v_b"
            case .convolutionBefore: "shortconv.before"
            case .convolutionAfter: "shortconv.after"
            case .convolutionInput: "shortconv.input"
            case .convolutionOutput: "shortconv.out_proj"
            case .stateInput: "attn_qkv"
            case .stateGate: "attn_gate"
            case .stateStep: "ssm_beta"
            case .stateDecay: "ssm_alpha"
            case .stateOutput: "ssm_out"
            case .router: "ffn_gate_inp"
            case .feedForwardGate: "ffn_gate"
            case .feedForwardUp: "ffn_up"
            case .feedForwardDown: "ffn_down"
            case .sharedExpertGate: "ffn_gate_shexp"
            case .sharedExpertUp: "ffn_up_shexp"
            case .sharedExpertDown: "ffn_down_shexp"
            case .layerEmbeddingProjection: "per_layer_model_proj"
            case .layerEmbeddingGate: "inp_gate"
            case .layerEmbeddingOutput: "proj"
            case .output: "output"
            }
        // The first layer's, which projects for all of them.
        let isOfModel = role == .layerEmbeddingProjection
        return (isOfModel ? "" : prefix(layer)) + stem + ".weight"
    }

    /// What files of some families call it where they have no tensor of its usual name.
    package static func otherMatrix(_ role: MatrixRole, layer: Int?) -> String? {
        switch role {
        case .stateGate: prefix(layer) + "ssm_g_a.weight"
        case .stateDecay: prefix(layer) + "ssm_f_a.weight"
        case .stateOutput: prefix(layer) + "attn_output.weight"
        default: nil
        }
    }

    package static func vector(_ role: VectorRole, layer: Int?) -> String {
        let stem =
            switch role {
            case .attentionNorm: "attn_norm.weight"
            case .feedForwardNorm: "ffn_norm.weight"
            case .outputNorm: "output_norm.weight"
            case .attentionNormBias: "attn_norm.bias"
            case .feedForwardNormBias: "ffn_norm.bias"
            case .outputNormBias: "output_norm.bias"
            case .queryNorm: "attn_q_norm.weight"
            case .keyNorm: "attn_k_norm.weight"
            case .queryCompressionNorm: "attn_q_a_norm.weight"
            case .latentNorm: "attn_kv_a_norm.weight"
            case .queryBias: "attn_q.bias"
            case .keyBias: "attn_k.bias"
            case .valueBias: "attn_v.bias"
            case .attentionOutputBias: "attn_output.bias"
            case .attentionSinks: "attn_sinks.weight"
            case .feedForwardGateBias: "ffn_gate.bias"
            case .feedForwardUpBias: "ffn_up.bias"
            case .feedForwardDownBias: "ffn_down.bias"
            case .sharedExpertRouter: "ffn_gate_inp_shexp.weight"
            case .routerBias: "ffn_gate_inp.bias"
            case .expertSelectionBias: "exp_probs_b.bias"
            case .convolution: "ssm_conv1d.weight"
            case .queryConvolution: "ssm_conv1d_q.weight"
            case .keyConvolution: "ssm_conv1d_k.weight"
            case .valueConvolution: "ssm_conv1d_v.weight"
            case .convolutionBias: "ssm_conv1d.bias"
            case .stateSkip: "ssm_d"
            case .stateStepBias: "ssm_dt.bias"
            case .stateDecayFactors: "ssm_a"
            case .stateNorm: "ssm_norm.weight"
            case .ropeFrequencyFactors: "rope_freqs.weight"
            case .ropeFactorsShort: "rope_factors_short.weight"
            case .ropeFactorsLong: "rope_factors_long.weight"
            case .afterAttentionNorm: "post_attention_norm.weight"
            case .afterFeedForwardNorm: "post_ffw_norm.weight"
            case .afterDenseNorm: "post_ffw_norm_1.weight"
            case .expertsNorm: "pre_ffw_norm_2.weight"
            case .afterExpertsNorm: "post_ffw_norm_2.weight"
            case .routerScale: "ffn_gate_inp.scale"
            case .expertScales: "ffn_down_exps.scale"
            case .layerScale: "layer_output_scale.weight"
            case .layerEmbeddingProjectionNorm: "per_layer_proj_norm.weight"
            case .afterLayerEmbeddingNorm: "post_norm.weight"
            }
        return prefix(layer) + stem
    }

    /// What files of some families call it where they have no tensor of its usual name: Seed-OSS
    /// and GLM norm after attention what the feed-forward network reads, and where that is all of a
    /// layer its norm is what others have before attention.
    package static func otherVectors(_ role: VectorRole, layer: Int?) -> [String] {
        let names: [String] =
            switch role {
            case .feedForwardNorm: ["post_attention_norm.weight", "attn_norm.weight"]
            case .expertSelectionBias: ["exp_probs_b"]
            case .convolution: ["shortconv.conv.weight"]
            case .outputNorm: ["token_embd_norm.weight"]
            default: []
            }
        return names.map { prefix(layer) + $0 }
    }

    /// A tensor that some files have instead of several: their rows, one after the other, or those
    /// of each head in turn.
    package struct Fused<Role> {
        package let name: String
        package let roles: [Role]
        package var isByHead = false
    }

    /// The tensors that may hold a matrix beside others.
    package static func fused(_ role: MatrixRole, layer: Int?) -> [Fused<MatrixRole>] {
        let all: [(name: String, roles: [MatrixRole], isByHead: Bool)] = [
            ("attn_qkv", [.attentionQuery, .attentionKey, .attentionValue], false),
            ("attn_q", [.attentionQuery, .attentionGate], true),
            ("attn_q_b", [.plainQuery, .turnedQuery], true),
            ("attn_q", [.plainQuery, .turnedQuery], true),
            ("attn_kv_a_mqa", [.latent, .turnedKey], false),
            (
                "shortconv.in_proj", [.convolutionBefore, .convolutionAfter, .convolutionInput],
                false
            ),
            ("ssm_ba", [.stateStep, .stateDecay], true),
            ("ssm_in", [.stateGate, .stateInput, .stateStep], false),
            ("ffn_up", [.feedForwardGate, .feedForwardUp], false)
        ]
        return all.filter { $0.roles.contains(role) }.map {
            Fused(
                name: prefix(layer) + $0.name + ".weight", roles: $0.roles, isByHead: $0.isByHead)
        }
    }

    /// The same for vectors.
    package static func fused(_ role: VectorRole, layer: Int?) -> [Fused<VectorRole>] {
        let roles = [VectorRole.queryBias, .keyBias, .valueBias]
        guard roles.contains(role) else { return [] }
        return [Fused(name: prefix(layer) + "attn_qkv.bias", roles: roles)]
    }

    /// The layer that a tensor's name begins with.
    package static func layer(of name: String) -> Int? {
        guard name.hasPrefix("blk.") else { return nil }
        let digits = name.dropFirst(4).prefix { $0 != "." }
        return digits.utf8.allSatisfy { (48...57).contains($0) } ? Int(digits) : nil
    }

    /// All experts' `part` (`gate`, `up` or `down`) in one three-dimensional tensor.
    package static func experts(_ part: String, layer: Int) -> String {
        "blk.\(layer).ffn_\(part)_exps.weight"
    }

    /// All experts' gates and ups in one three-dimensional tensor, each expert's gate first.
    package static func fusedExperts(layer: Int) -> String {
        "blk.\(layer).ffn_gate_up_exps.weight"
    }

    /// All experts' biases of `part` in one two-dimensional tensor.
    package static func expertBiases(_ part: String, layer: Int) -> String {
        "blk.\(layer).ffn_\(part)_exps.bias"
    }

    /// One expert's `part`, as files made before the merged tensors have it.
    package static func expert(_ index: Int, _ part: String, layer: Int) -> String {
        "blk.\(layer).ffn_\(part).\(index).weight"
    }

    /// Whether a layer's tensor makes its keys or values, or is of their norm.
    package static func isOfKeys(_ name: String, layer: Int) -> Bool {
        let names =
            [MatrixRole.attentionKey, .attentionValue].map { matrix($0, layer: layer) }
            + [vector(.keyNorm, layer: layer)]
        return names.contains(name)
    }

    /// Tensors without weights in them: rotary tables that old converters wrote and that every
    /// reader computes.
    package static func isHarmless(_ name: String) -> Bool {
        name.hasPrefix("blk.") && name.hasSuffix(".attn_rot_embd.weight")
    }

    private static func prefix(_ layer: Int?) -> String { layer.map { "blk.\($0)." } ?? "" }
}
