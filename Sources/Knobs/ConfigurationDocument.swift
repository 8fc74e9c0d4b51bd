// The part of TOML 1.0 that profiles use: comments, [tables], and keys with one string, number or
// boolean each. Whatever else TOML has is refused by line, so that every accepted file means the
// same to every TOML reader.

package import LinuxSystem

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

    /// Scalars, not characters: to Swift, CR and LF are one character, and so are a quote and an
    /// accent after it.
    private typealias Text = Substring.UnicodeScalarView

    /// `table.key` to entry.
    package private(set) var entries: [String: Entry] = [:]
    /// The tables that are opened, with their lines.
    package private(set) var tables: [String: Int] = [:]

    private let file: String
    private var line = 0

    /// Reads `text`; `file` names it in complaints.
    package init(_ text: String, file: String) throws(ConfigurationError) {
        try self.init(Array(text.utf8), file: file)
    }

    /// Reads a file's bytes: UTF-8, with or without a byte order mark, whose lines end with LF or
    /// CRLF; `file` names it in complaints.
    package init(_ bytes: [UInt8], file: String) throws(ConfigurationError) {
        self.file = file
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let content = bytes.starts(with: mark) ? bytes.dropFirst(mark.count) : bytes[...]
        var table = ""
        for rawLine in content.split(separator: 0x0A, omittingEmptySubsequences: false) {
            line += 1
            let text = try text(rawLine)
            let content = Self.trim(text.unicodeScalars[...])
            guard let first = content.first, first != "#" else { continue }
            if first == "[" {
                table = try tableName(content)
                guard tables.updateValue(line, forKey: table) == nil else {
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

    /// A line without its end. TOML 1.0 allows no control character but the tab, not even in
    /// comments.
    private func text(_ bytes: ArraySlice<UInt8>) throws(ConfigurationError) -> String {
        let bytes = bytes.last == 0x0D ? bytes.dropLast() : bytes
        let isWide =
            line == 1 && (bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]))
        guard !isWide else { throw error("UTF-16; save the file as UTF-8") }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw error("not UTF-8")
        }
        for byte in bytes where byte != 0x09 && (byte < 0x20 || byte == 0x7F) {
            switch byte {
            case 0x00: throw error("a NUL byte")
            case 0x0D: throw error("a carriage return that ends no line; lines end with LF or CRLF")
            default: throw error("a control character, number \(byte)")
            }
        }
        return text
    }

    private static func trim(_ text: Text) -> Text {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }

    private static func isDigit(_ scalar: Unicode.Scalar?) -> Bool {
        scalar.map { ("0"..."9").contains($0) } ?? false
    }

    private static func isKey(_ text: Text) -> Bool {
        !text.isEmpty
            && text.allSatisfy { scalar in
                scalar.isASCII
                    && (scalar.properties.isAlphabetic || isDigit(scalar) || scalar == "_"
                        || scalar == "-")
            }
    }

    private func tableName(_ content: Text) throws(ConfigurationError) -> String {
        guard let end = content.firstIndex(of: "]") else { throw error("expected ']'") }
        let name = Self.trim(content[content.index(after: content.startIndex)..<end])
        try requireEnd(content[content.index(after: end)...])
        guard Self.isKey(name) else { throw error("expected a table name such as [memory]") }
        return String(Substring(name))
    }

    private func requireEnd(_ rest: Text) throws(ConfigurationError) {
        let rest = Self.trim(rest)
        guard rest.isEmpty || rest.first == "#" else {
            throw error("unexpected text after the value")
        }
    }

    private mutating func readEntry(_ content: Text, table: String) throws(ConfigurationError) {
        guard let equals = content.firstIndex(of: "=") else { throw error("expected KEY = VALUE") }
        let key = Self.trim(content[..<equals])
        guard Self.isKey(key) else { throw error("expected a plain key") }
        let name = table.isEmpty ? "\(Substring(key))" : "\(table).\(Substring(key))"
        let value = try value(Self.trim(content[content.index(after: equals)...]))
        guard entries.updateValue(Entry(value: value, line: line), forKey: name) == nil else {
            throw error("'\(name)' appears twice")
        }
    }

    private func value(_ text: Text) throws(ConfigurationError) -> Value {
        switch text.first {
        case nil: throw error("expected a value")
        case "\"": return .string(try basicString(text.dropFirst()))
        case "'": return .string(try literalString(text.dropFirst()))
        default: return try bareValue(text)
        }
    }

    private func literalString(_ text: Text) throws(ConfigurationError) -> String {
        guard let end = text.firstIndex(of: "'") else { throw error("a string without end") }
        try requireEnd(text[text.index(after: end)...])
        return String(Substring(text[..<end]))
    }

    private func basicString(_ text: Text) throws(ConfigurationError) -> String {
        var result = String.UnicodeScalarView()
        var rest = text
        while let scalar = rest.popFirst() {
            switch scalar {
            case "\"":
                try requireEnd(rest)
                return String(result)
            case "\\":
                let escapes: [Unicode.Scalar: Unicode.Scalar] = [
                    "\"": "\"", "\\": "\\", "n": "\n", "t": "\t", "r": "\r"
                ]
                guard let next = rest.popFirst(), let meant = escapes[next] else {
                    throw error("an escape that is not supported here")
                }
                result.append(meant)
            default: result.append(scalar)
            }
        }
        throw error("a string without end")
    }

    private func bareValue(_ text: Text) throws(ConfigurationError) -> Value {
        let word = Self.trim(text.prefix { $0 != "#" })
        if word.elementsEqual("true".unicodeScalars) { return .boolean(true) }
        if word.elementsEqual("false".unicodeScalars) { return .boolean(false) }
        // TOML allows single underscores between digits.
        let parts = word.split(separator: "_", omittingEmptySubsequences: false)
        let isGrouped = parts.allSatisfy { Self.isDigit($0.first) && Self.isDigit($0.last) }
        let digits =
            parts.count > 1 && isGrouped
            ? parts.map { Substring($0) }.joined() : String(Substring(word))
        let magnitude = digits.unicodeScalars.drop { $0 == "-" || $0 == "+" }
        let isPadded = magnitude.first == "0" && Self.isDigit(magnitude.dropFirst().first)
        guard Self.isDigit(magnitude.first), !isPadded else {
            throw error("expected a string in quotes, a number, true or false")
        }
        if let integer = Int64(digits) { return .integer(integer) }
        let isDecimal = digits.allSatisfy { "0123456789+-.eE".contains($0) }
        guard isDecimal, Self.isDigit(digits.unicodeScalars.last), let number = Double(digits),
            number.isFinite
        else { throw error("a number that is malformed or out of range") }
        return .number(number)
    }
}

extension ConfigurationError: EndingError {
    package var exitStatus: ExitStatus { .badConfiguration }
}
