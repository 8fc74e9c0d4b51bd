// Ids against llama.cpp's: of small committed vocabularies always, of real ones where they are.

import ModelFormat
import TestSupport
import Testing
import Tokenization

@Suite struct ConformanceTests {
    @Test func smallVocabularies() throws {
        var checked = 0
        for group in try fixture("small-vocabularies.json", as: [SmallGroup].self) {
            for (name, cases) in group.cases {
                let tokenizer = try Tokenizer(group.vocabulary.vocabulary(preTokenizer: name))
                for (index, sample) in cases.enumerated() {
                    let place = "\(group.vocabulary.model) \(name) case \(index)"
                    #expect(
                        tokenizer.ids(sample.bytes, special: false) == sample.plain, "\(place)")
                    #expect(
                        tokenizer.ids(sample.bytes, special: true) == sample.special, "\(place)")
                    checked += 1
                }
            }
        }
        #expect(checked == 360)
    }

    /// Every name that is accepted, against llama.cpp.
    @Test func preTokenizerNames() throws {
        var names: Set<String> = []
        for cases in try fixture("pre-tokenizers.json", as: [PreTokenizerCases].self) {
            let texts = cases.textBytes
            #expect(texts.count >= 90)
            for group in cases.groups {
                for name in group.names {
                    let tokenizer = try Tokenizer(cases.vocabulary.vocabulary(preTokenizer: name))
                    for (text, expected) in zip(texts, group.plain) {
                        #expect(
                            tokenizer.ids(text, special: false) == expected,
                            "\(name): \(String(decoding: text, as: UTF8.self).debugDescription)")
                    }
                    let beginning: [Int32] = group.adds ? [Int32(cases.vocabulary.beginning)] : []
                    #expect(tokenizer.ids([], special: true) == beginning, "\(name)")
                    names.insert(name)
                }
            }
        }
        #expect(names.count == 91)
        let known = TokenizerError.unknownPreTokenizer("").description
        for name in names { #expect(known.contains(" \(name)")) }
    }

    /// As many texts as `make_random_texts.py` was told to make, for each of its vocabularies.
    @Test(.enabled(if: Place.randomTexts != nil, "needs $SLUICE_RANDOM_TEXTS"))
    func randomTextsOfEveryName() throws {
        let folder = try #require(Place.randomTexts)
        let names = try String(
            decoding: #require(fileBytes(folder + "/names.txt")), as: UTF8.self)
        for name in names.split(separator: "\n") {
            let path = "\(folder)/ggml-vocab-\(name).gguf"
            let (tokenizer, texts, lines) = try cases(ofVocabulary: path)
            #expect(texts.count >= 1000 && lines.count == texts.count + 1)
            var wrong = 0
            for (index, text) in texts.enumerated() {
                if tokenizer.ids(text, special: false) == ids(lines[index]) { continue }
                wrong += 1
                if wrong > 3 { continue }
                let shown = String(decoding: text, as: UTF8.self).debugDescription
                Issue.record("\(name) case \(index): \(shown)")
            }
            print("\(name): \(wrong) of \(texts.count) texts differ")
            #expect(wrong == 0, "\(name)")
        }
    }

    @Test(
        .enabled(if: Place.hasVocabularies, "needs ../shared/vocabs or $SLUICE_VOCABULARIES"),
        arguments: Place.vocabularyNames + Place.moreVocabularyNames.filter(Place.has))
    func testStringsOfRealVocabulary(name: String) throws {
        let path = Place.vocabularies + "ggml-vocab-\(name).gguf"
        let (tokenizer, texts, lines) = try cases(ofVocabulary: path)
        #expect(texts.count >= 46 && lines.count >= texts.count)
        for (index, text) in texts.enumerated() {
            #expect(tokenizer.ids(text, special: false) == ids(lines[index]), "case \(index)")
        }
    }

    /// A vocabulary's tokenizer, the texts beside it, and a line of ids for each.
    private func cases(
        ofVocabulary path: String
    ) throws -> (tokenizer: Tokenizer, texts: [[UInt8]], lines: [ArraySlice<UInt8>]) {
        (
            try tokenizer(file: path), try split(#require(fileBytes(path + ".inp"))),
            try #require(fileBytes(path + ".out")).split(
                separator: 0x0A, omittingEmptySubsequences: false)
        )
    }

    private func ids(_ line: ArraySlice<UInt8>) -> [Int32] {
        String(decoding: line, as: UTF8.self).split(separator: " ").compactMap { Int32($0) }
    }

    @Test(.enabled(if: Place.hasVocabularies, "needs ../shared/vocabs"))
    func randomTextsOfRealVocabularies() throws {
        let groups = try fixture("real-vocabularies.json", as: [String: [Case]].self)
        #expect(groups.count == Place.vocabularyNames.count)
        for (file, cases) in groups {
            let tokenizer = try tokenizer(file: Place.vocabularies + file)
            for (index, sample) in cases.enumerated() {
                let place = "\(file) case \(index)"
                #expect(tokenizer.ids(sample.bytes, special: false) == sample.plain, "\(place)")
                #expect(tokenizer.ids(sample.bytes, special: true) == sample.special, "\(place)")
            }
        }
    }

    @Test(.enabled(if: Place.hasVocabularies, "needs ../shared/vocabs"))
    func endOfGenerationOfRealVocabularies() throws {
        let expected: [String: [Int]] = [
            "deepseek-llm": [100001], "gpt-2": [50256], "llama-bpe": [128001, 128009],
            // 128247 is `</s>`.
            "llama-spm": [2], "qwen2": [128247, 151643, 151645]
        ]
        for (name, endings) in expected {
            let tokenizer = try tokenizer(file: Place.vocabularies + "ggml-vocab-\(name).gguf")
            let found = (0..<tokenizer.tokenCount).filter {
                tokenizer.isEndOfGeneration(TokenID($0))
            }
            #expect(found == endings, "\(name)")
        }
    }

    /// The texts of a `.inp` file, which lines `__ggml_vocab_test__` end.
    private func split(_ bytes: [UInt8]) -> [[UInt8]] {
        let separator = Array("\n__ggml_vocab_test__\n".utf8)
        var texts: [[UInt8]] = []
        var start = 0
        var index = 0
        while index < bytes.count {
            if bytes[index...].starts(with: separator) {
                texts.append(Array(bytes[start..<index]))
                index += separator.count
                start = index
            } else {
                index += 1
            }
        }
        return texts
    }
}
