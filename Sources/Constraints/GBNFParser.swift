// GBNF, the notation of llama.cpp's grammars: rules with alternatives, groups, repetitions, literal
// texts, sets of characters, tokens by their texts, and comments.

/// Reads a grammar. Every rule that is named must be there; `root` is where texts begin.
struct GBNFParser {
    /// Longest text of a grammar, in bytes.
    static let bytesMax = 128 << 10
    /// Deepest nesting of groups.
    static let depthMax = 64
    /// Most repetitions that can be written.
    static let repetitionsMax = 10_000
    /// Repetitions of one part, such as `a*?`.
    private static let repeatedMax = 3
    private static let rootName = "root"

    private let text: [Unicode.Scalar]
    private var position = 0
    private var rules = RuleSet()
    private var places: [String: RuleID] = [:]
    /// Where a rule was named first.
    private var mentions: [Int: Int] = [:]

    private init(_ text: String) { self.text = Array(text.unicodeScalars) }

    /// - Throws: `ConstraintError`
    static func parse(_ text: String) throws(ConstraintError) -> RuleSet {
        guard text.utf8.count <= bytesMax else {
            throw .tooLarge("a grammar has at most \(bytesMax) bytes")
        }
        var parser = GBNFParser(text)
        return try parser.grammar()
    }

    private mutating func grammar() throws(ConstraintError) -> RuleSet {
        skipSpace(withLines: true)
        while position < text.count {
            try definition()
            skipSpace(withLines: true)
        }
        guard let root = places[Self.rootName], rules[root] != nil else {
            throw error("there is no rule '\(Self.rootName)'")
        }
        for index in 0..<rules.count where rules.bodies[index] == nil {
            position = mentions[index] ?? 0
            throw error("there is no rule '\(rules.names[index])'")
        }
        rules.root = root
        return rules
    }

    /// `name ::= alternatives`, to the end of a line.
    private mutating func definition() throws(ConstraintError) {
        let name = try name()
        skipSpace(withLines: false)
        guard take("::=") else { throw error("expected '::=' after '\(name)'") }
        let rule = try rule(name)
        guard rules[rule] == nil else { throw error("'\(name)' is defined twice") }
        skipSpace(withLines: true)
        let body = try alternatives(depth: 0)
        rules[rule] = body
        guard position == text.count || isLineEnd else {
            throw error("unexpected '\(text[position])'")
        }
    }

    private mutating func rule(_ name: String) throws(ConstraintError) -> RuleID {
        if let place = places[name] { return place }
        let place = try rules.add(name)
        places[name] = place
        mentions[place.index] = position
        return place
    }

    private mutating func alternatives(depth: Int) throws(ConstraintError) -> Expression {
        guard depth <= Self.depthMax else {
            throw error("groups are nested deeper than \(Self.depthMax)")
        }
        var alternatives = [try sequence(depth: depth)]
        while true {
            let before = position
            skipSpace(withLines: true)
            guard take("|") else {
                // A line's end is the rule's.
                if depth == 0 { position = before }
                break
            }
            skipSpace(withLines: true)
            alternatives.append(try sequence(depth: depth))
        }
        return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
    }

