// A template's text to tokens, as Jinja 3.1 does with trim_blocks and lstrip_blocks, which is how
// chat templates are meant.

struct JinjaToken {
    enum Kind: Equatable {
        case text(MarkedText)
        case blockBegin, blockEnd, variableBegin, variableEnd
        case name(String)
        case string([UInt8])
        case integer(Int)
        case float(Double)
        case symbol(String)
        case end
    }

    let kind: Kind
    /// In bytes of the source.
    let offset: Int

    func isName(_ name: String) -> Bool { kind == .name(name) }
    func isSymbol(_ symbol: String) -> Bool { kind == .symbol(symbol) }
}

struct JinjaLexer {
    let source: [UInt8]
    /// Where reading is, also of errors.
    private(set) var position = 0
    private var tokens: [JinjaToken] = []
    private var lineStarts = true

    init(source: [UInt8]) { self.source = source }

    /// One kind of newline, and none at the end.
    static func normalized(_ text: String) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        var last: UInt8 = 0
        for byte in text.utf8 {
            if byte == 0x0D || byte == 0x0A && last != 0x0D {
                bytes.append(0x0A)
            } else if byte != 0x0A {
                bytes.append(byte)
            }
            last = byte
        }
        if bytes.last == 0x0A { bytes.removeLast() }
        return bytes
    }

    mutating func read() throws(JinjaFault) -> [JinjaToken] {
        while position < source.count {
            guard let begin = nextBegin() else {
                addText(position..<source.count)
                position = source.count
                break
            }
            try readMarked(begin)
        }
        tokens.append(JinjaToken(kind: .end, offset: source.count))
        return tokens
    }

    private func byte(_ offset: Int) -> UInt8 { offset < source.count ? source[offset] : 0 }

    private func starts(_ text: StaticString, at offset: Int) -> Bool {
        source[min(offset, source.count)...].starts(with: text.description.utf8)
    }

    private func nextBegin() -> Int? {
        var offset = position
        while let found = source[offset...].firstIndex(of: UInt8(ascii: "{")) {
            switch byte(found + 1) {
            case UInt8(ascii: "%"), UInt8(ascii: "{"), UInt8(ascii: "#"): return found
            default: offset = found + 1
            }
        }
        return nil
    }

    private mutating func addText(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        let text = MarkedText(bytes: Array(source[range]), isOutside: false)
        tokens.append(JinjaToken(kind: .text(text), offset: range.lowerBound))
    }

    /// The text before a mark, of which a sign or `lstrip_blocks` may take the end.
    private mutating func addText(before begin: Int, sign: UInt8, isVariable: Bool) {
        var end = begin
        if sign == UInt8(ascii: "-") {
            let text = MarkedText(bytes: Array(source[position..<begin]), isOutside: false)
            end = position + text.trimmed(nil, .end).count
        } else if sign != UInt8(ascii: "+"), !isVariable {
            let text = source[position..<begin]
            let line = text.lastIndex(of: 0x0A).map { $0 + 1 }
            if line != nil || lineStarts {
                let rest = MarkedText(
                    bytes: Array(source[(line ?? position)..<begin]), isOutside: false)
                if rest.trimmed().isEmpty { end = line ?? position }
            }
        }
        addText(position..<end)
    }

    private mutating func readMarked(_ begin: Int) throws(JinjaFault) {
        let mark = byte(begin + 1)
        let sign = byte(begin + 2)
        let isSigned = sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+")
        let isVariable = mark == UInt8(ascii: "{")
        addText(before: begin, sign: isSigned ? sign : 0, isVariable: isVariable)
        position = begin
        let inside = begin + (isSigned ? 3 : 2)
        lineStarts = false
        if mark == UInt8(ascii: "#") { return try readComment(inside) }
        if !isVariable, let raw = rawEnd(inside) { return try readRaw(raw) }
        tokens.append(
            JinjaToken(kind: isVariable ? .variableBegin : .blockBegin, offset: begin))
        position = inside
        try readCode(isVariable: isVariable, begin: begin)
    }

    private mutating func readComment(_ inside: Int) throws(JinjaFault) {
        var offset = inside
        while offset < source.count {
            let sign = byte(offset)
            let isSigned = sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+")
            if starts("#}", at: isSigned ? offset + 1 : offset) {
                endMark(offset + (isSigned ? 3 : 2), sign: isSigned ? sign : 0, trims: true)
                return
            }
            offset += 1
        }
        throw JinjaFault(.syntax, "a comment without its end '#}'")
    }

    /// Goes on behind a mark that ends at `end`.
    private mutating func endMark(_ end: Int, sign: UInt8, trims: Bool) {
        position = end
        if sign == UInt8(ascii: "-") {
            position = skippingSpace(end)
        } else if sign == 0, trims, byte(end) == 0x0A {
            position += 1
        }
        lineStarts = position > end && source[position - 1] == 0x0A
    }

    private func skippingSpace(_ start: Int) -> Int {
        var offset = start
        while offset < source.count {
            if source[offset] < 0x80 {
                guard MarkedText.isSpace(source[offset]) else { break }
                offset += 1
            } else {
                var end = offset + 1
                while end < source.count, source[end] & 0xC0 == 0x80 { end += 1 }
                let scalars = String(decoding: source[offset..<end], as: UTF8.self).unicodeScalars
                guard let scalar = scalars.first, MarkedText.isSpace(scalar) else { break }
                offset = end
            }
        }
        return offset
    }

    // MARK: raw

    /// The end of a `raw` tag whose inside begins at `inside`, or nil where it is another tag.
    private func rawEnd(_ inside: Int) -> Int? {
        let word = skippingSpace(inside)
        guard starts("raw", at: word) else { return nil }
        let end = skippingSpace(word + 3)
        if starts("-%}", at: end) { return skippingSpace(end + 3) }
        return starts("%}", at: end) ? end + 2 : nil
    }

    private mutating func readRaw(_ start: Int) throws(JinjaFault) {
        var offset = start
        while offset < source.count {
            if starts("{%", at: offset) {
                let sign = byte(offset + 2)
                let isSigned = sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+")
                let word = skippingSpace(offset + (isSigned ? 3 : 2))
                let end = skippingSpace(word + 6)
                let endSign = byte(end)
                let endIsSigned = endSign == UInt8(ascii: "-") || endSign == UInt8(ascii: "+")
                if starts("endraw", at: word), starts("%}", at: endIsSigned ? end + 1 : end) {
                    position = start
                    lineStarts = source[start - 1] == 0x0A
                    addText(before: offset, sign: isSigned ? sign : 0, isVariable: false)
                    endMark(
                        end + (endIsSigned ? 3 : 2), sign: endIsSigned ? endSign : 0, trims: true)
                    return
                }
            }
            offset += 1
        }
        throw JinjaFault(.syntax, "'raw' without 'endraw'")
    }

    // MARK: code

    private mutating func readCode(isVariable: Bool, begin: Int) throws(JinjaFault) {
        var open: [UInt8] = []
        while true {
            position = skippingSpace(position)
            guard position < source.count else {
                position = begin
                throw JinjaFault(.syntax, "a tag without its end")
            }
            if open.isEmpty, readEnd(isVariable: isVariable) { return }
            let start = position
            let kind = try readToken()
            if case .symbol(let symbol) = kind { try balance(symbol, &open, start) }
            tokens.append(JinjaToken(kind: kind, offset: start))
        }
    }

    private mutating func readEnd(isVariable: Bool) -> Bool {
        let end: StaticString = isVariable ? "}}" : "%}"
        let sign = byte(position)
        let isSigned = sign == UInt8(ascii: "-") || !isVariable && sign == UInt8(ascii: "+")
        guard starts(end, at: isSigned ? position + 1 : position) else { return false }
        tokens.append(
            JinjaToken(kind: isVariable ? .variableEnd : .blockEnd, offset: position))
        endMark(position + (isSigned ? 3 : 2), sign: isSigned ? sign : 0, trims: !isVariable)
        return true
    }

    private mutating func balance(
        _ symbol: String, _ open: inout [UInt8], _ start: Int
    ) throws(JinjaFault) {
        guard let byte = symbol.utf8.first else { return }
        switch byte {
        case UInt8(ascii: "("), UInt8(ascii: "["), UInt8(ascii: "{"): open.append(byte)
        case UInt8(ascii: ")"), UInt8(ascii: "]"), UInt8(ascii: "}"):
            let opening: UInt8 = byte == UInt8(ascii: ")") ? UInt8(ascii: "(") : byte - 2
            guard open.popLast() == opening else {
                position = start
                throw JinjaFault(.syntax, "unexpected '\(symbol)'")
            }
        default: break
        }
    }

    private static let symbols: [StaticString] = [
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{",
        "}", ">", "<", "=", ".", ":", "|", ",", ";"
    ]

    private mutating func readToken() throws(JinjaFault) -> JinjaToken.Kind {
        let first = source[position]
        if (0x30...0x39).contains(first) { return try readNumber() }
        if first == UInt8(ascii: "'") || first == UInt8(ascii: "\"") {
            return .string(try readString(quote: first))
        }
        if first >= 0x80 || first == UInt8(ascii: "_") || first.isLetter {
            let start = position
            while position < source.count, source[position].isNamePart { position += 1 }
            return .name(String(decoding: source[start..<position], as: UTF8.self))
        }
        for symbol in Self.symbols where starts(symbol, at: position) {
            position += symbol.utf8CodeUnitCount
            return .symbol(symbol.description)
        }
        let scalar = String(decoding: [first], as: UTF8.self).unicodeScalars.first ?? "?"
        throw JinjaFault(.syntax, "unexpected character '\(scalar.escaped(asASCII: true))'")
    }

    private mutating func digits(_ isDigit: (UInt8) -> Bool) -> String {
        var text = ""
        while position < source.count {
            let isGap =
                source[position] == UInt8(ascii: "_") && !text.isEmpty
                && isDigit(byte(position + 1))
            guard isGap || isDigit(source[position]) else { break }
            if !isGap { text.unicodeScalars.append(Unicode.Scalar(source[position])) }
            position += 1
        }
        return text
    }

    private mutating func readNumber() throws(JinjaFault) -> JinjaToken.Kind {
        let isDecimal: (UInt8) -> Bool = { (0x30...0x39).contains($0) }
        let radix =
            byte(position) != 0x30
            ? 10
            : [UInt8(ascii: "x"): 16, UInt8(ascii: "o"): 8, UInt8(ascii: "b"): 2][
                byte(position + 1) | 0x20] ?? 10
        if radix != 10 {
            position += 2
            let text = digits { byte in
                Character(Unicode.Scalar(byte)).hexDigitValue.map { $0 < radix } ?? false
            }
            guard let value = Int(text, radix: radix) else {
                throw JinjaFault(.syntax, "a number that is none, or too large")
            }
            return .integer(value)
        }
        let followsDot = position > 0 && source[position - 1] == UInt8(ascii: ".")
        var text = digits(isDecimal)
        var isFloat = false
        if !followsDot, byte(position) == UInt8(ascii: "."), isDecimal(byte(position + 1)) {
            position += 1
            text += "." + digits(isDecimal)
            isFloat = true
        }
        if !followsDot, byte(position) | 0x20 == UInt8(ascii: "e") {
            let next = byte(position + 1)
            let isSigned = next == UInt8(ascii: "+") || next == UInt8(ascii: "-")
            if isDecimal(byte(position + (isSigned ? 2 : 1))) {
                text += isSigned && next == UInt8(ascii: "-") ? "e-" : "e"
                position += isSigned ? 2 : 1
                text += digits(isDecimal)
                isFloat = true
            }
        }
        if isFloat, let value = Double(text) { return .float(value) }
        guard !isFloat, let value = Int(text) else {
            throw JinjaFault(.syntax, "a number that is too large")
        }
        return .integer(value)
    }
}

