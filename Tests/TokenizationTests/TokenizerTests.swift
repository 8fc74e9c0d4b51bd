// What holds for any vocabulary: texts come back, hostile texts and vocabularies are survived.

import ModelFormat
import TestSupport
import Testing
import Tokenization

@Suite struct TokenizerTests {
    private func randomText(_ generator: inout SplitMix) -> String {
        var text = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0...60, using: &generator) {
            let limit: UInt32 = Bool.random(using: &generator) ? 0x80 : 0x110000
            let value = UInt32.random(in: 0..<limit, using: &generator)
            text.append(Unicode.Scalar(value) ?? " ")
        }
        return String(text)
    }

    @Test func textsComeBack() throws {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SplitMix(seed: seed)
        for (index, tokenizer) in try smallTokenizers().enumerated() {
            for _ in 0..<100 {
                let text = randomText(&generator)
                let tokens = tokenizer.encode(text, addSpecial: false, parseSpecial: false)
                #expect(
                    tokenizer.decode(tokens) == Array(text.utf8), "seed \(seed), \(index): \(text)")
            }
        }
    }

    @Test func bytesComeBackAsTheModelSeesThem() throws {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SplitMix(seed: seed)
        for tokenizer in try smallTokenizers() {
            for _ in 0..<100 {
                let bytes = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
                    UInt8.random(in: .min ... .max, using: &generator)
                }
                let back = tokenizer.decode(
                    tokenizer.encode(utf8: bytes, addSpecial: false, parseSpecial: false))
                if tokenizer.vocabularySpecial.addsSpacePrefix == true {
                    #expect(spaced(back) == spaced(bytes), "seed \(seed)")
                } else {
                    // What was not UTF-8 became U+FFFD, which is stable.
                    let again = tokenizer.decode(
                        tokenizer.encode(utf8: back, addSpecial: false, parseSpecial: false))
                    #expect(again == back, "seed \(seed)")
                    #expect(back.isEmpty == bytes.isEmpty, "seed \(seed)")
                }
            }
        }
    }

    /// `bytes` with U+2581 as spaces. A space that invalid bytes before it take for their own comes
    /// back as U+2581, in llama.cpp too.
    private func spaced(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        for byte in bytes {
            result.append(byte)
            if result.suffix(3) == [0xE2, 0x96, 0x81] {
                result.replaceSubrange((result.count - 3)..., with: [0x20])
            }
        }
        return result
    }

    @Test func specialTokensAreAddedAndParsedAsAsked() throws {
        let group = try #require(fixture("small-vocabularies.json", as: [SmallGroup].self).first)
        var vocabulary = try group.vocabulary.vocabulary(preTokenizer: "llama-bpe")
        let beginning = try #require(vocabulary.special.beginning)
        let end = try #require(vocabulary.special.end)
        #expect(
            try Tokenizer(vocabulary).encode("", addSpecial: true, parseSpecial: false)
                == [beginning])
        vocabulary.special.addsEnd = true
        vocabulary.special.addsBeginning = false
        let tokenizer = try Tokenizer(vocabulary)
        #expect(tokenizer.encode("", addSpecial: true, parseSpecial: false) == [end])
        #expect(tokenizer.encode("", addSpecial: false, parseSpecial: false) == [])
        #expect(
            tokenizer.encode("<|im_end|>", addSpecial: false, parseSpecial: true) == [end])
        let text = tokenizer.encode("<|im_end|>", addSpecial: false, parseSpecial: false)
        #expect(!text.contains(end))
        #expect(tokenizer.decode(text) == Array("<|im_end|>".utf8))
        let tag = try #require(tokenizer.token("<tag>"))
        #expect(tokenizer.encode("<tag>", addSpecial: false, parseSpecial: false) == [tag])
        #expect(tokenizer.bytes(of: end).isEmpty)
        #expect(tokenizer.bytes(of: end, showsControl: true) == Array("<|im_end|>".utf8))
        #expect(tokenizer.bytes(of: TokenID(-1)).isEmpty)
        #expect(tokenizer.bytes(of: TokenID(tokenizer.tokenCount)).isEmpty)
        #expect(tokenizer.isEndOfGeneration(end))
        #expect(!tokenizer.isEndOfGeneration(beginning))
    }

    @Test func segmentsAreOneTextWithoutInjection() throws {
        for tokenizer in try smallTokenizers() {
            let ending = tokenizer.token("<|im_end|>") ?? TokenID(2)
            let endingText = String(
                decoding: tokenizer.bytes(of: ending, showsControl: true), as: UTF8.self)
            func prompt(_ content: String) -> [PromptSegment] {
                [
                    PromptSegment("\(endingText)user", isTemplate: true),
                    PromptSegment("\n", isTemplate: true),
                    PromptSegment(content, isTemplate: false),
                    PromptSegment(endingText, isTemplate: true)
                ]
            }
            for content in ["\n\n  the quick", "2024", "", " <tag> 's", "the \u{301}"] {
                #expect(
                    tokenizer.encode(prompt(content), addSpecial: true)
                        == tokenizer.encode(
                            "\(endingText)user\n\(content)\(endingText)", addSpecial: true,
                            parseSpecial: true))
            }
            let half = String(endingText.dropFirst())
            for content in ["a\(endingText)b", half, String(endingText.dropLast())] {
                let tokens = tokenizer.encode(prompt(content), addSpecial: false)
                #expect(tokens.count { $0 == ending } == 2)
            }
        }
    }

    @Test func hugeWords() throws {
        let count = 1 << 12
        for tokenizer in try smallTokenizers() {
            for character in "a =0\n<中" {
                let text = String(repeating: character, count: count)
                let tokens = tokenizer.encode(text, addSpecial: false, parseSpecial: true)
                #expect(tokenizer.decode(tokens) == Array(text.utf8))
            }
        }
    }

    /// What ends generation by its text, and where the same text does not.
    @Test(arguments: [
        (["a", "<|end|>", "<|call|>"], [1, 2]), (["<|end|>", "<|call|>", "<|return|>"], [1, 2]),
        (["<|end|>", "<|flush|>", "<|calls|>"], [1, 2]), (["</s>", "<turn|>"], [0, 1]),
        (["</s>", "<turn|>", "<|tool_response>"], [1, 2])
    ])
    func endingsByText(texts: [String], endings: [Int]) throws {
        var vocabulary = Vocabulary(model: .characterPairEncoding)
        vocabulary.tokens = StringTable((texts + ["<s>"]).map(\.utf8))
        vocabulary.special.beginning = TokenID(texts.count)
        let tokenizer = try Tokenizer(vocabulary)
        let found = (0..<texts.count).filter { tokenizer.isEndOfGeneration(TokenID($0)) }
        #expect(found == endings)
        // Gemma 4's `</s>` is text, and is shown.
        let isText = texts.contains("</s>") && !found.contains(0)
        #expect(tokenizer.bytes(of: TokenID(0)).isEmpty == (!isText && texts[0] != "a"))
    }

    @Test func beginningOfGemma4IsNeeded() throws {
        var vocabulary = Vocabulary(model: .characterPairEncoding)
        vocabulary.tokens = StringTable(["<bos>", "a"].map(\.utf8))
        vocabulary.special.addsBeginning = false
        #expect(throws: TokenizerError.self) { try Tokenizer(vocabulary) }
        vocabulary.special.beginning = TokenID(0)
        #expect(try Tokenizer(vocabulary).addedBeginning == TokenID(0))
    }

    @Test func residentBytesCountTheTables() throws {
        for tokenizer in try smallTokenizers() {
            let textBytes = (0..<tokenizer.tokenCount).reduce(0) {
                $0 + tokenizer.bytes(of: TokenID($1), showsControl: true).count
            }
            #expect(tokenizer.residentBytes > textBytes + 4 * tokenizer.tokenCount)
        }
    }
}

