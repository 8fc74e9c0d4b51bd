// Sizes as users write them, and as we print them: `1536M`, `2G`, `22.2 MiB`. Binary suffixes,
// checked.

/// A number of bytes written with a binary suffix.
package enum ByteSize {
    /// Most digits after the point: their power of ten fits 64 bits.
    private static let decimalsMax = 18

    /// The bytes that `text` means: digits, perhaps with a fraction, then nothing, `B`, or `K`,
    /// `M`, `G`, `T` (powers of 1024, also `KiB` or `KB` and so on, any case), perhaps after a
    /// space. A fraction is rounded up to whole bytes. nil when it is anything else or exceeds 64
    /// bits.
    package static func parse(_ text: String) -> UInt64? {
        let scalars = text.unicodeScalars
        let number = scalars.prefix { ("0"..."9").contains($0) || $0 == "." }
        var suffix = Substring(scalars.dropFirst(number.count)).lowercased()
        if suffix.hasPrefix(" ") { suffix.removeFirst() }
        if suffix.hasSuffix("ib"), suffix.count == 3 {
            suffix.removeLast(2)
        } else if suffix.hasSuffix("b") {
            suffix.removeLast()
        }
        let shifts: [String: UInt64] = ["": 0, "k": 10, "m": 20, "g": 30, "t": 40]
        let parts = number.split(separator: ".", omittingEmptySubsequences: false)
        guard let shift = shifts[suffix], parts.count <= 2, let count = UInt64(Substring(parts[0]))
        else { return nil }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: 1 << shift)
        guard !overflow else { return nil }
        guard parts.count == 2 else { return bytes }
        guard shift > 0, let more = fraction(Substring(parts[1]), shift: shift) else { return nil }
        let (sum, exceeds) = bytes.addingReportingOverflow(more)
        return exceeds ? nil : sum
    }

    /// The bytes, rounded up, of `0.digits` times a power of two.
    private static func fraction(_ digits: Substring, shift: UInt64) -> UInt64? {
        guard digits.utf8.count <= decimalsMax, let count = UInt64(digits) else { return nil }
        let scale = digits.utf8.reduce(UInt64(1)) { scale, _ in scale * 10 }
        // Below 2^shift, as the digits are below the scale.
        let product = count.multipliedFullWidth(by: 1 << shift)
        let (quotient, remainder) = scale.dividingFullWidth(product)
        return quotient + (remainder > 0 ? 1 : 0)
    }

    /// `bytes` for reading, with the largest suffix that leaves at least 1: `1.5 GiB`.
    package static func format(_ bytes: UInt64) -> String {
        let names = ["B", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(bytes)
        var index = 0
        while value >= 1024, index + 1 < names.count {
            value /= 1024
            index += 1
        }
        guard index > 0 else { return "\(bytes) B" }
        let tenths = (value * 10).rounded() / 10
        return tenths >= 100 ? "\(Int(tenths)) \(names[index])" : "\(tenths) \(names[index])"
    }
}
