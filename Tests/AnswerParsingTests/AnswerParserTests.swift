// Answers in every style, cut in every way.

import AnswerParsing
import TestSupport
import Testing

@Suite struct AnswerParserTests {
    @Test func fixturesAreThere() {
        #expect(AnswerFixtures.cases.count > 80)
        #expect(Set(AnswerFixtures.cases.map(\.style)).count == 25)
    }

    @Test(arguments: AnswerFixtures.cases)
    func isWhatItIs(_ sample: AnswerCase) {
        let answer = ReadAnswer(sample.parts())
        #expect(answer.content == sample.content)
        #expect(answer.reasoning == sample.reasoning)
        #expect(answer.calls.map(\.name) == sample.calls.map(\.name))
        #expect(answer.calls.map(\.arguments) == sample.calls.map(\.arguments))
        #expect(answer.problems.isEmpty && answer.calls.allSatisfy(\.hasEnded))
        if let ids = sample.ids { #expect(answer.calls.map(\.id) == ids) }
        #expect(Set(answer.calls.map(\.id)).count == answer.calls.count)
    }

    /// Where special tokens are ordinary ones, the text alone has to do.
    @Test(arguments: AnswerFixtures.cases)
    func tokensMayBeText(_ sample: AnswerCase) {
        let hasTokens = sample.pieces.contains { if case .token = $0 { true } else { false } }
        guard hasTokens, !sample.name.contains("special"), !sample.name.contains("not one")
        else { return }
        let answer = ReadAnswer(sample.parts([.text(Self.joined(sample.pieces))]))
        #expect(answer.content == sample.content && answer.reasoning == sample.reasoning)
        #expect(answer.calls.map(\.arguments) == sample.calls.map(\.arguments))
    }

    private static func joined(_ pieces: [Piece]) -> String {
        pieces.reduce("") { text, piece in
            switch piece {
            case .text(let more), .token(let more): text + more
            }
        }
    }

    @Test(arguments: AnswerFixtures.cases)
    func everyCutGivesTheSame(_ sample: AnswerCase) {
        let whole = ReadAnswer(sample.parts())
        #expect(ReadAnswer(sample.parts(Cutter.single(sample.pieces))) == whole)
        let length = sample.pieces.reduce(0) {
            if case .text(let text) = $1 { $0 + text.unicodeScalars.count } else { $0 }
        }
        for first in 0..<length {
            let cut = Cutter.cut(sample.pieces, at: [first])
            #expect(ReadAnswer(sample.parts(cut)) == whole, "cut at \(first)")
        }
    }

    @Test func randomCutsGiveTheSame() {
        let seed = UInt64(UInt32.random(in: 0 ... .max))
        var random = SplitMix(seed: seed)
        for sample in AnswerFixtures.cases {
            let whole = ReadAnswer(sample.parts())
            for _ in 0..<20 {
                let places = (0..<8).map { _ in Int(random.next() % 200) }
                let cut = Cutter.cut(sample.pieces, at: Set(places))
                #expect(
                    ReadAnswer(sample.parts(cut)) == whole,
                    "seed \(seed), \(sample.testDescription), \(places.sorted())")
            }
        }
    }

