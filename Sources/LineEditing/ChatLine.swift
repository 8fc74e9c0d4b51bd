// What a line typed into a chat means: a prompt, or a command of the chat's own.

/// A line of a chat, understood.
package enum ChatLine: Equatable, Sendable {
    /// White space only.
    case nothing
    case prompt(String)
    case help
    /// Forget the conversation.
    case clear
    /// Forget the oldest turns, so many.
    case drop(Int)
    case bye
    /// A command that there is not, or not so.
    case unknown(String)

    /// - Parameter line: as typed, without its end.
    ///
    /// `"""` around it is taken off. A first word of `/` and letters is a command, `//` a slash
    /// that is not, and whatever else begins with a slash, such as a path, is a prompt.
    package init(_ line: String) {
        let text = line.trimmingWhitespace()
        guard !text.isEmpty else {
            self = .nothing
            return
        }
        let mark = LineEditor.blockMark
        if text.hasPrefix(mark) {
            let isClosed = text.hasSuffix(mark) && text.utf8.count >= 2 * mark.utf8.count
            let inside = text.dropFirst(3).dropLast(isClosed ? 3 : 0)
            let block = String(inside).trimmingWhitespace().isEmpty ? "" : Self.block(inside)
            self = block.isEmpty ? .nothing : .prompt(block)
            return
        }
        if text.hasPrefix("//") {
            self = .prompt(String(text.dropFirst()))
            return
        }
        self = Self.command(text) ?? .prompt(line)
    }

    /// Without the newlines next to the marks.
    private static func block(_ inside: Substring) -> String {
        var text = inside
        if text.first == "\n" { text = text.dropFirst() }
        if text.last == "\n" { text = text.dropLast() }
        return String(text)
    }

    /// Nil for what is no command.
    private static func command(_ text: String) -> ChatLine? {
        let words = text.split(whereSeparator: \.isWhitespace)
        guard let name = words.first, name.first == "/",
            name.dropFirst().allSatisfy({ $0.isASCII && ($0.isLetter || $0 == "?") })
        else { return nil }
        let rest = words.dropFirst()
        switch (name, rest.count) {
        case ("/help", 0), ("/?", 0): return .help
        case ("/clear", 0): return .clear
        case ("/bye", 0), ("/exit", 0), ("/quit", 0): return .bye
        case ("/drop", 0): return .drop(1)
        case ("/drop", 1):
            guard let count = rest.first.flatMap({ Int($0) }), count > 0 else {
                return .unknown(text)
            }
            return .drop(count)
        default: return .unknown(String(name))
        }
    }
}

extension String {
    fileprivate func trimmingWhitespace() -> String {
        var text = self[...]
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
