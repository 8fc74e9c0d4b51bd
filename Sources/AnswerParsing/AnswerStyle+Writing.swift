// How an answer of a style has to be written, for those styles where that is one clear way.

extension AnswerStyle {
    /// A way of writing calls.
    package enum CallWriting: Sendable, Equatable {
        /// `{"name": ..., "arguments": {...}}` between texts, each call with its own.
        case objects(begin: String, arguments: String, end: String)
        /// The same, as a list after a text.
        case list(begin: String, arguments: String)
        /// A name after a text, and the arguments after another.
        case named(begin: String, separator: String)
    }

    /// What thoughts are between, before an answer.
    package var thoughts: (begin: [UInt8], end: [UInt8])? {
        reasoning.map { ($0.begin, $0.end) }
    }

    /// Whether everything is written as messages to someone.
    package var isMessages: Bool {
        switch calls {
        case .channels, .recipients: true
        default: false
        }
    }

    /// How calls are written among what else is said, where their beginning tells them apart; nil
    /// where it does not, or where there is another way beside.
    ///
    /// - Parameter template: the chat template's text.
    package func freeCallWriting(_ template: String) -> CallWriting? {
        guard otherCalls == nil, let writing = callWriting(template), !writing.begin.isEmpty else {
            return nil
        }
        return writing
    }

    /// How calls are to be written; nil where the style does not say it in one way.
    ///
    /// - Parameter template: the chat template's text.
    package func callWriting(_ template: String) -> CallWriting? {
        switch calls {
        case .json(let markers) where markers == MarkerPair("<tool_call>", "</tool_call>"):
            return .objects(begin: "<tool_call>", arguments: "arguments", end: "</tool_call>")
        case .bareJSON: return .objects(begin: "", arguments: "parameters", end: "")
        case .named(let syntax) where syntax.allowsJSON && syntax.hasShortIDs:
            let begin = String(decoding: syntax.begin, as: UTF8.self)
            // Ids, where a template asks for them, are not the model's to make up.
            if template.contains("[CALL_ID]") { return nil }
            return template.contains("[ARGS]")
                ? .named(begin: begin, separator: "[ARGS]")
                : .list(begin: begin, arguments: "arguments")
        default: return nil
        }
    }
}

extension AnswerStyle.CallWriting {
    /// What a call begins with.
    package var begin: String {
        switch self {
        case .objects(let begin, _, _), .list(let begin, _), .named(let begin, _): begin
        }
    }
}
