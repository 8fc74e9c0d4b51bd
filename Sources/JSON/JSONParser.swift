// The JSON reader: one pass over borrowed bytes, recursion bounded by `depthMax`.

/// Reads one JSON text (RFC 8259). The bytes are passed to each step, not stored.
package struct JSONParser {
    /// Deepest nesting of arrays and objects.
    package static let depthMax = 64
    /// Most values in one text, unless the caller says less: bounds the tree's memory, about 100
    /// bytes for each.
    package static let valuesMax = 1 << 18
    /// Longest number in characters.
    package static let numberLengthMax = 128

    private var position = 0
    private var values = 0
    private let valuesMax: Int

    private init(valuesMax: Int) { self.valuesMax = valuesMax }

    /// The value that `bytes` hold, with nothing but white space around it.
    package static func parse(
        _ bytes: Span<UInt8>, valuesMax: Int = valuesMax
    ) throws(JSONError) -> JSONValue {
        var parser = JSONParser(valuesMax: valuesMax)
        let value = try parser.value(bytes, depth: 0)
        parser.skipSpace(bytes)
        guard parser.position == bytes.count else {
            throw parser.error("unexpected text after the value")
        }
        return value
    }

    /// As `parse(_:)`, for text that is at hand as an array.
    package static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
        try parse(bytes.span)
    }

    private func error(_ problem: String) -> JSONError {
        JSONError(offset: position, problem: problem)
    }

    private mutating func skipSpace(_ bytes: Span<UInt8>) {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    /// The next byte that is not white space, left in place.
    private mutating func peek(_ bytes: Span<UInt8>) throws(JSONError) -> UInt8 {
        skipSpace(bytes)
        guard position < bytes.count else { throw error("the text ends early") }
        return bytes[position]
    }

    private mutating func value(_ bytes: Span<UInt8>, depth: Int) throws(JSONError) -> JSONValue {
        values += 1
        guard values <= valuesMax else { throw error("more than \(valuesMax) values") }
        switch try peek(bytes) {
        case UInt8(ascii: "{"): return try object(bytes, depth: depth + 1)
        case UInt8(ascii: "["): return try array(bytes, depth: depth + 1)
        case UInt8(ascii: "\""): return .string(try string(bytes))
        case UInt8(ascii: "t"): return try literal(bytes, "true", .boolean(true))
        case UInt8(ascii: "f"): return try literal(bytes, "false", .boolean(false))
        case UInt8(ascii: "n"): return try literal(bytes, "null", .null)
        default: return try number(bytes)
        }
    }

    private mutating func literal(
        _ bytes: Span<UInt8>, _ text: StaticString, _ value: JSONValue
    ) throws(JSONError) -> JSONValue {
        for character in text.description.utf8 {
            guard position < bytes.count, bytes[position] == character else {
                throw error("unexpected character")
            }
            position += 1
        }
        return value
    }

    private mutating func array(_ bytes: Span<UInt8>, depth: Int) throws(JSONError) -> JSONValue {
        guard depth <= Self.depthMax else { throw error("nested deeper than \(Self.depthMax)") }
        position += 1
        var elements: [JSONValue] = []
        if try peek(bytes) == UInt8(ascii: "]") {
            position += 1
            return .array(elements)
        }
        while true {
            elements.append(try value(bytes, depth: depth))
            switch try peek(bytes) {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "]"):
                position += 1
                return .array(elements)
            default: throw error("expected ',' or ']'")
            }
        }
    }

    private mutating func object(_ bytes: Span<UInt8>, depth: Int) throws(JSONError) -> JSONValue {
        guard depth <= Self.depthMax else { throw error("nested deeper than \(Self.depthMax)") }
        position += 1
        var members: [String: JSONValue] = [:]
        if try peek(bytes) == UInt8(ascii: "}") {
            position += 1
            return .object(members)
        }
        while true {
            guard try peek(bytes) == UInt8(ascii: "\"") else { throw error("expected a key") }
            let keyPosition = position
            let key = try string(bytes)
            guard try peek(bytes) == UInt8(ascii: ":") else { throw error("expected ':'") }
            position += 1
            let member = try value(bytes, depth: depth)
            guard members.updateValue(member, forKey: key) == nil else {
                position = keyPosition
                throw error("a key appears twice")
            }
            switch try peek(bytes) {
            case UInt8(ascii: ","): position += 1
            case UInt8(ascii: "}"):
                position += 1
                return .object(members)
            default: throw error("expected ',' or '}'")
            }
        }
    }
}

// MARK: numbers

extension JSONParser {
    private mutating func digits(_ bytes: Span<UInt8>, into text: inout String) throws(JSONError) {
        let start = position
        while position < bytes.count, case let byte = bytes[position], byte >= 0x30, byte <= 0x39 {
            guard text.utf8.count < Self.numberLengthMax else { throw error("number too long") }
            text.unicodeScalars.append(Unicode.Scalar(byte))
            position += 1
        }
        guard position > start else { throw error("expected a digit") }
    }

    private mutating func take(
        _ bytes: Span<UInt8>, _ choices: [UInt8], into text: inout String
    ) -> Bool {
        guard position < bytes.count, choices.contains(bytes[position]) else { return false }
        text.unicodeScalars.append(Unicode.Scalar(bytes[position]))
        position += 1
        return true
    }

