// Vocabularies from metadata, whatever the file's architecture.

import ModelFamilies
import ModelFormat
import TestSupport
import Testing

@Suite struct GGUFVocabularyTests {
    @Test func byteLevelPairs() throws {
        let file = try GGUFTestFiles.open("vocabulary-bpe.gguf")
        expectRefused("found 'nobody'") { try file.family() }
        let vocabulary = try file.vocabulary()
        #expect(vocabulary.model == .bytePairEncoding)
        #expect(vocabulary.preTokenizer == "qwen2")
        #expect(vocabulary.tokens.count == 272)
        #expect(Array(vocabulary.tokens[0]) == Array("\u{100}".utf8))
        #expect(Array(vocabulary.tokens[65]) == Array("A".utf8))
        #expect(Array(vocabulary.tokens[258]) == Array("\u{120}the".utf8))
        #expect(Array(vocabulary.tokens[271]) == Array("<|endoftext|>".utf8))
        #expect(vocabulary.kinds.count == 272)
        #expect(vocabulary.kinds[268] == .normal)
        #expect(vocabulary.kinds[269] == .control)
        #expect(vocabulary.scores == [])
        #expect(vocabulary.merges.count == 13)
        #expect(Array(vocabulary.merges[2]) == Array("\u{120} the".utf8))
        #expect(vocabulary.special.beginning == TokenID(271))
        #expect(vocabulary.special.end == TokenID(270))
        #expect(vocabulary.special.padding == TokenID(271))
        #expect(vocabulary.special.endOfTurn == nil)
        #expect(vocabulary.special.unknown == nil)
        #expect(vocabulary.special.addsBeginning == false)
        #expect(vocabulary.special.addsEnd == nil)
        #expect(vocabulary.templates.plain?.hasPrefix("{% for message in messages %}") == true)
    }

    @Test func sentencePiece() throws {
        let vocabulary = try GGUFTestFiles.open("vocabulary-spm.gguf").vocabulary()
        #expect(vocabulary.model == .sentencePiece)
        #expect(vocabulary.tokens.count == 267)
        #expect(Array(vocabulary.tokens[260]) == Array("\u{2581}the".utf8))
        #expect(vocabulary.kinds[0] == .unknown)
        #expect(vocabulary.kinds[3] == .byte)
        #expect(vocabulary.scores.count == 267)
        #expect(vocabulary.scores[266] == -7)
        #expect(vocabulary.merges.count == 0)
        // Not in the file: the usual ones.
        #expect(vocabulary.special.beginning == TokenID(1))
        #expect(vocabulary.special.end == TokenID(2))
        #expect(vocabulary.special.unknown == TokenID(0))
        #expect(vocabulary.special.addsBeginning == true)
        #expect(vocabulary.special.addsSpacePrefix == true)
        #expect(vocabulary.templates.plain == nil)
    }

    private func vocabulary(
        model: String = "llama", tokens: [String] = ["a", "b"],
        _ change: (inout GGUFBuilder) -> Void = { _ in }
    ) throws -> Vocabulary {
        var builder = GGUFBuilder()
        builder.add("tokenizer.ggml.model", model)
        builder.add("tokenizer.ggml.tokens", tokens)
        change(&builder)
        return try GGUFTestFiles.open(builder).vocabulary()
    }

    @Test func whatAFileMayLeaveOut() throws {
        let vocabulary = try vocabulary { $0.add("tokenizer.ggml.eos_token_id", UInt32.max) }
        #expect(vocabulary.kinds == [])
        #expect(vocabulary.scores == [0, 0])
        #expect(vocabulary.preTokenizer == nil)
        #expect(vocabulary.special.beginning == TokenID(1))
        #expect(vocabulary.special.end == nil)
        #expect(vocabulary.special.unknown == TokenID(0))
    }

    @Test func templatesForTools() throws {
        let plain = try vocabulary { $0.add("tokenizer.chat_template", "a") }
        #expect(plain.templates.source(hasTools: true) == "a")
        let both = try vocabulary {
            $0.add("tokenizer.chat_template", "a")
            $0.add("tokenizer.chat_templates", ["tool_use"])
            $0.add("tokenizer.chat_template.tool_use", "b")
        }
        #expect(both.templates.source(hasTools: false) == "a")
        #expect(both.templates.source(hasTools: true) == "b")
    }