    /// What is given out can never have been a part of a marker.
    @Test func argumentsComeAsTheyAreWritten() throws {
        let sample = try #require(AnswerFixtures.cases.first { $0.name == "one call" })
        var parser = AnswerParser(sample.plan, seed: 1)
        let name = parser.append(#"<tool_call>{"name": "get_weather", "arguments": "#)
        #expect(name.isEmpty)
        let begun = parser.append(#"{"city": "Pa"#)
        guard case .callBegan(0, _, "get_weather")? = begun.first else {
            Issue.record("\(begun)")
            return
        }
        #expect(begun.dropFirst() == [.arguments(index: 0, #"{"city": "Pa"#)])
        #expect(parser.append("ris") == [.arguments(index: 0, "ris")])
        #expect(
            parser.append("\"}}\n</tool_") == [.arguments(index: 0, "\"}"), .callEnded(index: 0)])
        #expect(parser.append("call>\n").isEmpty)
        #expect(parser.append("b <") == [.content("b")])
        #expect(parser.append("tool") == [])
        #expect(parser.append("box") == [.content(" <toolbox")])
        #expect(parser.finish().isEmpty)
    }

    @Test func withoutToolsCallsAreText() throws {
        let cases = AnswerFixtures.cases.filter { !$0.calls.isEmpty && $0.style != "channels" }
        for sample in cases {
            let plan = AnswerPlan(
                style: sample.plan.style, tools: nil,
                beginsInReasoning: sample.plan.beginsInReasoning)
            let answer = ReadAnswer(AnswerCase.parts(sample.pieces, plan))
            #expect(answer.calls.isEmpty, "\(sample.testDescription)")
            if !sample.plan.beginsInReasoning {
                #expect(answer.reasoning == sample.reasoning, "\(sample.testDescription)")
            }
        }
    }

    /// What is none is read again from its second byte on, and may be begun many times.
    @Test func manyBeginningsAreText() {
        for (style, text) in [
            ("JSON in <tool_call>", "<tool_call>{\"a\":["), ("Python", "<|tool_call_start|>[f(a="),
            ("braces", "<|tool_call>call:f{a:"), ("arg_key", "<tool_call>"),
            ("JSON in <tool_call>", "<tool_call>{\"name\":\"f\",\"a\":{\"b\":\"\\\""),
            ("elements", "]<]minimax[>[<tool_call>]<]minimax[>[<invoke name=\"f\">"),
            ("recipients", ">>>time"), ("JSON in <function=", "<function=time>"),
            ("JSON or code", "<code>time("), ("after a word", "functools[{"),
            ("ids", "<|tool_call_begin|>f f"), ("actions", "<|START_ACTION|>[{"),
            ("markup", "<\u{FF5C}DSML\u{FF5C}function_calls>")
        ] {
            let sample = AnswerFixtures.cases.first { $0.style == style }
            #expect(sample != nil, "\(style)")
            let all = String(repeating: text, count: 10_000) + "<"
            guard let sample else { continue }
            let answer = ReadAnswer(sample.parts([.text(all)]))
            #expect(answer.calls.isEmpty && all.hasPrefix(answer.content), "\(style)")
            #expect(answer.content.utf8.count > all.utf8.count - 2000, "\(style)")
        }
    }

    /// With a small context little is kept: then it is text, before the answer's end.
    @Test func contextsBoundWhatIsKept() throws {
        #expect(CallLimits.keptBytesMax(contextTokens: 10) == 4096)
        #expect(CallLimits.keptBytesMax(contextTokens: 1024) == 8192)
        #expect(CallLimits.keptBytesMax(contextTokens: 1 << 20) == CallLimits.keptBytesMost)
        let filler = String(repeating: "x", count: 9000)
        for (style, text) in [
            ("braces", "<|tool_call>call:f{a:"), ("Python", "<|tool_call_start|>[f(a='"),
            ("JSON in <tool_call>", "<tool_call>{\"a\": \""), ("JSON or code", "<code>time(a='"),
            ("elements", "]<]minimax[>[<tool_call>")
        ] {
            let sample = try #require(AnswerFixtures.cases.first { $0.style == style })
            for (most, isText) in [(4096, true), (16 << 10, false)] {
                var parser = AnswerParser(
                    AnswerPlan(
                        style: sample.plan.style, tools: AnswerFixtures.tools, keptBytesMax: most),
                    seed: 1)
                let parts = parser.append(text + filler)
                #expect(parts.isEmpty != isText, "\(style) \(most)")
            }
        }
    }

    /// Memory is bounded by what may still be a call, whatever comes.
    @Test func endlessCallsAreText() {
        for style in [0, 40] {
            let sample = AnswerFixtures.cases[style]
            let spaces = String(repeating: " \n", count: 400_000)
            let parts = sample.parts([.text("<tool_call>" + spaces + "x")])
            #expect(ReadAnswer(parts).content.count > 400_000)
        }
    }
}

/// Divides texts.
enum Cutter {
    /// Every scalar for itself.
    static func single(_ pieces: [Piece]) -> [Piece] {
        pieces.flatMap { piece -> [Piece] in
            guard case .text(let text) = piece else { return [piece] }
            return text.unicodeScalars.map { .text(String($0)) }
        }
    }

    /// Before scalars of these numbers.
    static func cut(_ pieces: [Piece], at places: Set<Int>) -> [Piece] {
        var result: [Piece] = []
        var count = 0
        for piece in pieces {
            guard case .text(let text) = piece else {
                result.append(piece)
                continue
            }
            var current = ""
            for scalar in text.unicodeScalars {
                if places.contains(count), !current.isEmpty {
                    result.append(.text(current))
                    current = ""
                }
                current.unicodeScalars.append(scalar)
                count += 1
            }
            if !current.isEmpty { result.append(.text(current)) }
        }
        return result
    }
}