extension UInt8 {
    fileprivate var isLetter: Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20) }

    fileprivate var isNamePart: Bool {
        self >= 0x80 || self == UInt8(ascii: "_") || isLetter || (0x30...0x39).contains(self)
    }
}

// MARK: - Strings

extension JinjaLexer {
    private mutating func readString(quote: UInt8) throws(JinjaFault) -> [UInt8] {
        let start = position
        var bytes: [UInt8] = []
        position += 1
        while position < source.count {
            let next = source[position]
            position += 1
            if next == quote { return bytes }
            if next == UInt8(ascii: "\\") {
                try readEscape(into: &bytes)
            } else {
                bytes.append(next)
            }
        }
        position = start
        throw JinjaFault(.syntax, "a string without its end")
    }

    private mutating func readEscape(into bytes: inout [UInt8]) throws(JinjaFault) {
        let next = byte(position)
        position += 1
        switch next {
        case UInt8(ascii: "n"): bytes.append(0x0A)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "r"): bytes.append(0x0D)
        case UInt8(ascii: "a"): bytes.append(0x07)
        case UInt8(ascii: "b"): bytes.append(0x08)
        case UInt8(ascii: "f"): bytes.append(0x0C)
        case UInt8(ascii: "v"): bytes.append(0x0B)
        case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): bytes.append(next)
        case 0x0A: break
        case UInt8(ascii: "x"): try readScalar(digits: 2, into: &bytes)
        case UInt8(ascii: "u"): try readScalar(digits: 4, into: &bytes)
        case UInt8(ascii: "U"): try readScalar(digits: 8, into: &bytes)
        case 0x30...0x37:
            var value = UInt32(next - 0x30)
            var count = 1
            while count < 3, (0x30...0x37).contains(byte(position)) {
                value = value << 3 | UInt32(byte(position) - 0x30)
                position += 1
                count += 1
            }
            bytes += String(Unicode.Scalar(value) ?? "\u{FFFD}").utf8
        default: bytes += [UInt8(ascii: "\\"), next]
        }
    }

    private mutating func readScalar(
        digits count: Int, into bytes: inout [UInt8]
    ) throws(JinjaFault) {
        let digits = source[position..<min(position + count, source.count)]
        let text = String(decoding: digits, as: UTF8.self)
        guard digits.count == count, digits.first != UInt8(ascii: "+"),
            let value = UInt32(text, radix: 16),
            let scalar = Unicode.Scalar(value)
        else { throw JinjaFault(.syntax, "an escape that is no character") }
        position += count
        bytes += String(scalar).utf8
    }
}
