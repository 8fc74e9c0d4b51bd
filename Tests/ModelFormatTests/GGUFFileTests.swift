// Valid GGUF files: what they say comes out as it went in. The expected values are those of
// make_gguf_fixtures.py and of the models' cards.

import ModelFamilies
import ModelFormat
import TestSupport
import Testing

@Suite struct GGUFFileTests {
    @Test(arguments: [("tiny-v3.gguf", UInt32(3)), ("tiny-v2.gguf", 2)])
    func tinyModel(name: String, version: UInt32) throws {
        let file = try GGUFTestFiles.open(name)
        #expect(file.version == version)
        #expect(file.alignment == 32)
        #expect(file.modelName() == "tiny llama")
        #expect(try file.family().architecture == "llama")
        #expect(file.tensors.count == 11)
        let gate = try #require(file.tensor(named: "blk.0.ffn_gate.weight"))
        #expect(gate.type.format == .q4_0)
        #expect(gate.dimensions == [32, 64])
        #expect(gate.columns == 32)
        #expect(gate.rows == 64)
        #expect(gate.byteCount == 64 * 18)
        #expect(gate.offset % 32 == 0)
        #expect(file.tensor(named: "output.weight") == nil)
        let shape = try file.shape()
        #expect(
            shape
                == .alike(
                    contextLength: 128, layerCount: 1, width: 32,
                    attention: .rotating(heads: 2, keyValueHeads: 1, width: 16, .adjacent),
                    feedForward: FeedForwardShape(
                        DenseShape(width: 64, activation: .silu, isGated: true)),
                    vocabularySize: 272))
    }

    @Test func expertModel() throws {
        let file = try GGUFTestFiles.open("tiny-experts.gguf")
        let shape = try file.shape()
        #expect(shape.architecture == "qwen3moe")
        #expect(shape.feedForwardWidth == 0)
        #expect(
            (shape.experts?.count, shape.experts?.usedCount, shape.experts?.width) == (4, 2, 32))
        let gate = try #require(file.tensor(named: "blk.0.ffn_gate_exps.weight"))
        #expect(gate.dimensions == [32, 32, 4])
        #expect(gate.rows == 128)
        #expect(gate.elementCount == 4_096)
    }

    @Test func readsTensorBytes() throws {
        let source = try GGUFTestFiles.source("tiny-v3.gguf")
        let file = try GGUFFile(parts: [source])
        for tensor in file.tensors {
            let expected = source.bytes[Int(tensor.offset)...].prefix(tensor.byteCount)
            #expect(try bytes(of: tensor, in: file) == Array(expected))
        }
        // output_norm is F32 of 1...1.125 by the script: the offset is right.
        let norm = try #require(file.tensor(named: "output_norm.weight"))
        let first = try bytes(of: norm, in: file).prefix(4).enumerated()
            .reduce(UInt32(0)) { $0 | UInt32($1.element) << (8 * $1.offset) }
        #expect((1...1.125).contains(Float(bitPattern: first)))
    }

    @Test func refusesReadsOutsideTheTensor() throws {
        let file = try GGUFTestFiles.open("tiny-v3.gguf")
        let tensor = file.tensors[1]
        for (start, count) in [(0, 129), (128, 1), (-1, 4), (Int.max, 4), (125, 4)] {
            expectRefused("inside the 128") {
                try bytes(of: tensor, in: file, from: start, count: count)
            }
        }
        #expect(try bytes(of: tensor, in: file, from: 128, count: 0) == [])
    }

    @Test func partsAreOneModel() throws {
        let whole = try GGUFTestFiles.open("tiny-v3.gguf")
        let first = try GGUFTestFiles.source("tiny-split-00001-of-00003.gguf")
        let names = try GGUFFile.partNames(of: first)
        #expect(
            names == ["tiny-split-00002-of-00003.gguf", "tiny-split-00003-of-00003.gguf"])
        let others = try names.map { try GGUFTestFiles.source($0) }
        let split = try GGUFFile(parts: [first] + others)
        #expect(split.tensors.map(\.name) == whole.tensors.map(\.name))
        #expect(split.tensors.map(\.part) == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2])
        #expect(try split.shape() == whole.shape())
        #expect(try split.vocabulary() == whole.vocabulary())
        for (one, other) in zip(split.tensors, whole.tensors) {
            #expect(try bytes(of: one, in: split) == bytes(of: other, in: whole))
        }
    }

    @Test func partsMustBelongTogether() throws {
        let parts = try (1...3).map {
            try GGUFTestFiles.source("tiny-split-0000\($0)-of-00003.gguf")
        }
        expectRefused("expected 3 parts") { try GGUFFile(parts: [parts[0]]) }
        expectRefused("found part 3") { try GGUFFile(parts: [parts[0], parts[2], parts[1]]) }
        expectRefused("found part 2") { try GGUFFile(parts: [parts[1]]) }
        expectRefused("found part 2") { try GGUFFile.partNames(of: parts[1]) }
        let whole = try GGUFTestFiles.source("tiny-v3.gguf")
        expectRefused("a model of one file") { try GGUFFile(parts: [whole, parts[1]]) }
        expectRefused("no part number") { try GGUFFile(parts: [parts[0], parts[1], whole]) }
        #expect(try GGUFFile.partNames(of: whole) == [])
    }

    @Test func partsMayNotRepeatTensors() throws {
        func part(_ number: UInt32, total: UInt32) -> ByteArraySource {
            var builder = GGUFBuilder()
            builder.add("split.no", number)
            builder.add("split.count", UInt32(2))
            builder.add("split.tensors.count", total)
            builder.addTensor("same", [8])
            builder.data = [UInt8](repeating: 0, count: 32)
            return ByteArraySource(name: "part \(number + 1)", bytes: builder.bytes())
        }
        expectRefused("'same' in part 1 too") {
            try GGUFFile(parts: [part(0, total: 2), part(1, total: 2)])
        }
        expectRefused("expected 3 tensors in all parts") {
            try GGUFFile(parts: [part(0, total: 3), part(1, total: 3)])
        }
    }

    @Test func namesOfParts() throws {
        #expect(
            try GGUFFile.partNames(first: "/models/a-00001-of-00002.gguf", count: 2)
                == ["/models/a-00002-of-00002.gguf"])
        #expect(try GGUFFile.partNames(first: "a-00001-of-00001.gguf", count: 1) == [])
        for name in ["a.gguf", "a-00002-of-00003.gguf", "a-00001-of-00004.gguf", ""] {
            expectRefused("-00001-of-00003.gguf") {
                try GGUFFile.partNames(first: name, count: 3)
            }
        }
    }

    @Test func bigEndianIsRefusedByName() throws {
        let source = try GGUFTestFiles.source("big-endian.gguf")
        expectRefused("big-endian one (version 3") { try GGUFFile(parts: [source]) }
    }

    @Test func summaries() throws {
        let file = try GGUFTestFiles.open("tiny-v3.gguf")
        let summaries = try file.metadata.summaries()
        #expect(summaries.count == file.metadata.entries.count)
        #expect(summaries[0].key == "general.architecture")
        #expect(summaries[0].type == "string")
        #expect(summaries[0].value == "'llama'")
        let tokens = try #require(summaries.first { $0.key == "tokenizer.ggml.tokens" })
        #expect(tokens.type == "array of string")
        #expect(tokens.value == "272 elements")
        #expect(summaries.contains { $0.key == "llama.block_count" && $0.value == "1" })
        #expect(summaries.contains { $0.key == "llama.rope.freq_base" && $0.value == "10000.0" })
        #expect(
            summaries.contains { $0.key == "tokenizer.ggml.add_bos_token" && $0.value == "false" })
        #expect(file.parameterCount == 272 * 32 + 3 * 32 + 2 * 32 * 32 + 2 * 512 + 3 * 2_048)
        let formats = file.formatSummaries()
        #expect(formats.map(\.type.format) == [.q4_0, .q8_0, .f16, .f32])
        #expect(formats.map(\.tensorCount) == [4, 3, 1, 3])
    }

    private func bytes(
        of tensor: GGUFTensor, in file: GGUFFile, from start: Int = 0, count: Int? = nil
    ) throws -> [UInt8] {
        var result = [UInt8](repeating: 0xAA, count: count ?? tensor.byteCount)
        var span = result.mutableSpan
        var raw = unsafe span.mutableBytes
        try file.read(tensor, at: start, into: &raw)
        return result
    }
}

