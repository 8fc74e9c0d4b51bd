// JSON with its members in the order in which they were written, and its numbers as they were
// written: what a schema's text says beyond its values.

internal import JSON

/// A value of a schema.
indirect enum OrderedJSON: Equatable, Sendable {
    struct Member: Equatable, Sendable {
        let name: String
        var value: OrderedJSON
    }

    case null
    case boolean(Bool)
    /// As it was written.
    case number(String)
    case string(String)
    case array([OrderedJSON])
    case object([Member])

    /// - Throws: `JSONError`
    static func parse(_ text: String, valuesMax: Int) throws(JSONError) -> OrderedJSON {
        let bytes = Array(text.utf8)
        // Limits, and whatever is wrong with it, are the reader's to tell.
        _ = try JSONParser.parse(bytes.span, valuesMax: valuesMax)
        var scanner = OrderedScanner(bytes: bytes)
        return scanner.value()
    }

    /// A member of an object; nil for a missing one, and for any other kind of value.
    subscript(_ name: String) -> OrderedJSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    var members: [Member]? { if case .object(let members) = self { members } else { nil } }
    var string: String? { if case .string(let text) = self { text } else { nil } }
    var array: [OrderedJSON]? { if case .array(let elements) = self { elements } else { nil } }
    var boolean: Bool? { if case .boolean(let flag) = self { flag } else { nil } }

    /// A whole number, however it was written.
    var whole: Int64? {
        guard case .number(let text) = self else { return nil }
        return (try? JSONParser.parse(Array(text.utf8)))?.whole
    }

    var double: Double? {
        guard case .number(let text) = self else { return nil }
        return (try? JSONParser.parse(Array(text.utf8)))?.double
    }

    /// The value's text, as short as readers like it.
    var text: [UInt8] {
        switch self {
        case .null: Array("null".utf8)
        case .boolean(let flag): Array("\(flag)".utf8)
        case .number(let text): Array(text.utf8)
        case .string(let text): Self.quoted(text)
        case .array(let elements):
            Array("[".utf8) + elements.map(\.text).joined(separator: Array(", ".utf8))
                + Array("]".utf8)
        case .object(let members):
            Array("{".utf8)
                + members.map { Self.quoted($0.name) + Array(": ".utf8) + $0.value.text }
                .joined(separator: Array(", ".utf8)) + Array("}".utf8)
        }
    }

    /// A string with nothing escaped that need not be.
    static func quoted(_ text: String) -> [UInt8] {
        Array("\"".utf8) + text.unicodeScalars.flatMap { escaped($0) } + Array("\"".utf8)
    }

    /// A character as it is within a string.
    static func escaped(_ scalar: Unicode.Scalar) -> [UInt8] {
        switch scalar {
        case "\"": Array("\\\"".utf8)
        case "\\": Array("\\\\".utf8)
        case "\n": Array("\\n".utf8)
        case "\r": Array("\\r".utf8)
        case "\t": Array("\\t".utf8)
        case "\u{0}"..."\u{1F}":
            Array("\\u00\(scalar.value < 16 ? "0" : "1")".utf8)
                + Array(String(scalar.value % 16, radix: 16).utf8)
        default: Array(String(Character(scalar)).utf8)
        }
    }
}

/// Goes through valid JSON; anything else gives values that mean nothing.
private struct OrderedScanner {
    let bytes: [UInt8]
    private var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func value() -> OrderedJSON {
        skipSpace()
        switch current {
        case UInt8(ascii: "{"): return object()
        case UInt8(ascii: "["): return array()
        case UInt8(ascii: "\""): return .string(string())
        default: return word()
        }
    }

    private mutating func skipSpace() {
        while let byte = current, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { position += 1 }
    }

    private mutating func object() -> OrderedJSON {
        var members: [OrderedJSON.Member] = []
        position += 1
        while current != nil {
            skipSpace()
            guard current == UInt8(ascii: "\"") else { break }
            let name = string()
            skipSpace()
            position += 1
            members.append(OrderedJSON.Member(name: name, value: value()))
            skipSpace()
            guard current == UInt8(ascii: ",") else { break }
            position += 1
        }
        position += 1
        return .object(members)
    }

    private mutating func array() -> OrderedJSON {
        var elements: [OrderedJSON] = []
        position += 1
        while current != nil {
            skipSpace()
            if current == UInt8(ascii: "]") { break }
            elements.append(value())
            skipSpace()
            guard current == UInt8(ascii: ",") else { break }
            position += 1
        }
        position += 1
        return .array(elements)
    }

    private mutating func string() -> String {
        let start = position
        position += 1
        while let byte = current, byte != UInt8(ascii: "\"") {
            position += byte == UInt8(ascii: "\\") ? 2 : 1
        }
        position = min(position + 1, bytes.count)
        return (try? JSONParser.parse(Array(bytes[start..<position])))?.string ?? ""
    }

    private mutating func word() -> OrderedJSON {
        let start = position
        while let byte = current, byte > 0x20, !"[]{},:\"".utf8.contains(byte) { position += 1 }
        // Never stands still.
        if position == start { position += 1 }
        let text = String(decoding: bytes[start..<min(position, bytes.count)], as: UTF8.self)
        switch text {
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        case "null": return .null
        default: return .number(text)
        }
    }
}
