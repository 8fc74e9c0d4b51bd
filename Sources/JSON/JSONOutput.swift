// Strings as JSON, byte by byte into whatever collects them.

/// What JSON text is appended to.
package protocol JSONOutput {
    mutating func append(_ byte: UInt8)
}

extension [UInt8]: JSONOutput {}

extension JSONOutput {
    /// Appends `text` as a JSON string: quotes, backslashes and control characters escaped, and
    /// what some readers take for the end of a line (U+0085, U+2028, U+2029).
    package mutating func writeJSON(_ text: String) {
        append(UInt8(ascii: "\""))
        var bytes = text.utf8.makeIterator()
        while let byte = bytes.next() {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): escape(byte)
            case 0x0A: escape(UInt8(ascii: "n"))
            case 0x0D: escape(UInt8(ascii: "r"))
            case 0x09: escape(UInt8(ascii: "t"))
            case 0..<0x20, 0x7F: escape(number: UInt16(byte))
            // U+0080 to U+009F are C2 80 to C2 9F; U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
            case 0xC2: writeJSON(second: bytes.next() ?? 0)
            case 0xE2: writeJSON(second: bytes.next() ?? 0, third: bytes.next() ?? 0)
            default: append(byte)
            }
        }
        append(UInt8(ascii: "\""))
    }

    /// Appends the character of two bytes that begins with C2.
    private mutating func writeJSON(second: UInt8) {
        if second < 0xA0 { return escape(number: UInt16(second)) }
        append(0xC2)
        append(second)
    }

    /// Appends the character of three bytes that begins with E2.
    private mutating func writeJSON(second: UInt8, third: UInt8) {
        if second == 0x80, third == 0xA8 || third == 0xA9 {
            return escape(number: 0x2000 + UInt16(third & 0x7F))
        }
        append(0xE2)
        append(second)
        append(third)
    }

    private mutating func escape(_ byte: UInt8) {
        append(UInt8(ascii: "\\"))
        append(byte)
    }

    private mutating func escape(number: UInt16) {
        escape(UInt8(ascii: "u"))
        for shift in [12, 8, 4, 0] {
            let digit = UInt8(truncatingIfNeeded: number >> shift) & 15
            append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }
}
