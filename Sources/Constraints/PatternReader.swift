// A schema's `pattern`: a regular expression from beginning to end, as the characters of a JSON
// string. What differs between the dialects of ECMA and Python is taken as narrowly as both allow.

/// Reads a pattern. Problems are told in words; the caller knows where it was.
struct PatternReader {
    struct Problem: Error, Equatable {
        let text: String
    }

    private static let depthMax = 32

    private let text: [Unicode.Scalar]
    private var position = 0

    private init(_ text: ArraySlice<Unicode.Scalar>) { self.text = Array(text) }

    /// The string with its quotes.
    static func string(_ pattern: String) throws(Problem) -> Expression {
        let scalars = Array(pattern.unicodeScalars)
        let escapes = scalars.dropLast().reversed().prefix { $0 == "\\" }.count
        guard scalars.first == "^", scalars.count > 1, scalars.last == "$", escapes % 2 == 0 else {
            throw Problem(text: "only patterns from ^ to $ are supported")
        }
        var reader = PatternReader(scalars[1..<(scalars.count - 1)])
        let body = try reader.alternatives(depth: 0)
        guard reader.position == reader.text.count else {
            throw Problem(text: "unexpected '\(reader.text[reader.position])'")
        }
        return .sequence([.text("\""), body, .text("\"")])
    }

    private var current: Unicode.Scalar? { position < text.count ? text[position] : nil }

    private mutating func take(_ sign: Unicode.Scalar) -> Bool {
        guard current == sign else { return false }
        position += 1
        return true
    }

    private mutating func alternatives(depth: Int) throws(Problem) -> Expression {
        guard depth <= Self.depthMax else {
            throw Problem(text: "groups are nested deeper than \(Self.depthMax)")
        }
        var alternatives = [try sequence(depth: depth)]
        while take("|") {
            guard depth > 0 else {
                throw Problem(text: "alternatives beside ^ and $ have to be in a group")
            }
            alternatives.append(try sequence(depth: depth))
        }
        return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
    }

    private mutating func sequence(depth: Int) throws(Problem) -> Expression {
        var parts: [Expression] = []
        while let sign = current, sign != "|", sign != ")" {
            parts.append(try repeated(try part(depth: depth)))
        }
        return .sequence(parts)
    }

    private mutating func part(depth: Int) throws(Problem) -> Expression {
        guard let sign = current else { throw Problem(text: "the pattern ends early") }
        position += 1
        switch sign {
        case "(":
            if take("?") {
                guard take(":") else { throw Problem(text: "groups with (? are not supported") }
            }
            let inner = try alternatives(depth: depth + 1)
            guard take(")") else { throw Problem(text: "a group has no end") }
            return inner
        case "[": return Self.characters(try characters())
        case ".":
            return Self.characters(
                ScalarRanges("\n\r\u{2028}\u{2029}".unicodeScalars).inverted)
        case "\\": return Self.characters(try escape().set)
        case "^", "$": throw Problem(text: "'\(sign)' within a pattern is not supported")
        case "*", "+", "?", "{": throw Problem(text: "nothing to repeat before '\(sign)'")
        default: return Self.characters(ScalarRanges([sign]))
        }
    }

    private mutating func repeated(_ part: Expression) throws(Problem) -> Expression {
        let (least, most): (Int, Int?)
        switch current {
        case "*": (least, most) = (0, nil)
        case "+": (least, most) = (1, nil)
        case "?": (least, most) = (0, 1)
        case "{": (least, most) = try counts()
        default: return part
        }
        position += 1
        // Which of several ways is found does not matter.
        _ = take("?")
        if let sign = current, "*+?{".unicodeScalars.contains(sign) {
            throw Problem(text: "unexpected '\(sign)'")
        }
        return .repetition(part, least: least, most: most)
    }

    /// `{m}`, `{m,}` or `{m,n}`, up to its last character.
    private mutating func counts() throws(Problem) -> (Int, Int?) {
        position += 1
        let least = try number()
        var most: Int? = least
        if take(",") { most = current == "}" ? nil : try number() }
        guard current == "}", most ?? least >= least else {
            throw Problem(text: "expected {m}, {m,} or {m,n}")
        }
        return (least, most)
    }

    private mutating func number() throws(Problem) -> Int {
        var value: Int?
        while let digit = current?.value, (0x30...0x39).contains(digit) {
            value = (value ?? 0) * 10 + Int(digit - 0x30)
            guard value ?? 0 <= GBNFParser.repetitionsMax else {
                throw Problem(text: "at most \(GBNFParser.repetitionsMax) repetitions")
            }
            position += 1
        }
        guard let value else { throw Problem(text: "expected {m}, {m,} or {m,n}") }
        return value
    }

