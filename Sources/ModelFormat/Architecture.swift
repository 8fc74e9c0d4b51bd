/// The model families that Sluice can run, by their GGUF `general.architecture` names.
package enum Architecture: String, Sendable, Codable, CaseIterable {
    case llama, qwen2, qwen3, qwen2moe, qwen3moe, olmoe, arcee, nemotron

    /// The feed-forward network's nonlinearity where a file does not override it.
    package var activation: Activation {
        switch self {
        case .arcee, .nemotron: .relu2
        case .llama, .qwen2, .qwen3, .qwen2moe, .qwen3moe, .olmoe: .silu
        }
    }

    /// Whether norms are layer norms, which have biases, rather than root-mean-square norms.
    package var usesLayerNorm: Bool { self == .nemotron }
}