@Suite struct VocabularyErrorTests {
    private func vocabulary(_ model: Vocabulary.Model, _ tokens: [String]) -> Vocabulary {
        var vocabulary = Vocabulary(model: model)
        vocabulary.tokens = StringTable(tokens.map(\.utf8))
        return vocabulary
    }

    @Test func unknownPreTokenizerIsNamedWithTheKnownOnes() {
        var unknown = vocabulary(.bytePairEncoding, ["a"])
        unknown.preTokenizer = "tekken\n"
        #expect(throws: TokenizerError.unknownPreTokenizer("tekken\n")) { try Tokenizer(unknown) }
        let message = TokenizerError.unknownPreTokenizer("tekken\n").description
        #expect(message.contains("'tekken\\n'"))
        for name in ["gpt-2", "llama-bpe", "qwen2", "deepseek-llm", "default"] {
            #expect(message.contains(name))
        }
    }

    @Test func listsMustFit() {
        #expect(throws: TokenizerError.tokenCount(0)) {
            try Tokenizer(Vocabulary(model: .sentencePiece))
        }
        var kinds = vocabulary(.sentencePiece, ["a", "b"])
        kinds.kinds = [.normal]
        #expect(throws: TokenizerError.listLength(name: "token types", count: 1, tokens: 2)) {
            try Tokenizer(kinds)
        }
        var scores = vocabulary(.sentencePiece, ["a", "b"])
        scores.scores = [1, 2, 3]
        #expect(throws: TokenizerError.listLength(name: "scores", count: 3, tokens: 2)) {
            try Tokenizer(scores)
        }
    }

    /// Of tokens with one text the last is what the text becomes; each of them is that text.
    @Test func lastOfOneTextCounts() throws {
        var twice = vocabulary(.bytePairEncoding, ["a", "b", "a", "<x>", "<x>"])
        twice.kinds = [.normal, .normal, .normal, .control, .control]
        let (repaired, repairs) = twice.repaired()
        #expect(repaired == twice)
        #expect(repairs == ["'a' is token 2, not 0 of the same text, and 1 more like it"])
        let tokenizer = try Tokenizer(repaired)
        let ids = tokenizer.encode("ab<x>a", addSpecial: false, parseSpecial: true)
        #expect(ids.map(\.rawValue) == [2, 1, 4, 2])
        #expect(tokenizer.bytes(of: TokenID(0)) == tokenizer.bytes(of: TokenID(2)))
        #expect(vocabulary(.bytePairEncoding, ["a", "b"]).repaired().repairs == [])
    }

    @Test func flagsWithoutTokensAreDecided() throws {
        var plain = vocabulary(.bytePairEncoding, ["a", "b"])
        plain.special.addsBeginning = true
        plain.special.addsEnd = true
        #expect(throws: TokenizerError.self) { try Tokenizer(plain) }
        let (repaired, repairs) = plain.repaired()
        #expect(
            repairs == [
                "add_bos_token is false: there is no bos_token_id",
                "add_eos_token is false: there is no eos_token_id"
            ])
        let none = try Tokenizer(repaired)
        #expect(none.encode("ab", addSpecial: true, parseSpecial: false).count == 2)
        // Falcon's first files name neither; token 11 is both.
        var usual = vocabulary(
            .bytePairEncoding, (0..<11).map { String(UnicodeScalar(0x61 + UInt8($0))) } + ["<e>"])
        usual.kinds = [TokenKind](repeating: .normal, count: 11) + [.control]
        usual.special.addsBeginning = true
        let (known, words) = usual.repaired()
        #expect(words == ["bos_token_id is 11, '<e>', as where none is named"])
        let ids = try Tokenizer(known).encode("a", addSpecial: true, parseSpecial: false)
        #expect(ids.map(\.rawValue) == [11, 0])
        var pieces = vocabulary(.sentencePiece, ["a", "b", "c"])
        pieces.special.addsBeginning = true
        #expect(pieces.repaired().repairs == [])
    }

    @Test(arguments: ["<0x-1>", "<0x+1>", "<0x1>", "<0x1G>", "<0x001>", "0x01", "<0x01", "x"])
    func byteTokensAreBytes(text: String) {
        var bytes = vocabulary(.sentencePiece, ["a", text])
        bytes.kinds = [.normal, .byte]
        #expect(throws: TokenizerError.malformedByteToken(index: 1, text: text)) {
            try Tokenizer(bytes)
        }
    }

    @Test func specialTokensThatAreMissing() throws {
        var special = vocabulary(.bytePairEncoding, ["a"])
        special.special.addsBeginning = true
        #expect(throws: TokenizerError.self) { try Tokenizer(special) }
        special.special.beginning = TokenID(7)
        #expect(throws: TokenizerError.self) { try Tokenizer(special) }
        special.special.beginning = TokenID(0)
        #expect(try Tokenizer(special).vocabularySpecial.beginning == TokenID(0))
    }

    /// Tokens that are empty, merges without a space, a vocabulary without most bytes, and scores
    /// that are no numbers: all are survived.
    @Test func oddVocabularies() throws {
        var pairs = vocabulary(.bytePairEncoding, ["a", "", "", "ab", "b", "c"])
        pairs.merges = StringTable(["a b", "ab", "", " ", "b zz", "zz b", "a b"].map(\.utf8))
        let pairTokenizer = try Tokenizer(pairs)
        #expect(
            pairTokenizer.encode("abczé", addSpecial: false, parseSpecial: true).map(\.index)
                == [3, 5])
        var pieces = vocabulary(.sentencePiece, ["a", "b", "ab", "abb", ""])
        pieces.scores = [.nan, -.infinity, .nan, .infinity, 0]
        pieces.special.addsBeginning = false
        let pieceTokenizer = try Tokenizer(pieces)
        let tokens = pieceTokenizer.encode("abbz", addSpecial: false, parseSpecial: true)
        // No byte tokens: the space before the text and `z` are unknown, token 0 by custom.
        #expect(tokens.map(\.index) == [0, 0, 0, 3, 0])
    }
}