    // MARK: characters

    private static let word = ScalarRanges([0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A])
    private static let digits = ScalarRanges([0x30...0x39])
    private static let spaces = ScalarRanges(" \t\n\r".unicodeScalars)
    private static let printable = ScalarRanges([0x20...0x7E])

    private mutating func characters() throws(Problem) -> ScalarRanges {
        let isInverted = take("^")
        var set = ScalarRanges([ClosedRange<UInt32>]())
        var hasKinds = false
        var isFirst = true
        while true {
            guard let sign = current else { throw Problem(text: "a set has no end") }
            if sign == "]", !isFirst { break }
            guard sign != "]" else { throw Problem(text: "an empty set") }
            isFirst = false
            position += 1
            var (low, isKind) = (ScalarRanges([sign]), false)
            if sign == "\\" { (low, isKind) = try escape() }
            hasKinds = hasKinds || isKind
            guard current == "-", position + 1 < text.count, text[position + 1] != "]" else {
                set = set.union(low)
                continue
            }
            position += 1
            guard let end = current else { throw Problem(text: "a set has no end") }
            position += 1
            var (high, isHighKind) = (ScalarRanges([end]), false)
            if end == "\\" { (high, isHighKind) = try escape() }
            guard !isKind, !isHighKind, let first = low.ranges.first?.lowerBound,
                let last = high.ranges.first?.lowerBound, first <= last
            else { throw Problem(text: "a range that is none") }
            set = set.union(ScalarRanges([first...last]))
        }
        position += 1
        guard isInverted else { return set }
        // Dialects differ in which letters of other scripts are of a kind.
        return hasKinds ? set.inverted.intersection(Self.printable) : set.inverted
    }

    /// What follows a backslash, and whether it is a kind of characters.
    private mutating func escape() throws(Problem) -> (set: ScalarRanges, isKind: Bool) {
        guard let sign = current else { throw Problem(text: "the pattern ends early") }
        position += 1
        switch sign {
        case "d": return (Self.digits, true)
        case "D": return (Self.printable.subtracting(Self.digits), true)
        case "w": return (Self.word, true)
        case "W": return (Self.printable.subtracting(Self.word), true)
        case "s": return (Self.spaces, true)
        case "S": return (Self.printable.subtracting(Self.spaces), true)
        case "n": return (ScalarRanges(["\n"]), false)
        case "r": return (ScalarRanges(["\r"]), false)
        case "t": return (ScalarRanges(["\t"]), false)
        case "f": return (ScalarRanges(["\u{C}"]), false)
        case "v": return (ScalarRanges(["\u{B}"]), false)
        case "x": return (try escaped(digits: 2), false)
        case "u": return (try escaped(digits: 4), false)
        case "a"..."z", "A"..."Z", "0"..."9":
            throw Problem(text: "\\\(sign) is not supported")
        default: return (ScalarRanges([sign]), false)
        }
    }

    private mutating func escaped(digits: Int) throws(Problem) -> ScalarRanges {
        var value: UInt32 = 0
        for _ in 0..<digits {
            guard let scalar = current, scalar.isASCII,
                let digit = Character(scalar).hexDigitValue
            else { throw Problem(text: "expected \(digits) hexadecimal digits") }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        guard let scalar = Unicode.Scalar(value) else {
            throw Problem(text: "half a pair of surrogates")
        }
        return ScalarRanges([scalar])
    }

    /// One character of a set, as it is within a JSON string.
    private static func characters(_ set: ScalarRanges) -> Expression {
        let plain = ScalarRanges([0x20...0x21, 0x23...0x5B, 0x5D...0x10FFFF])
        var alternatives: [Expression] = []
        let unescaped = set.intersection(plain)
        if !unescaped.isEmpty { alternatives.append(.scalar(unescaped)) }
        // Of large sets, control characters that texts have.
        let size = set.ranges.reduce(0) { $0 + $1.count }
        let controls: [UInt32] = size > 64 ? [0x09, 0x0A, 0x0D] : Array(0...0x1F)
        for value in [0x22, 0x5C] + controls where set.contains(value) {
            guard let scalar = Unicode.Scalar(value) else { continue }
            alternatives.append(.bytes(OrderedJSON.escaped(scalar)))
        }
        return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
    }
}
