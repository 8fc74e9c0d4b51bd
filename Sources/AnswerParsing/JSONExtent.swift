// Where a JSON value ends, byte by byte, without reading it.

struct JSONExtent: Sendable, Equatable {
    enum Step {
        /// The byte is part of the value.
        case inside
        /// It is the value's last.
        case last
        /// It comes after the value, which had no end of its own.
        case after
    }

    private var depth = 0
    private var isInString = false
    private var isEscaped = false
    private var isBare = false
    /// Whether a string is open.
    var isWithinString: Bool { isInString }

    /// - Precondition: the value's first byte is no white space.
    mutating func take(_ byte: UInt8) -> Step {
        if isInString {
            if isEscaped {
                isEscaped = false
            } else if byte == UInt8(ascii: "\\") {
                isEscaped = true
            } else if byte == UInt8(ascii: "\"") {
                isInString = false
                return depth == 0 ? .last : .inside
            }
            return .inside
        }
        switch byte {
        case UInt8(ascii: "\"") where !isBare: isInString = true
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            guard depth > 0 else { return .after }
            depth -= 1
            return depth == 0 ? .last : .inside
        case UInt8(ascii: ","), UInt8(ascii: "<"):
            return depth == 0 ? .after : .inside
        default:
            if depth == 0 {
                if byte.isSpace { return .after }
                isBare = true
            }
        }
        return .inside
    }
}

/// Texts as parts of JSON.
enum JSONText {
    /// Appends a byte of a string's content.
    static func append(_ byte: UInt8, to bytes: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
        case 0x0A: bytes += "\\n".utf8
        case 0x0D: bytes += "\\r".utf8
        case 0x09: bytes += "\\t".utf8
        case 0..<0x20:
            let digits = Array("0123456789abcdef".utf8)
            bytes += "\\u00".utf8
            bytes += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        default: bytes.append(byte)
        }
    }

    static func quoted(_ text: some Sequence<UInt8>) -> [UInt8] {
        var bytes = [UInt8(ascii: "\"")]
        for byte in text { append(byte, to: &bytes) }
        bytes.append(UInt8(ascii: "\""))
        return bytes
    }

    /// A byte of JSON that a model wrote: what may not be in a string as it is, a newline for
    /// instance, is escaped there.
    static func repaired(_ byte: UInt8, isWithinString: Bool) -> [UInt8] {
        guard isWithinString, byte < 0x20 else { return [byte] }
        var bytes: [UInt8] = []
        append(byte, to: &bytes)
        return bytes
    }
}
