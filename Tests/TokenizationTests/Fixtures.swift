// Reads the committed fixtures (Tests/Fixtures/tokenization, made by make_cases.py there) and the
// vocabularies beside the repository.

import FoundationEssentials
import Glibc
import LinuxSystem
import ModelFormat
import TestSupport
import Testing
import Tokenization

/// Where test data is.
enum Place {
    private static let repository: String = {
        // This file is three levels below the repository.
        var parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
        parts.removeLast(3)
        return parts.joined(separator: "/")
    }()

    static let fixtures = repository + "/Tests/Fixtures/tokenization/"
    /// Vocabulary files with texts and the ids that llama.cpp expects for them.
    static let vocabularies =
        (environment("SLUICE_VOCABULARIES") ?? repository + "/../shared/vocabs") + "/"
    static let models = repository + "/../shared/models/"

    /// Those that are always among them.
    static let vocabularyNames = ["deepseek-llm", "gpt-2", "llama-bpe", "llama-spm", "qwen2"]
    /// Those that llama.cpp's own repository has beside them.
    static let moreVocabularyNames = [
        "command-r", "deepseek-coder", "falcon", "mpt", "phi-3", "qwen35", "refact", "starcoder"
    ]

    static func has(_ vocabulary: String) -> Bool {
        FileSystem.exists(vocabularies + "ggml-vocab-\(vocabulary).gguf.out")
    }

    static let hasVocabularies = vocabularyNames.allSatisfy(has)
    private static func environment(_ name: String) -> String? {
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }

    /// What `make_random_texts.py` wrote, if it was run.
    static let randomTexts = environment("SLUICE_RANDOM_TEXTS")

    static let hasModels = fileBytes(models + "README.md") != nil
}

/// A text and the ids that llama.cpp gives it.
struct Case: Decodable {
    /// Hexadecimal bytes.
    let text: String
    let plain: [Int32]
    /// With special tokens added and parsed.
    let special: [Int32]

    var bytes: [UInt8] { TokenizationTests.bytes(ofHexadecimal: text) }
}

struct SmallVocabulary: Decodable {
    let model: String
    let tokens: [String]
    let kinds: [UInt8]
    let scores: [Float]
    let merges: [String]
    let beginning: Int
    let end: Int

    func vocabulary(preTokenizer: String) throws -> Vocabulary {
        let kind = try #require(Vocabulary.Model(rawValue: model))
        var vocabulary = Vocabulary(model: kind)
        vocabulary.preTokenizer = preTokenizer
        vocabulary.tokens = StringTable(tokens.map(\.utf8))
        vocabulary.kinds = kinds.compactMap(TokenKind.init(rawValue:))
        vocabulary.scores = scores
        vocabulary.merges = StringTable(merges.map(\.utf8))
        vocabulary.special.beginning = TokenID(beginning)
        vocabulary.special.end = TokenID(end)
        return vocabulary
    }
}

/// The ids that names give to texts of all kinds of characters, under one vocabulary.
struct PreTokenizerCases: Decodable {
    struct Group: Decodable {
        let names: [String]
        /// Of each text, without special tokens.
        let plain: [[Int32]]
        /// Whether the beginning token is added.
        let adds: Bool
    }

    let vocabulary: SmallVocabulary
    /// Hexadecimal bytes.
    let texts: [String]
    let groups: [Group]

    var textBytes: [[UInt8]] { texts.map(bytes(ofHexadecimal:)) }
}

func bytes(ofHexadecimal text: String) -> [UInt8] {
    let digits = Array(text.utf8).map { $0 < 0x3A ? $0 - 0x30 : $0 - 0x57 }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

struct SmallGroup: Decodable {
    let vocabulary: SmallVocabulary
    /// By pre-tokenizer.
    let cases: [String: [Case]]
}

func fixture<Value: Decodable>(_ name: String, as type: Value.Type) throws -> Value {
    let bytes = try #require(fileBytes(Place.fixtures + name), "fixture \(name)")
    return try JSONDecoder().decode(type, from: Data(bytes))
}

/// The tokenizer of a GGUF file.
func tokenizer(file: String) throws -> Tokenizer {
    try Tokenizer(GGUFFile(parts: [FileByteSource(path: file)]).vocabulary())
}

/// The committed byte-level BPE and SentencePiece vocabularies' tokenizers.
func smallTokenizers() throws -> [Tokenizer] {
    try fixture("small-vocabularies.json", as: [SmallGroup].self).flatMap { group in
        try group.cases.keys.sorted().map {
            try Tokenizer(group.vocabulary.vocabulary(preTokenizer: $0))
        }
    }
}

extension Tokenizer {
    func ids(_ bytes: [UInt8], special: Bool) -> [Int32] {
        encode(utf8: bytes, addSpecial: special, parseSpecial: special).map(\.rawValue)
    }
}
