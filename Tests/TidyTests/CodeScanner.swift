// A small reader of Swift and C: enough to know what is code and what is comment or string, and
// where functions begin and end. It knows braces, not grammar.

/// Source text with comments, strings and preprocessor lines turned into spaces; newlines stay, so
/// that lines keep their numbers.
struct CodeScanner {
    private let source: [UInt8]
    private let isSwift: Bool
    private(set) var code: [UInt8]
    private var position = 0

    init(_ file: SourceFile) {
        source = file.bytes
        isSwift = file.isSwift
        code = file.bytes
        while position < source.count { skipOne() }
    }

    private func at(_ offset: Int) -> UInt8 {
        position + offset < source.count ? source[position + offset] : 0
    }

    private func starts(_ text: StaticString) -> Bool {
        text.withUTF8Buffer { unsafe source[position...].starts(with: $0) }
    }

    private mutating func blank(_ count: Int) {
        for _ in 0..<count where position < source.count {
            if code[position] != UInt8(ascii: "\n") { code[position] = UInt8(ascii: " ") }
            position += 1
        }
    }

    private mutating func blankLine() {
        while position < source.count && at(0) != UInt8(ascii: "\n") { blank(1) }
    }

    private mutating func skipOne() {
        if starts("//") {
            blankLine()
        } else if starts("/*") {
            blankComment()
        } else if isSwift && (starts("\"") || starts("#\"") || starts("##\"")) {
            blankSwiftString()
        } else if !isSwift && (starts("\"") || starts("'")) {
            blankCString(quote: at(0))
        } else if !isSwift && starts("#") {
            blankDirective()
        } else {
            position += 1
        }
    }

    private mutating func blankComment() {
        blank(2)
        var depth = 1
        while position < source.count && depth > 0 {
            if starts("*/") {
                depth -= 1
                blank(2)
            } else if isSwift && starts("/*") {
                depth += 1
                blank(2)
            } else {
                blank(1)
            }
        }
    }

    /// A string, raw or not, of one line or many; code inside `\(...)` is blanked as well.
    private mutating func blankSwiftString() {
        var hashes = 0
        while at(hashes) == UInt8(ascii: "#") { hashes += 1 }
        blank(hashes)
        let isLong = starts("\"\"\"")
        let close =
            [UInt8](repeating: UInt8(ascii: "\""), count: isLong ? 3 : 1)
            + [UInt8](repeating: UInt8(ascii: "#"), count: hashes)
        let escape = [UInt8(ascii: "\\")] + [UInt8](repeating: UInt8(ascii: "#"), count: hashes)
        blank(isLong ? 3 : 1)
        while position < source.count {
            if source[position...].starts(with: close) { return blank(close.count) }
            if source[position...].starts(with: escape) {
                blank(escape.count)
                if at(0) == UInt8(ascii: "(") { blankInterpolation() } else { blank(1) }
            } else if !isLong && at(0) == UInt8(ascii: "\n") {
                return
            } else {
                blank(1)
            }
        }
    }

    private mutating func blankInterpolation() {
        var depth = 0
        repeat {
            if starts("\"") {
                blankSwiftString()
                continue
            }
            if at(0) == UInt8(ascii: "(") { depth += 1 }
            if at(0) == UInt8(ascii: ")") { depth -= 1 }
            blank(1)
        } while depth > 0 && position < source.count
    }

    private mutating func blankCString(quote: UInt8) {
        blank(1)
        while position < source.count && at(0) != quote && at(0) != UInt8(ascii: "\n") {
            blank(at(0) == UInt8(ascii: "\\") ? 2 : 1)
        }
        blank(1)
    }

    private mutating func blankDirective() {
        while true {
            blankLine()
            guard position > 0, source[position - 1] == UInt8(ascii: "\\") else { return }
            blank(1)
        }
    }
}

/// A word or one sign of code.
struct CodeToken {
    let text: String
    let line: Int

