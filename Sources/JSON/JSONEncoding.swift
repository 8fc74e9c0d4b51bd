// JSON written by hand into a ByteBuffer: no intermediate tree, for it runs once for each token.

package import NIOCore

extension ByteBuffer {
    /// Appends `text` as a JSON string: quotes, backslashes and control characters escaped, and
    /// what some readers take for the end of a line (U+0085, U+2028, U+2029).
    package mutating func writeJSON(_ text: String) {
        writeInteger(UInt8(ascii: "\""))
        var bytes = text.utf8.makeIterator()
        while let byte = bytes.next() {
            switch byte {
            case UInt8(ascii: "\""): writeStaticString("\\\"")
            case UInt8(ascii: "\\"): writeStaticString("\\\\")
            case 0x0A: writeStaticString("\\n")
            case 0x0D: writeStaticString("\\r")
            case 0x09: writeStaticString("\\t")
            case 0..<0x20, 0x7F:
                writeStaticString("\\u00")
                writeInteger(Self.hexadecimalDigit(byte >> 4))
                writeInteger(Self.hexadecimalDigit(byte & 15))
            // U+0080 to U+009F are C2 80 to C2 9F; U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
            case 0xC2: writeJSON(second: bytes.next() ?? 0)
            case 0xE2: writeJSON(second: bytes.next() ?? 0, third: bytes.next() ?? 0)
            default: writeInteger(byte)
            }
        }
        writeInteger(UInt8(ascii: "\""))
    }

    /// Appends the character of two bytes that begins with C2.
    private mutating func writeJSON(second: UInt8) {
        guard second < 0xA0 else { return _ = writeBytes([0xC2, second]) }
        writeStaticString("\\u00")
        writeInteger(Self.hexadecimalDigit(second >> 4))
        writeInteger(Self.hexadecimalDigit(second & 15))
    }

    /// Appends the character of three bytes that begins with E2.
    private mutating func writeJSON(second: UInt8, third: UInt8) {
        switch (second, third) {
        case (0x80, 0xA8): writeStaticString("\\u2028")
        case (0x80, 0xA9): writeStaticString("\\u2029")
        default: writeBytes([0xE2, second, third])
        }
    }

    /// Appends a string, or `null`.
    package mutating func writeJSON(_ text: String?) {
        if let text { writeJSON(text) } else { writeStaticString("null") }
    }

    /// Appends a number with at most three decimals; JSON has no infinities, they become 0.
    package mutating func writeJSON(milli value: Double) {
        let rounded = (value * 1000).rounded() / 1000
        writeString(rounded.isFinite ? "\(rounded)" : "0")
    }

    /// Appends a log-probability; minus infinity is OpenAI's -9999.
    package mutating func writeJSON(logProbability value: Float) {
        writeString(value.isFinite ? "\(value)" : "-9999.0")
    }

    private static func hexadecimalDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}
