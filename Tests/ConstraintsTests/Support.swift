// What the tests of grammars share: a vocabulary of every byte and some longer tokens, and texts
// that are followed byte by byte.

import Constraints
import LinuxSystem
import ModelFormat
import Testing
import Tokenization

/// Tokens: 0 unknown, 1 beginning, 2 end, 3 a control token, then bytes, then longer texts.
enum TestVocabulary {
    static let firstByte = 4
    static let call = "[CALL]"
    static let longer = [
        "{\"", "\":", "\": ", "\", \"", "\"}", "true", "false", "null", "name", "abc", "ab", "a",
        "00", "12", " ", "  ", "\n  ", "\n", "}}", "]}", "],", "\u{E9}", "\u{4E2D}", "\u{1F600}",
        "\\\"", "\\u", "<think>", "</think>", "</think>\n\n", "think", "x</", "[{\"", "\"]"
    ]

    static let tokenizer: Tokenizer = {
        var vocabulary = Vocabulary(model: .sentencePiece)
        var tokens = ["<unk>", "<s>", "</s>", call].map { Array($0.utf8) }
        var kinds: [TokenKind] = [.unknown, .control, .control, .control]
        for byte in 0..<256 {
            let digits = String(byte, radix: 16, uppercase: true)
            tokens.append(Array("<0x\(digits.count < 2 ? "0" : "")\(digits)>".utf8))
            kinds.append(.byte)
        }
        for text in longer {
            tokens.append(Array(text.replacing(" ", with: "\u{2581}").utf8))
            kinds.append(.normal)
        }
        vocabulary.tokens = StringTable(tokens)
        vocabulary.kinds = kinds
        vocabulary.scores = [Float](repeating: 0, count: tokens.count)
        vocabulary.special.beginning = TokenID(1)
        vocabulary.special.end = TokenID(2)
        do {
            return try Tokenizer(vocabulary)
        } catch {
            preconditionFailure("\(error)")
        }
    }()

    static func library(limitBytes: Int = 1 << 30) -> ConstraintLibrary {
        ConstraintLibrary(tokenizer, room: ConstraintRoom(tokenizer, limitBytes: limitBytes))
    }

    static let end = TokenID(2)
    static func byte(_ byte: UInt8) -> TokenID { TokenID(firstByte + Int(byte)) }
}

func gbnf(_ text: String) throws -> Grammar {
    try TestVocabulary.library().grammar(.grammar(text))
}

func schema(_ text: String) throws -> Grammar {
    try TestVocabulary.library().grammar(.schema(text))
}

/// Why a source is refused; nil where it is not.
func refusal(_ source: ConstraintSource) -> String? {
    do throws(ConstraintRefusal) {
        _ = try TestVocabulary.library().grammar(source)
        return nil
    } catch {
        guard case .wrong(let error) = error else { return "busy" }
        return error.description
    }
}

extension Grammar {
    /// Whether a text, and no more of it, is one that the grammar allows.
    func accepts(_ text: String) throws -> Bool { try accepts(Array(text.utf8)) }

    func accepts(_ bytes: [UInt8]) throws -> Bool {
        let matcher = try ConstraintMatcher(AnswerConstraint(self))
        for byte in bytes {
            guard try matcher.accept(TestVocabulary.byte(byte)) else { return false }
        }
        return matcher.allows(TestVocabulary.end)
    }

    /// Whether a text may be the beginning of one.
    func begins(_ text: String) throws -> Bool {
        let matcher = try ConstraintMatcher(AnswerConstraint(self))
        for byte in text.utf8 {
            guard try matcher.accept(TestVocabulary.byte(byte)) else { return false }
        }
        return true
    }
}

/// The tokens that a sampler would be told of.
func allowedTokens(_ matcher: ConstraintMatcher, candidatesMax: Int) -> [Int] {
    let all = 0..<TestVocabulary.tokenizer.tokenCount
    return switch matcher.selection(candidatesMax: candidatesMax) {
    case .few(let tokens): tokens.map { Int($0) }
    case .mask(let mask): all.filter { mask.contains($0) }
    case .each: matcher.withChecks { check in all.filter { check(TokenID($0)) } }
    }
}

func check(_ grammar: Grammar, accepts texts: [String], refuses others: [String]) throws {
    for text in texts { #expect(try grammar.accepts(text), "refused: \(text)") }
    for text in others { #expect(try !grammar.accepts(text), "accepted: \(text)") }
}
