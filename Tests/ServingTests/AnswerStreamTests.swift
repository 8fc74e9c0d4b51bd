// From tokens to an answer's parts: which special tokens count, where stop strings and the only
// call end it.

import AnswerParsing
import ModelFormat
import Serving
import Testing
import Tokenization

@Suite struct AnswerStreamTests {
    private static let template = "<tool_call>{\"name\", \"arguments\"}</tool_call><think></think>"

    /// A vocabulary of these texts; what is in angle brackets is a control token.
    private static func tokenizer(_ texts: [String]) throws -> Tokenizer {
        var vocabulary = Vocabulary(model: .bytePairEncoding)
        vocabulary.tokens = StringTable(texts.map(\.utf8))
        vocabulary.kinds = texts.map { $0.hasPrefix("<") ? .control : .userDefined }
        return try Tokenizer(vocabulary)
    }

    private static func parts(
        _ texts: [String], stops: [String] = [], tools: Bool = true, isParallel: Bool = true,
        hasPlan: Bool = true
    ) throws -> (parts: [AnswerPart], isStopped: Bool, stream: AnswerStream) {
        let style = try #require(AnswerStyle(template: template))
        let plan = AnswerPlan(style: style, tools: tools ? ToolSchemas(names: ["f"]) : nil)
        var stream = AnswerStream(
            try tokenizer(texts), stopStrings: stops, plan: hasPlan ? plan : nil,
            allowsParallelCalls: isParallel)
        var parts: [AnswerPart] = []
        for index in texts.indices {
            let (more, isStopped) = stream.append(TokenID(index))
            parts += more
            if isStopped || stream.isComplete {
                return (parts + stream.finish(flushes: false), isStopped, stream)
            }
        }
        return (parts + stream.finish(flushes: true), false, stream)
    }

    private static let call = [
        "<tool_call>", "{\"name\": \"f\", \"arguments\": {}", "}", "</tool_call>"
    ]

    private static func text(_ parts: [AnswerPart]) -> String {
        parts.reduce("") { if case .content(let text) = $1 { $0 + text } else { $0 } }
    }

    @Test func markersReachTheParserAndAreNotShown() throws {
        let (parts, _, stream) = try Self.parts(
            ["<think>", "Hm", "</think>", "\n\n", "Yes.", "<other>", " No."] + Self.call)
        #expect(stream.hasCalled && Self.text(parts) == "Yes. No.")
        #expect(parts.first == .reasoning("Hm") && parts.last == .callEnded(index: 0))
    }

    @Test func withoutAPlanTextIsText() throws {
        let (parts, _, stream) = try Self.parts(["a<", "<think>", "b"], hasPlan: false)
        #expect(!stream.hasCalled && Self.text(parts) == "a<b")
    }

    @Test func withoutToolsThereAreNoCalls() throws {
        let (parts, _, stream) = try Self.parts(Self.call, tools: false)
        #expect(!stream.hasCalled && Self.text(parts) == "{\"name\": \"f\", \"arguments\": {}}")
    }

    @Test func theOnlyCallEndsTheAnswer() throws {
        let texts = Self.call + ["more", "<think>"]
        let (parts, isStopped, stream) = try Self.parts(texts, isParallel: false)
        #expect(stream.isComplete && stream.hasCalled && !isStopped)
        #expect(parts.last == .callEnded(index: 0) && Self.text(parts) == "")
        let several = try Self.parts(texts, isParallel: true)
        #expect(!several.stream.isComplete && Self.text(several.parts) == "more")
    }

    @Test func stopStringsEndTheAnswerBeforeTheParserSeesThem() throws {
        let (parts, isStopped, _) = try Self.parts(
            ["Yes ", "no ST", "OP later"], stops: ["STOP"])
        #expect(isStopped && Self.text(parts) == "Yes no ")
        // What may begin one is text again where a special token follows.
        let held = try Self.parts(["Yes ST"] + Self.call, stops: ["STOP"])
        #expect(!held.isStopped && Self.text(held.parts) == "Yes ST" && held.stream.hasCalled)
        let within = try Self.parts(
            ["<tool_call>", "{\"name\": \"f\", \"arguments\": {\"a\": \"STOP\"}}"], stops: ["STOP"])
        #expect(within.isStopped && Self.text(within.parts) == "")
    }
}
