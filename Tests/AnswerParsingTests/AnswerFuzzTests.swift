// Answers that no model meant, made of parts of those that are: whatever they are, taking them
// apart ends, does not depend on how they are cut, and shows no special token.

import AnswerParsing
import TestSupport
import Testing

@Suite struct AnswerFuzzTests {
    private struct Fuzzer {
        var random: SplitMix
        let all: [Piece]

        mutating func below(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }

        /// Pieces of an answer, mixed with pieces of others.
        mutating func mix(_ pieces: [Piece]) -> [Piece] {
            var mixed = pieces.isEmpty ? [.text("a")] : pieces
            for _ in 0..<1 + below(4) {
                let place = below(mixed.count)
                switch below(5) {
                case 0: mixed.insert(all[below(all.count)], at: place)
                case 1: if mixed.count > 1 { mixed.remove(at: place) }
                case 2:
                    guard case .text(let text) = mixed[place], !text.isEmpty else { break }
                    var scalars = Array(text.unicodeScalars)
                    scalars.removeSubrange(below(scalars.count)...)
                    mixed[place] = Self.text(scalars)
                case 3:
                    guard case .text(let text) = mixed[place], !text.isEmpty else { break }
                    var scalars = Array(text.unicodeScalars)
                    let odd = Array("{}[]<>\"\\',:=()|/ \n\u{e9}\u{FF5C}1n".unicodeScalars)
                    scalars.insert(odd[below(odd.count)], at: below(scalars.count))
                    mixed[place] = Self.text(scalars)
                default:
                    if case .token(let text) = mixed[place] { mixed[place] = .text(text) }
                }
            }
            return mixed
        }

        private static func text(_ scalars: [Unicode.Scalar]) -> Piece {
            var text = ""
            text.unicodeScalars.append(contentsOf: scalars)
            return .text(text)
        }
    }

    @Test func whateverComesEndsAlike() {
        let seed = UInt64(UInt32.random(in: 0 ... .max))
        let cases = AnswerFixtures.cases
        var fuzzer = Fuzzer(random: SplitMix(seed: seed), all: cases.flatMap(\.pieces))
        for round in 0..<6000 {
            let sample = cases[fuzzer.below(cases.count)]
            let pieces = fuzzer.mix(sample.pieces)
            let whole = ReadAnswer(sample.parts(pieces))
            let single = ReadAnswer(sample.parts(Cutter.single(pieces)))
            let what = "seed \(seed), round \(round), \(sample.testDescription): \(pieces)"
            #expect(whole == single, "\(what)")
            #expect(whole.problems.isEmpty && whole.calls.allSatisfy(\.hasEnded), "\(what)")
            let places = Set((0..<6).map { _ in fuzzer.below(150) })
            #expect(ReadAnswer(sample.parts(Cutter.cut(pieces, at: places))) == whole, "\(what)")
        }
    }

    /// Tokens that no text has.
    @Test func specialTokensAreNeverShown() {
        let seed = UInt64(UInt32.random(in: 0 ... .max))
        var random = SplitMix(seed: seed)
        for sample in AnswerFixtures.cases {
            var pieces = sample.pieces
            for _ in 0..<4 {
                pieces.insert(
                    .token("\u{10FFFD}"), at: Int(random.next() % UInt64(pieces.count + 1)))
            }
            let answer = ReadAnswer(sample.parts(pieces))
            let shown =
                [answer.content, answer.reasoning]
                + answer.calls.flatMap { [$0.id, $0.name, $0.arguments] }
            #expect(
                shown.allSatisfy { !$0.unicodeScalars.contains("\u{10FFFD}") },
                "seed \(seed) \(sample.testDescription)")
        }
    }
}