@Suite(.enabled(if: GGUFTestFiles.hasShared, "needs the models beside the repository"))
struct GGUFRealFileTests {
    private static let models = GGUFTestFiles.shared + "models/"
    private static let vocabularies = GGUFTestFiles.shared + "vocabs/"

    @Test(arguments: ["shell-moe-q4_0.gguf", "shell-moe-q8_0.gguf"])
    func expertModels(name: String) throws {
        let file = try GGUFTestFiles.open(name, in: Self.models)
        let shape = try file.shape()
        #expect(shape.architecture == "qwen3moe")
        #expect((shape.layerCount, shape.width, shape.vocabularySize) == (6, 512, 8_192))
        let attention = shape.attention
        #expect(
            (attention.headCount, attention.keyValueHeadCount, attention.keyHeadWidth) == (8, 2, 64)
        )
        #expect(
            (shape.experts?.count, shape.experts?.usedCount, shape.experts?.width) == (32, 4, 128))
        #expect(file.tensors.count == 74)
        let vocabulary = try file.vocabulary()
        #expect(vocabulary.tokens.count == 8_192)
        #expect(vocabulary.merges.count == 7_933)
        #expect(vocabulary.special.end == TokenID(8_191))
        #expect(vocabulary.special.addsBeginning == false)
        #expect(vocabulary.templates.plain?.contains("<|im_start|>") == true)
    }

    @Test func denseModel() throws {
        let file = try GGUFTestFiles.open("shell-relu2-q8_0.gguf", in: Self.models)
        let shape = try file.shape()
        #expect(shape.architecture == "arcee")
        #expect((shape.layerCount, shape.feedForwardWidth) == (8, 4_096))
        #expect(shape.experts == nil)
        #expect(try file.vocabulary().tokens.count == 8_192)
    }

    /// Tokens, merges and scores as the files' writers counted them.
    @Test(arguments: [
        ("deepseek-llm", 102_400, 99_757, 0), ("gpt-2", 50_257, 50_000, 0),
        ("llama-bpe", 128_256, 280_147, 0), ("llama-spm", 32_000, 0, 32_000),
        ("qwen2", 151_936, 151_387, 0)
    ])
    func vocabularies(name: String, tokens: Int, merges: Int, scores: Int) throws {
        let file = try GGUFTestFiles.open("ggml-vocab-\(name).gguf", in: Self.vocabularies)
        #expect(file.tensors.isEmpty)
        let vocabulary = try file.vocabulary()
        #expect(vocabulary.tokens.count == tokens)
        #expect(vocabulary.kinds.count == tokens)
        #expect(vocabulary.merges.count == merges)
        #expect(vocabulary.scores.count == scores)
        #expect(vocabulary.preTokenizer == (name == "llama-spm" ? "default" : name))
        #expect(vocabulary.special.end != nil)
    }
}
