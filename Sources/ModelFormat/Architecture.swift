/// The model families that Sluice can run, by their GGUF `general.architecture` names.
package enum Architecture: String, Sendable, Codable, CaseIterable {
    case llama, qwen2, qwen3, qwen2moe, qwen3moe, olmoe, arcee
}
