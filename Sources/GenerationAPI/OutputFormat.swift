// What an answer has to be, where an order says so.

/// What an answer is held to, token by token.
package struct OutputFormat: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// A JSON object.
        case object
        /// JSON that is valid by the schema of this text.
        case schema(String)
        /// A text of a grammar in GBNF.
        case grammar(String)
    }

    package var kind: Kind
    /// The request's field that it came from.
    package var parameter: String

    package init(_ kind: Kind, parameter: String) {
        self.kind = kind
        self.parameter = parameter
    }
}

/// Which of the tools an answer calls.
package enum ToolUse: Sendable, Equatable {
    /// Any, or none.
    case free
    /// At least one.
    case required
    /// The one of this name.
    case named(String)
}

extension GenerationOrder {
    /// The request's field that says what the answer has to be.
    package var formatParameter: String? {
        if let output { return output.parameter }
        if toolUse != .free { return "tool_choice" }
        return strictTools.isEmpty ? nil : "tools"
    }
}