    private mutating func sequence(depth: Int) throws(ConstraintError) -> Expression {
        var parts: [Expression] = []
        while true {
            skipSpace(withLines: depth > 0)
            guard let part = try part(depth: depth) else { break }
            parts.append(try repeated(part))
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    /// What a sequence is made of; nil where it ends.
    private mutating func part(depth: Int) throws(ConstraintError) -> Expression? {
        guard let first = current else { return nil }
        switch first {
        case "\"": return try literal()
        case "[": return .scalar(try characters())
        case ".":
            position += 1
            return .scalar(.all)
        case "(":
            position += 1
            skipSpace(withLines: true)
            let inner = try alternatives(depth: depth + 1)
            guard take(")") else { throw error("expected ')'") }
            return inner
        case "<": return try token()
        case _ where Self.isName(first): return .rule(try rule(try name()))
        default: return nil
        }
    }

    private mutating func repeated(_ part: Expression) throws(ConstraintError) -> Expression {
        var part = part
        var depth = 0
        while let sign = current {
            let (least, most): (Int, Int?)
            switch sign {
            case "*": (least, most) = (0, nil)
            case "+": (least, most) = (1, nil)
            case "?": (least, most) = (0, 1)
            case "{": (least, most) = try counts()
            default: return part
            }
            if sign != "{" { position += 1 }
            depth += 1
            guard depth <= Self.repeatedMax else { throw error("too many repetitions in a row") }
            part = .repetition(part, least: least, most: most)
        }
        return part
    }

    /// `{m}`, `{m,}` or `{m,n}`.
    private mutating func counts() throws(ConstraintError) -> (Int, Int?) {
        position += 1
        skipSpace(withLines: false)
        // `{,n}` is not llama.cpp's either.
        let least = try number()
        skipSpace(withLines: false)
        var most: Int? = least
        if take(",") {
            skipSpace(withLines: false)
            most = current == "}" ? nil : try number()
            skipSpace(withLines: false)
        }
        guard take("}") else { throw error("expected '}'") }
        guard most ?? least >= least else { throw error("{\(least),\(most ?? 0)} is nothing") }
        return (least, most)
    }

    private mutating func number() throws(ConstraintError) -> Int {
        var value = 0
        let start = position
        while let digit = current?.value, (0x30...0x39).contains(digit) {
            value = value * 10 + Int(digit - 0x30)
            guard value <= Self.repetitionsMax else {
                throw error("at most \(Self.repetitionsMax) repetitions")
            }
            position += 1
        }
        guard position > start else { throw error("expected a number") }
        return value
    }

    // MARK: terminals

    private mutating func literal() throws(ConstraintError) -> Expression {
        position += 1
        var bytes: [UInt8] = []
        while true {
            guard let scalar = current else { throw error("a text has no end") }
            if scalar == "\"" { break }
            bytes += Array(String(Character(try character())).utf8)
        }
        position += 1
        return .bytes(bytes)
    }

    private mutating func characters() throws(ConstraintError) -> ScalarRanges {
        position += 1
        let isInverted = take("^")
        var ranges: [ClosedRange<UInt32>] = []
        while true {
            guard let scalar = current else { throw error("a set of characters has no end") }
            if scalar == "]" { break }
            let low = try character()
            var high = low
            if current == "-", position + 1 < text.count, text[position + 1] != "]" {
                position += 1
                high = try character()
            }
            guard low <= high else { throw error("the range \(low)-\(high) is backwards") }
            ranges.append(low.value...high.value)
        }
        position += 1
        let set = ScalarRanges(ranges)
        return isInverted ? set.inverted : set
    }

    /// A character of a text or a set, escapes undone.
    private mutating func character() throws(ConstraintError) -> Unicode.Scalar {
        guard let scalar = current else { throw error("the grammar ends early") }
        position += 1
        guard scalar == "\\" else { return scalar }
        guard let sign = current else { throw error("the grammar ends early") }
        position += 1
        switch sign {
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "\\", "\"", "[", "]", "-", "^", "/": return sign
        case "x": return try escaped(digits: 2)
        case "u": return try escaped(digits: 4)
        case "U": return try escaped(digits: 8)
        default: throw error("the escape \\\(sign) is not known")
        }
    }

    private mutating func escaped(digits: Int) throws(ConstraintError) -> Unicode.Scalar {
        var value: UInt32 = 0
        for _ in 0..<digits {
            guard let digit = current.flatMap({ Character($0).hexDigitValue }), value < 1 << 24,
                current?.isASCII == true
            else { throw error("expected \(digits) hexadecimal digits") }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        guard let scalar = Unicode.Scalar(value) else {
            throw error("U+\(String(value, radix: 16, uppercase: true)) is no character")
        }
        return scalar
    }

    /// `<text>`: one token with this text, brackets included.
    private mutating func token() throws(ConstraintError) -> Expression {
        guard position + 1 < text.count, text[position + 1] != "[" else {
            throw error("tokens by their numbers are not supported: <text> is")
        }
        var name = ""
        while let scalar = current, scalar != "\n", scalar != "\r" {
            position += 1
            name.unicodeScalars.append(scalar)
            if scalar == ">" { return .token(name) }
        }
        throw error("a token has no end")
    }

    // MARK: reading

    private var current: Unicode.Scalar? { position < text.count ? text[position] : nil }

    private var isLineEnd: Bool { current == "\n" || current == "\r" }

    private var line: Int { text[..<min(position, text.count)].count { $0 == "\n" } + 1 }

    private func error(_ problem: String) -> ConstraintError {
        .grammar(line: line, problem: problem)
    }

    private static func isName(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "-", "_": true
        default: false
        }
    }

    private mutating func name() throws(ConstraintError) -> String {
        var name = ""
        while let scalar = current, Self.isName(scalar) {
            name.unicodeScalars.append(scalar)
            position += 1
        }
        guard !name.isEmpty else { throw error("expected a rule's name") }
        guard name.utf8.count <= 256 else { throw error("a rule's name has at most 256 bytes") }
        return name
    }

    private mutating func take(_ sign: String) -> Bool {
        guard text[position...].starts(with: sign.unicodeScalars) else { return false }
        position += sign.unicodeScalars.count
        return true
    }

    /// Passes white space and comments.
    private mutating func skipSpace(withLines: Bool) {
        while let scalar = current {
            switch scalar {
            case " ", "\t": position += 1
            case "\n", "\r":
                guard withLines else { return }
                position += 1
            case "#": while let scalar = current, scalar != "\n", scalar != "\r" { position += 1 }
            default: return
            }
        }
    }
}
