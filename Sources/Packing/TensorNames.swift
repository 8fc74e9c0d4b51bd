// The names that GGUF files give to the tensors of the supported architectures (llama.cpp's
// llama-arch.cpp), and the catalogue that import claims them from. A tensor that nobody claims is
// an error: dropping weights silently would be a wrong answer.

internal import ModelFormat

/// GGUF tensor names by role.
enum TensorNames {
    static let embeddings = "token_embd.weight"

    static func matrix(_ role: MatrixRole, layer: Int?) -> String {
        let stem =
            switch role {
            case .attentionQuery: "attn_q"
            case .attentionKey: "attn_k"
            case .attentionValue: "attn_v"
            case .attentionOutput: "attn_output"
            case .router: "ffn_gate_inp"
            case .feedForwardGate: "ffn_gate"
            case .feedForwardUp: "ffn_up"
            case .feedForwardDown: "ffn_down"
            case .sharedExpertGate: "ffn_gate_shexp"
            case .sharedExpertUp: "ffn_up_shexp"
            case .sharedExpertDown: "ffn_down_shexp"
            case .output: "output"
            }
        return prefix(layer) + stem + ".weight"
    }

    static func vector(_ role: VectorRole, layer: Int?) -> String {
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
            case .queryBias: "attn_q.bias"
            case .keyBias: "attn_k.bias"
            case .valueBias: "attn_v.bias"
            case .attentionOutputBias: "attn_output.bias"
            case .feedForwardGateBias: "ffn_gate.bias"
            case .feedForwardUpBias: "ffn_up.bias"
            case .feedForwardDownBias: "ffn_down.bias"
            case .sharedExpertRouter: "ffn_gate_inp_shexp.weight"
            case .ropeFrequencyFactors: "rope_freqs.weight"
            }
        return prefix(layer) + stem
    }

    /// All experts' `part` (`gate`, `up` or `down`) in one three-dimensional tensor.
    static func experts(_ part: String, layer: Int) -> String {
        "blk.\(layer).ffn_\(part)_exps.weight"
    }

    /// One expert's `part`, as files made before the merged tensors have it.
    static func expert(_ index: Int, _ part: String, layer: Int) -> String {
        "blk.\(layer).ffn_\(part).\(index).weight"
    }

    /// Tensors without weights in them: rotary tables that old converters wrote and that every
    /// reader computes.
    static func isHarmless(_ name: String) -> Bool {
        name.hasPrefix("blk.") && name.hasSuffix(".attn_rot_embd.weight")
    }

    private static func prefix(_ layer: Int?) -> String { layer.map { "blk.\($0)." } ?? "" }
}

/// A model's tensors, claimed by name until none is left.
struct TensorCatalogue {
    let gguf: GGUFFile
    let file: String
    let architecture: Architecture
    private var claimed: Set<String> = []

    init(gguf: GGUFFile, file: String, architecture: Architecture) {
        self.gguf = gguf
        self.file = file
        self.architecture = architecture
    }

    /// The tensor `name`, or nil where the file has none.
    mutating func claimIfPresent(_ name: String) -> GGUFTensor? {
        guard let tensor = gguf.tensor(named: name) else { return nil }
        claimed.insert(name)
        return tensor
    }

    /// The tensor `name` with the given dimensions, GGUF's order: columns first.
    ///
    /// - Throws: `FormatError` when there is none or it has another shape.
    mutating func claim(_ name: String, dimensions: [Int]) throws(FormatError) -> GGUFTensor {
        guard let tensor = claimIfPresent(name) else {
            throw FormatError(
                file: file, expected: "tensor \(name) of \(architecture.rawValue)", found: "none")
        }
        try check(tensor, dimensions: dimensions)
        return tensor
    }

    /// Dimensions of 1 at the end say nothing.
    func check(_ tensor: GGUFTensor, dimensions: [Int]) throws(FormatError) {
        var found = tensor.dimensions
        while found.count > dimensions.count, found.last == 1 { found.removeLast() }
        guard found == dimensions else {
            func shape(_ lengths: [Int]) -> String {
                lengths.map(String.init).joined(separator: " x ")
            }
            throw FormatError(
                file: file, expected: "tensor \(tensor.name) of \(shape(dimensions))",
                found: shape(tensor.dimensions))
        }
    }

    /// Every tensor must have been claimed or be harmless.
    func finish() throws(FormatError) {
        for tensor in gguf.tensors where !claimed.contains(tensor.name) {
            guard !TensorNames.isHarmless(tensor.name) else { continue }
            let fused = tensor.name.contains("attn_qkv") || tensor.name.contains("gate_up")
            throw FormatError(
                file: file,
                expected: fused
                    ? "separate tensors (fused ones are not supported)"
                    : "only tensors of \(architecture.rawValue)", found: Self.shown(tensor.name))
        }
    }

    /// A name from the file, fit for a message.
    private static func shown(_ name: String) -> String {
        String(
            name.unicodeScalars.prefix(64).map {
                $0.properties.generalCategory == .control ? " " : Character($0)
            })
    }
}
