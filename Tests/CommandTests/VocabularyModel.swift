// A model that says nothing of sense around any vocabulary: what tests of the built programs need
// to have a tokenizer served.

import FoundationEssentials
import TestSupport
import Testing

/// Makes GGUF files: one layer of zeros, and the `tokenizer.*` keys of another file.
struct VocabularyModel {
    private static let width = 64
    private static let half: UInt32 = 1

    /// Positions that the model knows.
    let contextTokens: Int
    /// Instead of the source's `tokenizer.ggml.pre`.
    var preTokenizer: String?
    /// The template for conversations with tools.
    var toolTemplate: String?
    /// A further template, called `rag`.
    var ragTemplate: String?

    /// The model with the vocabulary of the GGUF file at `source`, and a chat template.
    func bytes(source: String) throws -> [UInt8] {
        let bytes = try #require(fileBytes(source), "\(source)")
        var file = GGUFBuilder()
        file.add("general.architecture", "llama")
        file.add("general.name", "vocabulary")
        let numbers = [
            "block_count": 1, "context_length": contextTokens, "embedding_length": Self.width,
            "feed_forward_length": Self.width, "attention.head_count": 2,
            "attention.head_count_kv": 1
        ]
        for (key, value) in numbers { file.add("llama." + key, UInt32(value)) }
        file.add("llama.attention.layer_norm_rms_epsilon", Float(1e-5))
        var tokens = 0
        for entry in try Self.entries(of: bytes) where entry.name.hasPrefix("tokenizer.") {
            if entry.name == "tokenizer.chat_template" { continue }
            if entry.name == "tokenizer.ggml.pre", preTokenizer != nil { continue }
            if entry.name == "tokenizer.ggml.tokens" { tokens = entry.elementCount }
            file.addRaw(Array(bytes[entry.range]))
        }
        if let preTokenizer { file.add("tokenizer.ggml.pre", preTokenizer) }
        file.add("tokenizer.chat_template", try Self.chatTemplate())
        if let toolTemplate { file.add("tokenizer.chat_template.tool_use", toolTemplate) }
        if let ragTemplate { file.add("tokenizer.chat_template.rag", ragTemplate) }
        Self.addWeights(to: &file, tokens: tokens)
        return file.bytes()
    }

    private static func addWeights(to file: inout GGUFBuilder, tokens: Int) {
        var byteCount = 0
        func add(_ name: String, _ dimensions: [Int], type: UInt32) {
            file.addTensor(
                name, dimensions.map { UInt64($0) }, type: type, offset: UInt64(byteCount))
            let elements = dimensions.reduce(1, *)
            byteCount += (elements * (type == half ? 2 : 4) + 31) / 32 * 32
        }
        add("token_embd.weight", [width, tokens], type: half)
        for name in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"] {
            add(name + ".weight", [width], type: 0)
        }
        for name in ["attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] {
            add("blk.0.\(name).weight", [width, width], type: half)
        }
        for name in ["attn_k", "attn_v"] {
            add("blk.0.\(name).weight", [width, width / 2], type: half)
        }
        file.data = [UInt8](repeating: 0, count: byteCount)
    }

    private struct Entry {
        let name: String
        let range: Range<Int>
        /// Of an array; else 0.
        let elementCount: Int
    }

    private static func entries(of bytes: [UInt8]) throws -> [Entry] {
        let fields = GGUFFields(of: bytes, arrayElementsMax: 0)
        let end = fields.fields.first { $0.name == "tensor 0 name length" }?.offset
        let places = Dictionary(uniqueKeysWithValues: fields.fields.map { ($0.name, $0) })
        var entries: [Entry] = []
        while let start = places["key \(entries.count) length"],
            let name = places["key \(entries.count)"]
        {
            let next = places["key \(entries.count + 1) length"]?.offset
            let count = places["key \(entries.count) element count"]?.offset
            entries.append(
                Entry(
                    name: String(
                        decoding: bytes[name.offset..<name.offset + name.byteCount],
                        as: UTF8.self),
                    range: start.offset..<(next ?? end ?? fields.headerBytes),
                    elementCount: count.map { number(bytes, at: $0) } ?? 0))
        }
        return entries
    }

    /// The four bytes at `place`, little endian.
    private static func number(_ bytes: [UInt8], at place: Int) -> Int {
        var number = 0
        for index in 0..<4 { number += Int(bytes[place + index]) << (8 * index) }
        return number
    }

    /// One that is known, so that chats are written for the model.
    private static func chatTemplate() throws -> String {
        struct Fixture: Decodable {
            struct Template: Decodable { let template: String? }
            let known: [Template]
        }
        let text = fileBytes(Repository.fixtures + "/tokenization/chat.json") ?? []
        let fixture = try JSONDecoder().decode(Fixture.self, from: Data(text))
        return try #require(fixture.known.lazy.compactMap(\.template).first)
    }
}
