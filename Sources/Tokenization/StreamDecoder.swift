// From tokens' bytes to text as it is generated: a token may end in the middle of a character.

/// Decodes UTF-8 piece by piece, giving out whole characters only.
///
/// Bytes that are no UTF-8 become U+FFFD, one for each maximal subpart (The Unicode Standard,
/// section 3.9, "U+FFFD Substitution of Maximal Subparts"), however the bytes are divided.
package struct StreamDecoder: Sendable {
    /// The beginning of a character: at most 3 bytes, all acceptable so far.
    private var held: [UInt8] = []

    package init() {}

    /// The characters that `bytes` complete.
    package mutating func append(_ bytes: some Sequence<UInt8>) -> String {
        var whole: [UInt8] = []
        for byte in bytes {
            if !held.isEmpty {
                if Self.isAcceptable(byte, after: held) {
                    held.append(byte)
                    if held.count == Self.length(held[0]) {
                        whole += held
                        held.removeAll(keepingCapacity: true)
                    }
                    continue
                }
                whole += Self.replacement
                held.removeAll(keepingCapacity: true)
            }
            switch Self.length(byte) {
            case 0: whole += Self.replacement
            case 1: whole.append(byte)
            default: held.append(byte)
            }
        }
        return String(decoding: whole, as: UTF8.self)
    }

    /// What an unfinished character at the end becomes: U+FFFD, or nothing where there is none.
    package mutating func finish() -> String {
        defer { held.removeAll() }
        return held.isEmpty ? "" : "\u{FFFD}"
    }

    private static let replacement: [UInt8] = [0xEF, 0xBF, 0xBD]

    /// Bytes of the character that begins with `lead`; 0 where none does.
    private static func length(_ lead: UInt8) -> Int {
        switch lead {
        case 0x00...0x7F: 1
        case 0xC2...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...0xF4: 4
        default: 0
        }
    }

    /// Whether `byte` may follow the beginning of a character (The Unicode Standard, table 3-7).
    private static func isAcceptable(_ byte: UInt8, after beginning: [UInt8]) -> Bool {
        if beginning.count > 1 { return (0x80...0xBF).contains(byte) }
        return switch beginning[0] {
        case 0xE0: (0xA0...0xBF).contains(byte)
        case 0xED: (0x80...0x9F).contains(byte)
        case 0xF0: (0x90...0xBF).contains(byte)
        case 0xF4: (0x80...0x8F).contains(byte)
        default: (0x80...0xBF).contains(byte)
        }
    }
}
