// Forms of several words in one string, and of yes or no.

extension Form {
    /// Words with spaces between, each of which `isValid`.
    private static func words(
        _ range: String, placeholder: String, _ isValid: @escaping @Sendable (Substring) -> Bool
    ) -> KnobForm<String> {
        KnobForm(
            kind: "", range: range, placeholder: placeholder,
            read: {
                guard case .string(let text) = $0 else { return nil }
                let words = text.split(whereSeparator: \.isWhitespace)
                return words.allSatisfy(isValid) ? words.joined(separator: " ") : nil
            },
            write: { .string($0) })
    }

    private static func isVisible(_ word: Substring) -> Bool {
        word.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    /// Users or groups.
    static let accounts = words(
        "names or numbers with spaces between, such as \"alice 1001\"", placeholder: "names"
    ) {
        $0.utf8.allSatisfy { byte in byte > 0x20 && byte != 0x7F && byte != UInt8(ascii: ":") }
    }

    /// Names or addresses of machines, without ports.
    static let hosts = words(
        "names or addresses without ports, with spaces between", placeholder: "names"
    ) { word in
        let isBracketed = word.hasPrefix("[") && word.hasSuffix("]")
        return isVisible(word) && !word.contains("/") && (isBracketed || !word.contains(":"))
    }

    /// As browsers send them.
    static let origins = words(
        "origins such as \"http://localhost:3000\", with spaces between", placeholder: "origins"
    ) { word in
        guard let mark = word.firstRange(of: "://"), isVisible(word) else { return false }
        let place = word[mark.upperBound...]
        return mark.lowerBound > word.startIndex && !place.isEmpty && !place.contains("/")
    }

    static let flag = KnobForm<Bool>(
        kind: "", range: "true or false", placeholder: "true|false",
        read: { if case .boolean(let flag) = $0 { flag } else { nil } },
        write: { .boolean($0) })
}
