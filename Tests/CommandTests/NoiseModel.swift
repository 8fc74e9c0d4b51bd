// A model whose every next token is noise, with a token for each byte and some that models call
// tools with: what is right about its answers is what they are held to.

import TestSupport

/// Makes its GGUF file.
struct NoiseModel {
    private static let width = 64
    private static let tokens = 320
    private static let special = ["<eos>", "<|im_start|>", "<tool_call>", "</tool_call>"]

    /// The token that begins a call.
    static var callToken: Int { vocabulary.firstIndex(of: "<tool_call>") ?? 0 }

    let template: String

    /// How byte-level vocabularies write bytes (GPT-2's `bytes_to_unicode`).
    private static var alphabet: [String] {
        let printable = Array(0x21...0x7E) + Array(0xA1...0xAC) + Array(0xAE...0xFF)
        var next: UInt32 = 256
        return (0..<256).map { byte in
            var value = UInt32(byte)
            if !printable.contains(byte) {
                value = next
                next += 1
            }
            return Unicode.Scalar(value).map { String(Character($0)) } ?? ""
        }
    }

    private static var vocabulary: [String] {
        var tokens = alphabet + ["\u{120}\"", "{\"", "\":", "\",", "\"}", "tr", "ue", "00"]
        tokens += special
        while tokens.count < Self.tokens { tokens.append("<unused\(tokens.count)>") }
        return tokens
    }

    func bytes(seed: UInt64 = 1) -> [UInt8] {
        let tokens = Self.vocabulary
        var file = GGUFBuilder()
        file.addSmallLlama(
            name: "noise", contextLength: 2048, width: Self.width, keyValueHeads: 2)
        file.add("tokenizer.ggml.tokens", tokens)
        let kinds: [Int32] = tokens.map { $0.count > 2 && $0.hasPrefix("<") ? 3 : 1 }
        file.add("tokenizer.ggml.token_type", kinds)
        file.add("tokenizer.ggml.merges", ["t r"])
        let end = tokens.firstIndex(of: "<eos>") ?? 0
        file.add("tokenizer.ggml.eos_token_id", UInt32(end))
        file.add("tokenizer.ggml.add_bos_token", false)
        file.add("tokenizer.chat_template", template)
        var random = SplitMix(seed: seed)
        for (name, dimensions) in Self.matrices {
            addMatrix(name, dimensions, to: &file, &random)
        }
        return file.bytes()
    }

    private static var matrices: [(String, [Int])] {
        let square = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
        return [("token_embd", [width, tokens]), ("output", [width, tokens])]
            + square.map { ("blk.0.\($0)", [width, width]) }
            + ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"].map { ($0, [width]) }
    }

    private func addMatrix(
        _ name: String, _ dimensions: [Int], to file: inout GGUFBuilder, _ random: inout SplitMix
    ) {
        file.addTensor(
            name + ".weight", dimensions.map { UInt64($0) }, offset: UInt64(file.data.count))
        for _ in 0..<dimensions.reduce(1, *) {
            let noise = Float(random.next() % 2048) / 1024 - 1
            let bits = (dimensions.count == 1 ? 1 : noise).bitPattern
            for shift in [0, 8, 16, 24] as [UInt32] {
                file.data.append(UInt8(truncatingIfNeeded: bits >> shift))
            }
        }
    }
}
