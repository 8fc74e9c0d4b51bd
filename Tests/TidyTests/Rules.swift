// The rules that hold for one file at a time. Each returns what breaks it.

/// A place that breaks a rule.
struct Finding: CustomStringConvertible {
    let file: String
    let line: Int
    let message: String

    var description: String { "\(file):\(line): \(message)" }
}

enum Rules {
    static let columnsMax = 100
    static let functionLinesMax = 70
    static let fileLinesMax = 500

    /// All rules for one file.
    static let all: [(name: String, check: @Sendable (SourceFile) -> [Finding])] = [
        ("line length", lineLength), ("function length", functionLength),
        ("file length", fileLength), ("machine paths", machinePaths),
        ("Foundation", foundation), ("markers", markers), ("crashes", crashes),
        ("opening comment", openingComment)
    ]

    static func lineLength(_ file: SourceFile) -> [Finding] {
        guard file.isCode else { return [] }
        return findings(file) { line in
            line.count > columnsMax ? "\(line.count) columns, at most \(columnsMax)" : nil
        }
    }

    static func functionLength(_ file: SourceFile) -> [Finding] {
        guard file.isSwift || file.isC else { return [] }
        return FunctionExtent.functions(in: file).filter { $0.lineCount > functionLinesMax }.map {
            Finding(
                file: file.path, line: $0.firstLine,
                message: "\($0.name) has \($0.lineCount) lines, at most \(functionLinesMax)")
        }
    }

    static func fileLength(_ file: SourceFile) -> [Finding] {
        guard file.isCode else { return [] }
        let count = file.lines.count - (file.bytes.last == UInt8(ascii: "\n") ? 1 : 0)
        guard count > fileLinesMax else { return [] }
        return [
            Finding(file: file.path, line: 1, message: "\(count) lines, at most \(fileLinesMax)")
        ]
    }

    // Written in parts, so that this file keeps its own rule.
    private static let machineWords = [
        "/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "py" + "pi.org", "deb.deb" + "ian.org",
        "pythonhosted" + ".org", "registry.npm" + "js.org", "index.crat" + "es.io"
    ]

    /// Nothing says where it was built or what it was fetched from.
    static func machinePaths(_ file: SourceFile) -> [Finding] {
        findings(file) { line in
            machineWords.first { line.contains($0) }.map { "names a machine's \($0)" }
        }
    }

    /// Foundation costs megabytes, also the part that is called FoundationEssentials. Tests may
    /// have that: its JSON is not ours.
    static func foundation(_ file: SourceFile) -> [Finding] {
        guard file.isSwift else { return [] }
        return ImportRules.imports(of: file).filter {
            $0.module.hasPrefix("Foundation")
                && ($0.module != "FoundationEssentials" || !file.path.hasPrefix("Tests/"))
        }.map { Finding(file: file.path, line: $0.line, message: "imports \($0.module)") }
    }

    private static let markerWords = ["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]

    /// What is not finished is an issue in the tracker.
    static func markers(_ file: SourceFile) -> [Finding] {
        guard file.isCode || file.kind == "md" || file.name == "Makefile" else { return [] }
        return findings(file) { line in
            let words = line.split { !$0.isLetter }
            return markerWords.first { words.contains(Substring($0)) }.map { "says \($0)" }
        }
    }

    /// On a line of its own above a crash, or at its end: why it cannot happen.
    static let crashAllowance = "// tidy: allow crash:"

    /// `fatalError`, `try!`, `as!` and forced unwrapping, in the service itself.
    static func crashes(_ file: SourceFile) -> [Finding] {
        guard file.isSwift && file.path.hasPrefix("Sources/") else { return [] }
        let code = SourceFile(path: file.path, bytes: CodeScanner(file).code).lines
        let lines = file.lines
        return code.indices.compactMap { index in
            guard let crash = crash(in: code[index]) else { return nil }
            let above = index > 0 ? lines[index - 1] : ""
            let isAllowed = [lines[index], above].contains { $0.contains(crashAllowance) }
            return isAllowed
                ? nil
                : Finding(
                    file: file.path, line: index + 1,
                    message: "\(crash) without \"\(crashAllowance) why\"")
        }
    }

    private static func crash(in line: Substring) -> String? {
        if line.contains("fatalError") { return "fatalError" }
        let characters = Array(line)
        for index in characters.indices.dropFirst() where characters[index] == "!" {
            let before = characters[index - 1]
            let after = index + 1 < characters.count ? characters[index + 1] : " "
            // The address of a buffer that is known not to be empty.
            if characters[..<index].suffix(11) == Array("baseAddress")[...] { continue }
            let isPostfix = before.isLetter || before.isNumber || "_)]}>?".contains(before)
            if isPostfix && after != "=" { return "!" }
        }
        return nil
    }

    /// A file says first what it is; one that holds a single type may say so above the type.
    static func openingComment(_ file: SourceFile) -> [Finding] {
        guard file.isSwift || file.isC else { return [] }
        let lines = file.lines.map { $0.drop { $0 == " " } }.filter { !$0.isEmpty }
        let first = lines.first { !$0.contains("import ") && !$0.hasPrefix("#") } ?? ""
        let opens = ["//", "/*"].contains { lines.first?.hasPrefix($0) == true }
        let explains = file.isC ? ["//", "/*"] : ["///"]
        guard !opens && !explains.contains(where: first.hasPrefix) else { return [] }
        return [Finding(file: file.path, line: 1, message: "no comment says what the file is")]
    }

    private static func findings(
        _ file: SourceFile, _ check: (Substring) -> String?
    ) -> [Finding] {
        file.lines.enumerated().compactMap { index, line in
            check(line).map { Finding(file: file.path, line: index + 1, message: $0) }
        }
    }
}
