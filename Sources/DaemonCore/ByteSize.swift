// Sizes as users write them: `1536M`, `2G`. Binary suffixes, checked.

/// A number of bytes written with a binary suffix.
package enum ByteSize {
    /// The bytes that `text` means: digits, then nothing, `B`, or `K`, `M`, `G`, `T` (powers of
    /// 1024, also `KiB` or `KB` and so on, any case). nil when it is anything else or exceeds 64
    /// bits.
    package static func parse(_ text: String) -> UInt64? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard !digits.isEmpty, let count = UInt64(digits) else { return nil }
        var suffix = text.dropFirst(digits.count).lowercased()
        if suffix.hasSuffix("ib"), suffix.count == 3 {
            suffix.removeLast(2)
        } else if suffix.hasSuffix("b") {
            suffix.removeLast()
        }
        let shifts = ["": 0, "k": 10, "m": 20, "g": 30, "t": 40]
        guard let shift = shifts[suffix] else { return nil }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: 1 << UInt64(shift))
        return overflow ? nil : bytes
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
