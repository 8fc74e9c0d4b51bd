// Reads the committed answers (Tests/Fixtures/answers) and puts parts together again.

import AnswerParsing
import JSON
import TestSupport
import Testing

/// A piece of an answer: text, or a special token.
enum Piece: Equatable {
    case text(String)
    case token(String)
}

/// What an answer is, however it came.
struct ReadAnswer: Equatable, CustomStringConvertible {
    struct Call: Equatable {
        var id: String
        var name: String
        var arguments: String
        var hasEnded = false
    }

    var content = ""
    var reasoning = ""
    var calls: [Call] = []
    /// What no order of events may bring.
    var problems: [String] = []

    init(_ parts: [AnswerPart]) {
        for part in parts {
            switch part {
            case .content(let text): content += text
            case .reasoning(let text): reasoning += text
            case .callBegan(let index, let id, let name):
                if index != calls.count { problems.append("call \(index) of \(calls.count)") }
                calls.append(Call(id: id, name: name, arguments: ""))
            case .arguments(let index, let text):
                guard index == calls.count - 1, !calls[index].hasEnded, !text.isEmpty else {
                    problems.append("arguments of \(index)")
                    continue
                }
                calls[index].arguments += text
            case .callEnded(let index):
                guard index == calls.count - 1, !calls[index].hasEnded else {
                    problems.append("end of \(index)")
                    continue
                }
                calls[index].hasEnded = true
            }
        }
    }

    var description: String {
        "content \(content.debugDescription) reasoning \(reasoning.debugDescription) calls "
            + calls.map { "\($0.name)(\($0.arguments))" }.joined(separator: ", ")
            + problems.joined(separator: ", ")
    }
}

/// An answer in a style, and what it is.
struct AnswerCase: CustomTestStringConvertible {
    let style: String
    let name: String
    let plan: AnswerPlan
    let pieces: [Piece]
    let content: String
    let reasoning: String
    let calls: [(name: String, arguments: String)]
    let ids: [String]?

    var testDescription: String { "\(style): \(name)" }

    /// The parts of `pieces`, or of the case's own.
    func parts(_ pieces: [Piece]? = nil, seed: UInt64 = 1) -> [AnswerPart] {
        Self.parts(pieces ?? self.pieces, plan, seed: seed)
    }

    static func parts(_ pieces: [Piece], _ plan: AnswerPlan, seed: UInt64 = 1) -> [AnswerPart] {
        var parser = AnswerParser(plan, seed: seed)
        var parts: [AnswerPart] = []
        for piece in pieces {
            switch piece {
            case .text(let text): parts += parser.append(text)
            case .token(let text): parts += parser.append(token: text)
            }
        }
        return parts + parser.finish()
    }
}

enum AnswerFixtures {
    private static var file: String {
        "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
            + "/Fixtures/answers/answers.json"
    }

    static let json: JSONValue = {
        guard let bytes = fileBytes(file), let json = try? JSONParser.parse(bytes) else {
            return .null
        }
        return json
    }()

    static let tools = ToolSchemas(json["tools"] ?? .null)

    static let cases: [AnswerCase] = (json["styles"]?.array ?? []).flatMap { style in
        guard let found = AnswerStyle(template: style["template"]?.string ?? "") else {
            return [AnswerCase]()
        }
        return (style["cases"]?.array ?? []).map { read($0, style["style"]?.string ?? "", found) }
    }

    private static func read(
        _ value: JSONValue, _ name: String, _ style: AnswerStyle
    ) -> AnswerCase {
        AnswerCase(
            style: name, name: value["name"]?.string ?? "",
            plan: AnswerPlan(
                style: style, tools: tools, beginsInReasoning: value["open"]?.boolean ?? false),
            pieces: pieces(value["text"]?.string ?? ""),
            content: value["content"]?.string ?? "", reasoning: value["reasoning"]?.string ?? "",
            calls: (value["calls"]?.array ?? []).map {
                ($0.array?.first?.string ?? "", $0.array?.last?.string ?? "")
            },
            ids: value["ids"]?.array?.compactMap(\.string))
    }

    /// `{{...}}` is one special token; objects within objects do not end in letters and brackets.
    private static func pieces(_ text: String) -> [Piece] {
        var pieces: [Piece] = []
        var rest = text[...]
        while let begin = rest.firstRange(of: "{{"), isToken(rest[begin.upperBound...]),
            let end = rest[begin.upperBound...].firstRange(of: "}}")
        {
            if begin.lowerBound > rest.startIndex {
                pieces.append(.text(String(rest[..<begin.lowerBound])))
            }
            pieces.append(.token(String(rest[begin.upperBound..<end.lowerBound])))
            rest = rest[end.upperBound...]
        }
        if !rest.isEmpty { pieces.append(.text(String(rest))) }
        return pieces
    }

    private static func isToken(_ text: Substring) -> Bool {
        ["<", "[", "]", "\u{FF5C}"].contains(text.first)
    }
}
