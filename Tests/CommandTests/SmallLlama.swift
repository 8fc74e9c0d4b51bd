// What models have in common that tests of commands make themselves.

import TestSupport

extension GGUFBuilder {
    /// The keys of a model of one layer with two heads, and of a byte-level vocabulary.
    mutating func addSmallLlama(
        name: String, contextLength: Int, width: Int, keyValueHeads: Int
    ) {
        add("general.architecture", "llama")
        add("general.name", name)
        let numbers = [
            "block_count": 1, "context_length": contextLength, "embedding_length": width,
            "feed_forward_length": width, "attention.head_count": 2,
            "attention.head_count_kv": keyValueHeads
        ]
        for (key, value) in numbers { add("llama." + key, UInt32(value)) }
        add("llama.attention.layer_norm_rms_epsilon", Float(1e-5))
        add("tokenizer.ggml.model", "gpt2")
        add("tokenizer.ggml.pre", "default")
    }
}
