// The part of TOML 1.0 that profiles use: comments, [tables], and keys with one string, number or
// boolean each. Whatever else TOML has is refused by line, so that every accepted file means the
// same to every TOML reader.

/// Why a configuration file is refused, and where. Exit status 78.
package struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    package let file: String
    /// From 1; nil when the problem is not on a line.
    package let line: Int?
    package let problem: String

    package init(file: String, line: Int? = nil, _ problem: String) {
        self.file = file
        self.line = line
        self.problem = problem
    }

    package var description: String {
        line.map { "\(file):\($0): \(problem)" } ?? "\(file): \(problem)"
    }
}

/// A configuration file's entries with their lines.
package struct ConfigurationDocument: Sendable {
    package enum Value: Sendable, Equatable {
        case string(String)
        case integer(Int64)
        case number(Double)
        case boolean(Bool)
    }

    package struct Entry: Sendable, Equatable {
        package let value: Value
        package let line: Int
    }

    /// `table.key` to entry.
    package private(set) var entries: [String: Entry] = [:]

    private let file: String
    private var line = 0

    /// Reads `text`; `file` names it in complaints.
    package init(_ text: String, file: String) throws(ConfigurationError) {
        self.file = file
        var table = ""
        var tables: Set<String> = []
        for rawLine in text.split(separator: "\n", omittingEmptySubsequences: false) {
            line += 1
            let content = Self.trim(rawLine.hasSuffix("\r") ? rawLine.dropLast() : rawLine)
            guard let first = content.first, first != "#" else { continue }
            if first == "[" {
                table = try tableName(content)
                guard tables.insert(table).inserted else {
                    throw error("table [\(table)] appears twice")
                }
            } else {
                try readEntry(content, table: table)
            }
        }
    }

    private func error(_ problem: String) -> ConfigurationError {
        ConfigurationError(file: file, line: line, problem)
    }

    private static func trim(_ text: Substring) -> Substring {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }

    private static func isKey(_ text: Substring) -> Bool {
        !text.isEmpty
            && text.unicodeScalars.allSatisfy { scalar in
                scalar.isASCII
                    && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
                        || scalar == "_" || scalar == "-")
            }
    }

    private func tableName(_ content: Substring) throws(ConfigurationError) -> String {
        guard let end = content.firstIndex(of: "]") else { throw error("expected ']'") }
        let name = Self.trim(content[content.index(after: content.startIndex)..<end])
        try requireEnd(content[content.index(after: end)...])
        guard Self.isKey(name) else { throw error("expected a table name such as [memory]") }
        return String(name)
    }

    private func requireEnd(_ rest: Substring) throws(ConfigurationError) {
        let rest = Self.trim(rest)
        guard rest.isEmpty || rest.hasPrefix("#") else {
            throw error("unexpected text after the value")
        }
    }

    private mutating func readEntry(
        _ content: Substring, table: String
    ) throws(ConfigurationError) {
        guard let equals = content.firstIndex(of: "=") else { throw error("expected KEY = VALUE") }
        let key = Self.trim(content[..<equals])
        guard Self.isKey(key) else { throw error("expected a plain key") }
        let name = table.isEmpty ? String(key) : "\(table).\(key)"
        let value = try value(Self.trim(content[content.index(after: equals)...]))
        guard entries.updateValue(Entry(value: value, line: line), forKey: name) == nil else {
            throw error("'\(name)' appears twice")
        }
    }

    private func value(_ text: Substring) throws(ConfigurationError) -> Value {
        switch text.first {
        case nil: throw error("expected a value")
        case "\"": return .string(try basicString(text.dropFirst()))
        case "'": return .string(try literalString(text.dropFirst()))
        default: return try bareValue(text)
        }
    }

    private func literalString(_ text: Substring) throws(ConfigurationError) -> String {
        guard let end = text.firstIndex(of: "'") else { throw error("a string without end") }
        try requireEnd(text[text.index(after: end)...])
        return String(text[..<end])
    }

    private func basicString(_ text: Substring) throws(ConfigurationError) -> String {
        var result = ""
        var rest = text
        while let character = rest.popFirst() {
            switch character {
            case "\"":
                try requireEnd(rest)
                return result
            case "\\":
                let escapes: [Character: Character] = [
                    "\"": "\"", "\\": "\\", "n": "\n", "t": "\t", "r": "\r"
                ]
                guard let next = rest.popFirst(), let meant = escapes[next] else {
                    throw error("an escape that is not supported here")
                }
                result.append(meant)
            default: result.append(character)
            }
        }
        throw error("a string without end")
    }

    private func bareValue(_ text: Substring) throws(ConfigurationError) -> Value {
        let word = Self.trim(text.prefix { $0 != "#" })
        if word == "true" { return .boolean(true) }
        if word == "false" { return .boolean(false) }
        // TOML allows single underscores between digits.
        let parts = word.split(separator: "_", omittingEmptySubsequences: false)
        let isGrouped = parts.allSatisfy { $0.first?.isNumber == true && $0.last?.isNumber == true }
        let digits = parts.count > 1 && isGrouped ? parts.joined() : String(word)
        let magnitude = digits.drop { $0 == "-" || $0 == "+" }
        let isPadded = magnitude.hasPrefix("0") && magnitude.dropFirst().first?.isNumber == true
        guard magnitude.first?.isNumber == true, !isPadded else {
            throw error("expected a string in quotes, a number, true or false")
        }
        if let integer = Int64(digits) { return .integer(integer) }
        let isDecimal = digits.allSatisfy { "0123456789+-.eE".contains($0) }
        guard isDecimal, digits.last?.isNumber == true, let number = Double(digits),
            number.isFinite
        else { throw error("a number that is malformed or out of range") }
        return .number(number)
    }
}
