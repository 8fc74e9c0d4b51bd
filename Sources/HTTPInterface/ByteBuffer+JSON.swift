// JSON written by hand into a ByteBuffer: no intermediate tree, for it runs once for each token.

internal import JSON
package import NIOCore

extension ByteBuffer: JSONOutput {
    package mutating func append(_ byte: UInt8) { writeInteger(byte) }

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
}
