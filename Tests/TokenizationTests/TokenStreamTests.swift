// A text's tokens do not depend on how it arrives, and what is held does not depend on the text.

import ModelFormat
import TestSupport
import Testing
import Tokenization

@Suite struct TokenStreamTests {
    /// Every rule of splitting, and SentencePiece.
    private func tokenizers() throws -> [(name: String, tokenizer: Tokenizer)] {
        let seams = try fixture("pre-tokenizers.json", as: [PreTokenizerCases].self)
            .flatMap { cases in
                try cases.groups.compactMap(\.names.first).map {
                    ($0, try Tokenizer(cases.vocabulary.vocabulary(preTokenizer: $0)))
                }
            }
        let small = try smallTokenizers().enumerated()
        return seams + small.map { ("small \($0.offset)", $0.element) }
    }

    /// Runs of a few kinds of characters, long enough to be cut anywhere.
    private func text(_ generator: inout SplitMix, _ pieces: [[UInt8]]) -> [UInt8] {
        var text: [UInt8] = []
        while text.count < 300 {
            let piece = pieces[Int.random(in: 0..<pieces.count, using: &generator)]
            let repeats = max(1, Int.random(in: -9...9, using: &generator))
            for _ in 0..<repeats { text += piece }
        }
        return text
    }

    private func tokens(
        _ tokenizer: Tokenizer, _ text: [UInt8], windowBytes: Int, isTemplate: Bool
    ) throws -> [TokenID] {
        var stream = TokenStream(tokenizer, addSpecial: true, windowBytes: windowBytes)
        try stream.append(text, isTemplate: isTemplate)
        stream.finish()
        return stream.tokens
    }

    @Test func tokensDoNotDependOnWhereTextIsCut() throws {
        let seed = UInt64.random(in: .min ... .max)
        var generator = SplitMix(seed: seed)
        var pieces = "Aa1 \n'st!$/`\"Éé中ア２、€\u{301}\u{3000}\u{200b}☃\r\t=<".unicodeScalars.map {
            Array(String($0).utf8)
        }
        pieces += [
            "<tag>", "<|im_end|>", "<|im_", "  ", "the ", "'re", "\r\n", "IMGIMG", "AZ", "IMGIMGAZ",
            "<sentinel:", "<sentinel:1>", ">"
        ].map { Array($0.utf8) }
        pieces += [[0xF0], [0xC3], [0x96], [0xE2, 0x96]]
        for (name, tokenizer) in try tokenizers() {
            for _ in 0..<60 {
                let text = text(&generator, pieces)
                let isTemplate = Bool.random(using: &generator)
                let window = Int.random(in: 1...40, using: &generator)
                let whole = try tokens(
                    tokenizer, text, windowBytes: 1 << 20, isTemplate: isTemplate)
                let cut = try tokens(
                    tokenizer, text, windowBytes: window, isTemplate: isTemplate)
                #expect(cut == whole, "seed \(seed), \(name), window \(window)")
                if cut != whole { return }
                #expect(whole.count >= tokenizer.tokensMin(byteCount: text.count), "\(name)")
            }
        }
    }

    /// White space stays together before what becomes a token of its own, and only there.
    @Test(arguments: [
        "1're\u{3000}\u{3000}\u{3000}\u{3000}\u{3000}IMGIMGAZhe the ",
        "$\r\r\t```````\u{3000}\u{3000}IMGIMGAZ======>",
        "the fox\r\r\r\r\r\r<sentinel:12345678>\r", "the fox\r\r\r\r<sentinel:1\r"
    ])
    func whiteSpaceWaitsForWhatFollows(text: String) throws {
        for (name, tokenizer) in try tokenizers() {
            let text = Array(text.utf8)
            let whole = try tokens(tokenizer, text, windowBytes: 1 << 20, isTemplate: false)
            for window in 1...text.count {
                let cut = try tokens(tokenizer, text, windowBytes: window, isTemplate: false)
                #expect(cut == whole, "\(name), window \(window)")
            }
        }
    }

    @Test func whatNothingDividesIsBounded() throws {
        for (name, tokenizer) in try tokenizers() {
            var stream = TokenStream(tokenizer, addSpecial: true, unbrokenBytesMax: 20_000)
            let error = #expect(throws: UnbrokenTextError.self, "\(name)") {
                for _ in 0..<100 {
                    try stream.append(Array(repeating: 0x20, count: 1000), isTemplate: false)
                }
            }
            #expect(error?.description.contains("cannot divide") == true)
            for words in ["the fox; 12\n", "the fox; 12 "] {
                var stream = TokenStream(tokenizer, addSpecial: true, unbrokenBytesMax: 20_000)
                for _ in 0..<100 {
                    try stream.append(
                        Array(String(repeating: words, count: 100).utf8), isTemplate: false)
                    stream.tokens.removeAll()
                }
            }
        }
    }

    @Test func noTokenStandsForMoreThanTheLongest() throws {
        for (name, tokenizer) in try tokenizers() {
            #expect(tokenizer.tokensMin(byteCount: 0) == 0)
            // The longest stands for 1,024 spaces and is written in twice as many bytes.
            #expect(tokenizer.tokensMin(byteCount: 1 << 20) >= 1 << 9, "\(name)")
        }
        // Bytes without a token get lost: nothing is known of the number then.
        var vocabulary = Vocabulary(model: .bytePairEncoding)
        vocabulary.tokens = StringTable(["a", "b"].map(\.utf8))
        #expect(try Tokenizer(vocabulary).tokensMin(byteCount: 1 << 20) == 0)
    }
}