    @Test func templatesByName() throws {
        let key = "tokenizer.chat_template"
        let named = try vocabulary {
            $0.add(key + ".rag", "r")
            $0.add(key, "a")
            $0.add(key + ".tool_use", "b")
            $0.add(key + ".default", "not the default")
            $0.add(key + ".two words", "nobody can name it")
        }.templates
        #expect(named.names == ["default", "tool_use", "rag"])
        #expect(
            ["default", "tool_use", "rag", "x"].map { named.source(named: $0) }
                == ["a", "b", "r", nil])
        #expect(named.source(hasTools: true) == "b" && named.source(hasTools: false) == "a")
        #expect(named.byteCount == 6)
        let only = try vocabulary { $0.add(key + ".default", "d") }.templates
        #expect(only.names == ["default"] && only.source(named: "default") == "d")
        #expect(throws: FormatError.self) {
            try vocabulary { file in
                for index in 0...ChatTemplateSources.othersMax { file.add("\(key).n\(index)", "a") }
            }
        }
        #expect(throws: FormatError.self) { try vocabulary { $0.add(key + ".rag", UInt32(1)) } }
    }

    @Test func bytesStayAsTheyAre() throws {
        var builder = GGUFBuilder()
        builder.add("tokenizer.ggml.model", "llama")
        builder.addArray(
            "tokenizer.ggml.tokens", of: 8, count: 3,
            bytes: GGUFBuilder.number(UInt64(2)) + [0xFF, 0x00] + GGUFBuilder.string("")
                + GGUFBuilder.string("x"))
        let tokens = try GGUFTestFiles.open(builder).vocabulary().tokens
        #expect((0..<3).map { Array(tokens[$0]) } == [[0xFF, 0x00], [], [0x78]])
    }

    /// Strings longer than the reader's window, across its edges.
    @Test func longStrings() throws {
        let lengths = [1, 65_535, 65_536, 65_537, 200_000, 3, 65_530, 20]
        let tokens = lengths.enumerated().map {
            String(repeating: Character(UnicodeScalar(UInt8(0x61 + $0.offset))), count: $0.element)
        }
        let table = try vocabulary(tokens: tokens).tokens
        #expect(table.count == tokens.count)
        for (index, token) in tokens.enumerated() {
            #expect(Array(table[index]) == Array(token.utf8))
        }
    }

    @Test(arguments: ["bert", "t5", "rwkv", "none", "GPT2", ""])
    func otherModelsAreNamed(model: String) {
        expectRefused("gpt2 (byte-level BPE), llama (SentencePiece) or gemma4, found '\(model)'") {
            try vocabulary(model: model)
        }
    }

    @Test func whatMakesNoSense() {
        expectRefused("the metadata key 'tokenizer.ggml.tokens'") { try vocabulary(tokens: []) }
        expectRefused("the metadata key 'tokenizer.ggml.merges'") { try vocabulary(model: "gpt2") }
        expectRefused("2 elements in tokenizer.ggml.token_type, one for each token, found 3") {
            try vocabulary { $0.add("tokenizer.ggml.token_type", [Int32(1), 1, 1]) }
        }
        expectRefused("2 elements in tokenizer.ggml.scores, one for each token, found 1") {
            try vocabulary { $0.add("tokenizer.ggml.scores", [Float(1)]) }
        }
        for kind in [Int32(7), -1, Int32.max] {
            expectRefused("a valid value for token 1 in tokenizer.ggml.token_type") {
                try vocabulary { $0.add("tokenizer.ggml.token_type", [1, kind]) }
            }
        }
        expectRefused("a valid value for token 0 in tokenizer.ggml.scores") {
            try vocabulary { $0.add("tokenizer.ggml.scores", [Float.nan, 0]) }
        }
        for merge in ["ab", "a ", " b", "", "\u{100}"] {
            expectRefused("two pieces in merge 1, found '\(merge)'") {
                try vocabulary(model: "gpt2") { $0.add("tokenizer.ggml.merges", ["a b", merge]) }
            }
        }
        expectRefused("tokenizer.ggml.add_bos_token to be a bool, found uint32") {
            try vocabulary { $0.add("tokenizer.ggml.add_bos_token", UInt32(1)) }
        }
    }
}
