// Imports only downwards: what a target imports it declares, and it declares only what is strictly
// below it (docs/ARCHITECTURE.md section 2).

enum ImportRules {
    /// The layers from the bottom. A target may depend on any layer before its own.
    static let layers: [Set<String>] = [
        ["CLinux", "CURing", "COpenBLAS", "CChecksum", "CKernels", "CPacking"],
        ["Memory", "JSON"],
        ["LinuxSystem"],
        ["ModelFormat", "LineEditing", "AnswerParsing"],
        ["GenerationAPI", "ModelFamilies", "Tokenization", "Compute"],
        ["Knobs", "ChatTemplates", "HTTPInterface", "Constraints"],
        ["FlashStorage", "Client"],
        ["Weights", "Packing", "SequenceState"],
        ["Inference", "Fetching"],
        ["Models"],
        ["Serving", "Measurement"],
        ["Calibration", "Library"],
        ["Service"],
        [
            "sluiced", "sluice", "kernel-benchmark", "cache-simulator", "read-benchmark",
            "constraint-benchmark"
        ]
    ]

    /// Modules that only some targets may import.
    static let reserved: [String: Set<String>] = [
        "Glibc": ["LinuxSystem", "Service", "sluiced", "sluice"],
        "CLinux": ["LinuxSystem"], "CURing": ["LinuxSystem"],
        "CKernels": ["Compute"], "COpenBLAS": ["Compute"],
        "CChecksum": ["ModelFormat"], "CPacking": ["Packing"],
        "NIOCore": ["HTTPInterface", "Client", "Service"],
        "NIOPosix": ["HTTPInterface", "Client", "Service"],
        "NIOHTTP1": ["HTTPInterface", "Client", "Service"],
        "ArgumentParser": ["sluice"]
    ]

    /// Modules that come with the toolchain and are in nobody's declared dependencies.
    static let toolchain: Set<String> = [
        "Glibc", "FoundationEssentials", "Synchronization", "Dispatch", "_Concurrency"
    ]

    struct Import: Equatable {
        let module: String
        let line: Int
    }

    /// The modules that a Swift file imports, with or without an access level or `struct` and such.
    static func imports(of file: SourceFile) -> [Import] {
        let code = SourceFile(path: file.path, bytes: CodeScanner(file).code).lines
        return code.enumerated().compactMap { index, line in
            let words = line.split(separator: " ")
            guard let keyword = words.firstIndex(of: "import"), keyword <= 2,
                keyword + 1 < words.count,
                words[..<keyword].allSatisfy({ $0.first == "@" || accessLevels.contains($0) })
            else { return nil }
            let path = words[words.count > keyword + 2 ? keyword + 2 : keyword + 1]
            return Import(
                module: String(path.split(separator: ".").first ?? ""), line: index + 1)
        }
    }

    private static let accessLevels: Set<Substring> = [
        "public", "package", "internal", "fileprivate", "private"
    ]

    /// What Package.swift declares: for each target under Sources, the modules it depends on.
    ///
    /// Understands `layer("Name", [...])` and `.executableTarget(name: "name", dependencies:
    /// [...])` with quoted names and with names bound by `let x: Target.Dependency =
    /// .product(name: "X"`.
    static func declaredDependencies(in manifest: SourceFile) -> [String: Set<String>] {
        let text = String(decoding: manifest.bytes, as: UTF8.self)
        var products: [Substring: String] = [:]
        for piece in pieces(of: text, after: "let ") {
            guard let colon = piece.firstIndex(of: ":"),
                piece[colon...].hasPrefix(": Target.Dependency = ")
            else { continue }
            let words = piece.split { " :\"".contains($0) }
            guard let name = quoted(piece).first else { continue }
            products[words[0]] = name
        }
        var declared: [String: Set<String>] = [:]
        for opening in ["layer(", ".executableTarget("] {
            for piece in pieces(of: text, after: opening) {
                // `func layer(_ name: ...` is not a target.
                let start = piece.drop { $0.isWhitespace }
                guard start.hasPrefix("\"") || start.hasPrefix("name: \"") else { continue }
                guard let name = quoted(piece).first, let open = piece.firstIndex(of: "["),
                    let close = piece[open...].firstIndex(of: "]")
                else { continue }
                let list = piece[open..<close]
                let bound = list.split { !($0.isLetter || $0.isNumber) }.compactMap { products[$0] }
                declared[name] = Set(quoted(list) + bound)
            }
        }
        return declared
    }

    private static func pieces(of text: String, after opening: String) -> [Substring] {
        var pieces: [Substring] = []
        var rest = text[...]
        while let found = rest.firstRange(of: opening) {
            rest = rest[found.upperBound...]
            pieces.append(rest)
        }
        return pieces
    }

    private static func quoted(_ text: Substring) -> [String] {
        text.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }.map { String($0.element) }
    }

    /// Imports of `file`, in Sources, that its target may not make.
    static func undeclared(_ file: SourceFile, _ declared: [String: Set<String>]) -> [Finding] {
        let parts = file.path.split(separator: "/")
        guard file.isSwift, parts.count > 2, parts[0] == "Sources" else { return [] }
        let target = String(parts[1])
        return imports(of: file).compactMap { found in
            func finding(_ message: String) -> Finding {
                Finding(file: file.path, line: found.line, message: message)
            }
            if let owners = reserved[found.module], !owners.contains(target) {
                return finding("only \(owners.sorted()) may import \(found.module)")
            }
            if toolchain.contains(found.module) || found.module.hasPrefix("Foundation") {
                return nil
            }
            guard let allowed = declared[target] else {
                return finding("\(target) is not a target in Package.swift")
            }
            return allowed.contains(found.module)
                ? nil : finding("\(target) does not depend on \(found.module)")
        }
    }

    /// Declared dependencies that are not strictly below their target.
    static func upward(_ declared: [String: Set<String>]) -> [Finding] {
        func height(_ name: String) -> Int? { layers.firstIndex { $0.contains(name) } }
        return declared.keys.sorted().flatMap { target -> [Finding] in
            guard let own = height(target) else {
                return [
                    Finding(file: "Package.swift", line: 1, message: "\(target) is in no layer")
                ]
            }
            return declared[target, default: []].sorted().compactMap { name in
                guard let other = height(name), other >= own else { return nil }
                return Finding(
                    file: "Package.swift", line: 1,
                    message: "\(target) depends on \(name), which is not below it")
            }
        }
    }
}