    static func tokens(of code: [UInt8]) -> [CodeToken] {
        var tokens: [CodeToken] = []
        var line = 1
        var word: [UInt8] = []
        func isPartOfWord(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 128...255:
                true
            default: false
            }
        }
        for byte in code + [UInt8(ascii: " ")] {
            if isPartOfWord(byte) {
                word.append(byte)
                continue
            }
            if !word.isEmpty {
                tokens.append(CodeToken(text: String(decoding: word, as: UTF8.self), line: line))
                word = []
            }
            if byte == UInt8(ascii: "\n") { line += 1 }
            if byte > UInt8(ascii: " ") {
                tokens.append(CodeToken(text: String(UnicodeScalar(byte)), line: line))
            }
        }
        return tokens
    }
}

/// A function with a body.
struct FunctionExtent: Equatable {
    let name: String
    let firstLine: Int
    let lastLine: Int

    var lineCount: Int { lastLine - firstLine + 1 }

    static func functions(in file: SourceFile) -> [FunctionExtent] {
        let tokens = CodeToken.tokens(of: CodeScanner(file).code)
        return file.isSwift ? swiftFunctions(tokens) : cFunctions(tokens)
    }

    /// What can follow a function that has no body: a protocol's requirement.
    private static let declarations: Set<String> = [
        "func", "init", "deinit", "subscript", "var", "let", "struct", "class", "enum", "actor",
        "protocol", "extension", "case", "import", "typealias", "associatedtype", "}", ";"
    ]

    private static func swiftFunctions(_ tokens: [CodeToken]) -> [FunctionExtent] {
        var found: [FunctionExtent] = []
        for index in tokens.indices {
            let keyword = tokens[index].text
            guard ["func", "init", "deinit", "subscript"].contains(keyword) else { continue }
            // `.init(...)` and `self.init(...)` are calls.
            if index > 0 && tokens[index - 1].text == "." { continue }
            guard let open = bodyStart(tokens, after: index) else { continue }
            let close = bodyEnd(tokens, open: open)
            let name = keyword == "func" ? tokens[index + 1].text : keyword
            found.append(
                FunctionExtent(
                    name: name, firstLine: tokens[index].line, lastLine: tokens[close].line))
        }
        return found
    }

    private static func bodyStart(_ tokens: [CodeToken], after start: Int) -> Int? {
        var depth = 0
        for index in tokens.indices.dropFirst(start + 1) {
            let text = tokens[index].text
            if text == "(" || text == "[" { depth += 1 }
            if text == ")" || text == "]" { depth -= 1 }
            if depth < 0 { return nil }
            guard depth == 0 else { continue }
            if text == "{" { return index }
            if declarations.contains(text) { return nil }
        }
        return nil
    }

    private static func bodyEnd(_ tokens: [CodeToken], open: Int) -> Int {
        var depth = 0
        for index in tokens.indices.dropFirst(open) {
            if tokens[index].text == "{" { depth += 1 }
            if tokens[index].text == "}" { depth -= 1 }
            if depth == 0 { return index }
        }
        return tokens.count - 1
    }

    /// In C, a brace at file level after a closing parenthesis opens a function.
    private static func cFunctions(_ tokens: [CodeToken]) -> [FunctionExtent] {
        var found: [FunctionExtent] = []
        var index = 0
        var declarationStart = 0
        while index < tokens.count {
            let text = tokens[index].text
            if text == "{" && index > 0 && tokens[index - 1].text == ")" {
                let close = bodyEnd(tokens, open: index)
                let words = tokens[declarationStart..<index]
                let name = words.firstIndex { $0.text == "(" }.map { tokens[max(0, $0 - 1)].text }
                found.append(
                    FunctionExtent(
                        name: name ?? "?", firstLine: tokens[declarationStart].line,
                        lastLine: tokens[close].line))
                index = close
                declarationStart = close + 1
            } else if text == "{" && index > 0
                && ["struct", "union", "enum", "="]
                    .contains(where: { word in
                        tokens[declarationStart..<index].contains { $0.text == word }
                    })
            {
                index = bodyEnd(tokens, open: index)
            } else if text == ";" || text == "}" || text == "{" {
                // `extern "C" {` leaves only its braces.
                declarationStart = index + 1
            }
            index += 1
        }
        return found
    }
}
