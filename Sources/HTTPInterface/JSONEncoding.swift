// JSON written by hand into a ByteBuffer: no intermediate tree, for it runs once for each token.

package import NIOCore

extension ByteBuffer {
    /// Appends `text` as a JSON string: quotes, backslashes and control characters escaped.
    package mutating func writeJSON(_ text: String) {
        writeInteger(UInt8(ascii: "\""))
        for byte in text.utf8 {
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
            default: writeInteger(byte)
            }
        }
        writeInteger(UInt8(ascii: "\""))
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
