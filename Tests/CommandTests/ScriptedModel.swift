// A model that says what it is told to: its layers add nothing, and each token's embedding is one
// that the output has for the token after it.

import TestSupport

/// Makes a GGUF file of texts that follow one another.
struct ScriptedModel {
    /// One dimension for each token.
    private static let width = 64

    /// Texts that follow one another, each in one token. What is in angle brackets is a special
    /// token; a text is in one chain once, or the last of several.
    let chains: [[String]]
    let template: String
    /// Special tokens that only the template has.
    let more: [String]

    func bytes() -> [UInt8] {
        var tokens = ["a", "b", "ab", "<eos>"]
        for text in chains.flatMap(\.self) + more where !tokens.contains(text) {
            tokens.append(text)
        }
        while tokens.count < Self.width { tokens.append("unused\(tokens.count)") }
        var file = GGUFBuilder()
        file.addSmallLlama(
            name: "scripted", contextLength: 256, width: Self.width, keyValueHeads: 1)
        file.add("tokenizer.ggml.tokens", tokens)
        let kinds: [Int32] = tokens.map { text in
            text.hasPrefix("<") ? 3 : text.count < 3 ? 1 : 4
        }
        file.add("tokenizer.ggml.token_type", kinds)
        file.add("tokenizer.ggml.merges", ["a b"])
        file.add("tokenizer.ggml.eos_token_id", UInt32(3))
        file.add("tokenizer.ggml.add_bos_token", false)
        file.add("tokenizer.chat_template", template)
        addWeights(to: &file, tokens)
        return file.bytes()
    }

    private func addWeights(to file: inout GGUFBuilder, _ tokens: [String]) {
        let width = Self.width
        func add(_ name: String, _ dimensions: [Int], _ values: [Float]) {
            file.addTensor(
                name + ".weight", dimensions.map { UInt64($0) }, offset: UInt64(file.data.count))
            for value in values {
                let bits = value.bitPattern
                for shift in [0, 8, 16, 24] {
                    file.data.append(UInt8(truncatingIfNeeded: bits >> UInt32(shift)))
                }
            }
        }
        func zeros(_ count: Int) -> [Float] { [Float](repeating: 0, count: count) }
        var (embeddings, output) = (zeros(width * width), zeros(width * width))
        for token in 0..<width { embeddings[token * width + token] = 1 }
        for chain in chains {
            for (text, next) in zip(chain, chain.dropFirst() + ["<eos>"]) {
                guard let from = tokens.firstIndex(of: text), let to = tokens.firstIndex(of: next)
                else { continue }
                output[to * width + from] = 1
            }
        }
        add("token_embd", [width, width], embeddings)
        add("output", [width, width], output)
        for name in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"] {
            add(name, [width], [Float](repeating: 1, count: width))
        }
        for name in ["attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
            add("blk.0.\(name)", [width, width], zeros(width * width))
        }
        for name in ["attn_k", "attn_v"] {
            add("blk.0.\(name)", [width, width / 2], zeros(width * width / 2))
        }
    }
}
