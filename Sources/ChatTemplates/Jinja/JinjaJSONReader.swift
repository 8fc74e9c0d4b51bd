// JSON to values with the members of objects in their order, which templates print them in.

/// Reads JSON texts (RFC 8259), as Python's `json.loads` does of what is valid.
struct JinjaJSONReader {
    static let depthMax = 64

    private let text: MarkedText
    private var position = 0

    /// The value that `text` holds. Its strings keep their marks.
    static func read(_ text: MarkedText) throws(JinjaFault) -> JinjaValue {
        var reader = JinjaJSONReader(text: text)
        let value = try reader.value(0)
        reader.skipSpace()
        guard reader.position == text.count else { throw reader.fault("text after the value") }
        return value
    }

    private init(text: MarkedText) { self.text = text }

    private func fault(_ problem: String) -> JinjaFault {
        .failed("invalid JSON at byte \(position): \(problem)")
    }

    private var byte: UInt8 { position < text.count ? text.bytes[position] : 0 }

    private mutating func skipSpace() {
        while [0x20, 0x09, 0x0A, 0x0D].contains(byte) { position += 1 }
    }

    private mutating func value(_ depth: Int) throws(JinjaFault) -> JinjaValue {
        guard depth <= Self.depthMax else { throw fault("nested deeper than \(Self.depthMax)") }
        skipSpace()
        switch byte {
        case UInt8(ascii: "{"): return try object(depth)
        case UInt8(ascii: "["): return try array(depth)
        case UInt8(ascii: "\""): return .string(try string())
        default: break
        }
        let words: [(StaticString, JinjaValue)] = [
            ("true", .boolean(true)), ("false", .boolean(false)), ("null", .none)
        ]
        for (word, value) in words
        where text.bytes[position...].starts(with: word.description.utf8) {
            position += word.utf8CodeUnitCount
            return value
        }
        return try number()
    }

    private mutating func array(_ depth: Int) throws(JinjaFault) -> JinjaValue {
        position += 1
        var elements: [JinjaValue] = []
        skipSpace()
        if byte == UInt8(ascii: "]") {
            position += 1
            return .list([])
        }
        while true {
            elements.append(try value(depth + 1))
            skipSpace()
            let end = byte
            position += 1
            if end == UInt8(ascii: "]") { return .list(elements) }
            guard end == UInt8(ascii: ",") else { throw fault("expected ',' or ']'") }
        }
    }

    private mutating func object(_ depth: Int) throws(JinjaFault) -> JinjaValue {
        position += 1
        var dictionary = JinjaDictionary()
        skipSpace()
        if byte == UInt8(ascii: "}") {
            position += 1
            return .dictionary(dictionary)
        }
        while true {
            skipSpace()
            guard byte == UInt8(ascii: "\"") else { throw fault("expected a key") }
            let key = try string()
            skipSpace()
            guard byte == UInt8(ascii: ":") else { throw fault("expected ':'") }
            position += 1
            dictionary.set(.text(key.bytes), .string(key), try value(depth + 1))
            skipSpace()
            let end = byte
            position += 1
            if end == UInt8(ascii: "}") { return .dictionary(dictionary) }
            guard end == UInt8(ascii: ",") else { throw fault("expected ',' or '}'") }
        }
    }

    private mutating func digits() throws(JinjaFault) {
        let start = position
        while (0x30...0x39).contains(byte) { position += 1 }
        guard position > start else { throw fault("expected a value") }
    }

    private mutating func number() throws(JinjaFault) -> JinjaValue {
        let start = position
        if byte == UInt8(ascii: "-") { position += 1 }
        if byte == UInt8(ascii: "0") { position += 1 } else { try digits() }
        var isWhole = true
        if byte == UInt8(ascii: ".") {
            isWhole = false
            position += 1
            try digits()
        }
        if byte | 0x20 == UInt8(ascii: "e") {
            isWhole = false
            position += 1
            if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
        let digits = String(decoding: text.bytes[start..<position], as: UTF8.self)
        if isWhole, let value = Int(digits) { return .integer(value) }
        guard digits.utf8.count <= 128, let value = Double(digits), value.isFinite else {
            throw fault("a number out of range")
        }
        return .float(value)
    }

    private mutating func string() throws(JinjaFault) -> MarkedText {
        position += 1
        var result = MarkedText()
        var start = position
        while position < text.count {
            switch byte {
            case UInt8(ascii: "\""):
                result.append(text, start..<position)
                position += 1
                return result
            case UInt8(ascii: "\\"):
                result.append(text, start..<position)
                let isOutside = text.isOutside(at: position)
                position += 1
                result.append(String(try escape()), isOutside: isOutside)
                start = position
            case 0..<0x20: throw fault("a control character in a string")
            default: position += 1
            }
        }
        throw fault("a string without end")
    }

    private mutating func escape() throws(JinjaFault) -> Unicode.Scalar {
        let letter = byte
        position += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return .init(letter)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): break
        default: throw fault("an unknown escape")
        }
        let first = try unit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        let after = position
        if first < 0xDC00, byte == UInt8(ascii: "\\"), position + 1 < text.count,
            text.bytes[position + 1] == UInt8(ascii: "u")
        {
            position += 2
            let second = try unit()
            if (0xDC00...0xDFFF).contains(second),
                let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
            {
                return scalar
            }
        }
        position = after
        return "\u{FFFD}"
    }

    private mutating func unit() throws(JinjaFault) -> UInt32 {
        let digits = text.bytes[min(position, text.count)..<min(position + 4, text.count)]
        guard digits.count == 4, digits.first != UInt8(ascii: "+"),
            let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw fault("expected four hexadecimal digits") }
        position += 4
        return value
    }
}

extension JinjaValue {
    /// The value of a JSON text whose strings came from outside.
    package init(json bytes: [UInt8]) throws(JinjaJSONError) {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw JinjaJSONError(problem: "invalid JSON: not UTF-8")
        }
        do throws(JinjaFault) {
            self = try JinjaJSONReader.read(MarkedText(text, isOutside: true))
        } catch {
            throw JinjaJSONError(problem: error.problem)
        }
    }
}

/// Why a text is no JSON.
package struct JinjaJSONError: Error, Equatable, Sendable, CustomStringConvertible {
    package let problem: String

    package var description: String { problem }
}
