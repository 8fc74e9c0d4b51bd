// Grammars and schemas that nobody meant: none traps, each is refused or followed, within bounds.

import Constraints
import JSON
import ModelFormat
import TestSupport
import Testing
import Tokenization

/// Mutates texts, and follows what is made of them.
struct ConstraintFuzzer {
    private static let grammars = [
        "root ::= \"a\" (b | [c-e]*)? # x\nb ::= \"\\u4e2d\" . {1,3} | root \"]\"",
        "root ::= x{2,} y\nx ::= [^a-z\\n] | \"\\\"\"\ny ::= <think> \"z\"",
        "root ::= ((\"a\")*)* | \"b\" root"
    ]
    private static let pieces = [
        "{", "}", "[", "]", "(", ")", "*", "+", "?", "|", "\"", "\\", "::=", "root", "{1,9999}",
        "{0,}", "^", "-", "\n", "null", "true", "-1", "1e999", "99999999999999999999", "\"$ref\"",
        "\"#\"", "\"allOf\": [", "\"anyOf\": [", "\"type\": ", "\"pattern\": \"^(a|b)*$\"",
        "\"enum\": [", "\"required\": [", "\"minItems\": ", "\"maxLength\": 10000", ",", ":",
        "\u{1F600}", "\\ud800"
    ]

    var random = SplitMix(seed: 0)
    private let library = TestVocabulary.library(limitBytes: 32 << 20)
    private(set) var followed = 0
    private(set) var refused = 0
    /// Answers that ended and were held to their schema.
    private(set) var validated = 0

    private mutating func mutated(_ text: String) -> String {
        var bytes = Array(text.utf8)
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let place = Int.random(in: 0...bytes.count, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                let end = min(bytes.count, place + Int.random(in: 0..<8, using: &random))
                bytes.removeSubrange(place..<end)
            case 1:
                let piece = Self.pieces.randomElement(using: &random) ?? ""
                bytes.insert(contentsOf: piece.utf8, at: place)
            case 2 where !bytes.isEmpty:
                bytes[min(place, bytes.count - 1)] = UInt8.random(in: 0...255, using: &random)
            default:
                let start = Int.random(in: 0...place, using: &random)
                let part = Array(bytes[start..<min(place, start + 40)])
                bytes.insert(contentsOf: part, at: place)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Makes one text, and follows some tokens of what it allows. Not ending is the test's time
    /// limit's to find.
    mutating func step(_ place: String) {
        let source: ConstraintSource
        switch Int.random(in: 0..<10, using: &random) {
        case 0: source = .grammar(String(decoding: random.bytes(200), as: UTF8.self))
        case 1: source = .schema(String(decoding: random.bytes(200), as: UTF8.self))
        case 2...5: source = .grammar(mutated(Self.grammars.randomElement(using: &random) ?? ""))
        default: source = .schema(mutated(walkedSchemas.randomElement(using: &random) ?? ""))
        }
        guard let grammar = try? library.grammar(source),
            let matcher = try? ConstraintMatcher(AnswerConstraint(grammar))
        else {
            refused += 1
            return
        }
        followed += 1
        let count = TestVocabulary.tokenizer.tokenCount
        var answer: [UInt8] = []
        for _ in 0..<Int.random(in: 1...60, using: &random) {
            let told = allowedTokens(
                matcher, candidatesMax: Bool.random(using: &random) ? count : 1)
            let allowed = (0..<count).filter { matcher.allows(TokenID($0)) }
            #expect(told == allowed, "\(place)")
            if allowed.contains(TestVocabulary.end.index) {
                check(answer, source, place)
                if Bool.random(using: &random) { return }
            }
            let usable = allowed.filter { $0 != TestVocabulary.end.index }
            guard let token = usable.randomElement(using: &random),
                let isTaken = try? matcher.accept(TokenID(token)), isTaken
            else { return }
            answer += TestVocabulary.tokenizer.bytes(of: TokenID(token))
        }
    }

    /// An answer that may end here is what its schema says.
    private mutating func check(
        _ answer: [UInt8], _ source: ConstraintSource, _ place: String
    ) {
        guard case .schema(let text) = source,
            let schema = try? JSONParser.parse(Array(text.utf8))
        else { return }
        validated += 1
        let told = "\(place): \(String(decoding: answer, as: UTF8.self)) for \(text)"
        do {
            guard let value = try WalkTests.value(answer) else { return }
            #expect(SchemaValidator(root: schema).isValid(value), "\(told)")
        } catch {
            Issue.record("\(told): \(error)")
        }
    }
}

@Suite struct ConstraintFuzzTests {
    @Test(.timeLimit(.minutes(FuzzRun.minutesMax))) func whatNobodyMeantEnds() {
        var fuzzer = ConstraintFuzzer()
        FuzzRun("schemas").each { random, place in
            fuzzer.random = SplitMix(seed: random.next())
            fuzzer.step(place)
        }
        #expect(fuzzer.followed > 0 && fuzzer.refused > 0 && fuzzer.validated > 0)
    }
}