    private mutating func number(_ bytes: Span<UInt8>) throws(JSONError) -> JSONValue {
        let start = position
        var text = ""
        var isInteger = true
        let isNegative = take(bytes, [UInt8(ascii: "-")], into: &text)
        let first = position < bytes.count ? bytes[position] : 0
        guard first >= 0x30, first <= 0x39 else { throw error("unexpected character") }
        try digits(bytes, into: &text)
        guard first != 0x30 || text.utf8.count == (isNegative ? 2 : 1) else {
            throw error("a number with a leading zero")
        }
        if take(bytes, [UInt8(ascii: ".")], into: &text) {
            isInteger = false
            try digits(bytes, into: &text)
        }
        if take(bytes, [UInt8(ascii: "e"), UInt8(ascii: "E")], into: &text) {
            isInteger = false
            _ = take(bytes, [UInt8(ascii: "+"), UInt8(ascii: "-")], into: &text)
            try digits(bytes, into: &text)
        }
        if isInteger, let value = Int64(text) { return .integer(value) }
        if isInteger, let value = UInt64(text) { return .unsigned(value) }
        guard let value = Double(text), value.isFinite else {
            position = start
            throw error("number out of range")
        }
        return .number(value)
    }
}

// MARK: strings

extension JSONParser {
    /// Bytes that are copied at a time: beside the text itself there is never another copy of it.
    private static let pieceBytesMax = 4 << 10

    private mutating func string(_ bytes: Span<UInt8>) throws(JSONError) -> String {
        let start = position
        position += 1
        var text = ""
        text.reserveCapacity(stringLengthMax(bytes))
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                position += 1
                return text
            case UInt8(ascii: "\\"):
                position += 1
                try escape(bytes, into: &text)
            case 0..<0x20: throw error("a control character in a string")
            default: try appendPiece(bytes, start, &text)
            }
        }
        throw error("a string without end")
    }

    /// Bytes up to the quote that ends the string: no fewer than its text has.
    private func stringLengthMax(_ bytes: Span<UInt8>) -> Int {
        var end = position
        while end < bytes.count, bytes[end] != UInt8(ascii: "\"") {
            end += bytes[end] == UInt8(ascii: "\\") ? 2 : 1
        }
        return end - position
    }

    /// Appends a piece of the string that begins at `start`, without escapes, of whole characters.
    private mutating func appendPiece(
        _ bytes: Span<UInt8>, _ start: Int, _ text: inout String
    ) throws(JSONError) {
        var end = position
        let endMax = min(bytes.count, position + Self.pieceBytesMax)
        while end < endMax, bytes[end] >= 0x20, bytes[end] != UInt8(ascii: "\""),
            bytes[end] != UInt8(ascii: "\\")
        { end += 1 }
        if end == endMax, end < bytes.count {
            let whole = max(position + 1, end - 3)
            while end > whole, bytes[end] & 0xC0 == 0x80 { end -= 1 }
        }
        do {
            text.append(
                String(copying: try UTF8Span(validating: bytes.extracting(position..<end))))
        } catch {
            position = start
            throw self.error("a string that is not UTF-8")
        }
        position = end
    }

    private mutating func escape(
        _ bytes: Span<UInt8>, into text: inout String
    ) throws(JSONError) {
        guard position < bytes.count else { throw error("a string without end") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"):
            text.unicodeScalars.append(Unicode.Scalar(byte))
        case UInt8(ascii: "b"): text.unicodeScalars.append("\u{8}")
        case UInt8(ascii: "f"): text.unicodeScalars.append("\u{C}")
        case UInt8(ascii: "n"): text.unicodeScalars.append("\n")
        case UInt8(ascii: "r"): text.unicodeScalars.append("\r")
        case UInt8(ascii: "t"): text.unicodeScalars.append("\t")
        case UInt8(ascii: "u"): text.unicodeScalars.append(try escapedScalar(bytes))
        default:
            position -= 1
            throw error("an unknown escape")
        }
    }

    /// The scalar of `\uXXXX`, or of a surrogate pair of them, after the first `\u`. Half a pair is
    /// U+FFFD: clients cut texts by UTF-16 units, and would send what they cut in every later turn.
    private mutating func escapedScalar(
        _ bytes: Span<UInt8>
    ) throws(JSONError) -> Unicode.Scalar {
        let first = try hexadecimal(bytes)
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard first < 0xDC00, position + 1 < bytes.count,
            bytes[position] == UInt8(ascii: "\\"), bytes[position + 1] == UInt8(ascii: "u")
        else { return "\u{FFFD}" }
        let end = position
        position += 2
        let second = try hexadecimal(bytes)
        guard (0xDC00...0xDFFF).contains(second),
            let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
        else {
            // What follows is another escape, to be read for itself.
            position = end
            return "\u{FFFD}"
        }
        return scalar
    }

    private mutating func hexadecimal(_ bytes: Span<UInt8>) throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard position < bytes.count,
                let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue
            else { throw error("expected four hexadecimal digits") }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}
