// How many bits the KV cache gives a number, and how that is written: `16`, `4`, `k8v4`.

/// Bits of a number in the KV cache, steps and minima not counted.
package enum KVBits: Int, Sendable, CaseIterable, Comparable {
    /// 32-bit floats: exact.
    case float = 32
    /// IEEE halves.
    case half = 16
    /// Codes with a step and a minimum for each token and KV head.
    case eight = 8
    /// Of values as of 8 bits; keys share theirs over the 64 tokens of a page in each channel, for
    /// keys differ by channel more than by token (KIVI, arXiv 2402.02750).
    case four = 4
    /// Codes with a step and a minimum for each group: keys 32 tokens of a channel, values 32
    /// channels of a token (KIVI, arXiv 2402.02750).
    case two = 2

    package static func < (first: Self, second: Self) -> Bool { first.rawValue < second.rawValue }

    /// Whether numbers are codes, and not floats.
    package var isCode: Bool { rawValue < 16 }
}

/// How keys and values are kept.
package struct KVFormat: Sendable, Hashable, CustomStringConvertible {
    package var keys: KVBits
    package var values: KVBits

    package init(keys: KVBits, values: KVBits) {
        self.keys = keys
        self.values = values
    }

    package init(_ bits: KVBits) { self.init(keys: bits, values: bits) }

    /// Reads `16`, or `k8v4`: bits of keys and of values.
    ///
    /// Nil for anything else.
    package init?(_ text: some StringProtocol) {
        func bits(_ digits: Substring) -> KVBits? {
            KVBits.allCases.first { String($0.rawValue) == digits }
        }
        let text = Substring(text)
        if let both = bits(text) {
            self.init(both)
            return
        }
        guard text.first == "k", let middle = text.firstIndex(of: "v"),
            let keys = bits(text[..<middle].dropFirst()),
            let values = bits(text[middle...].dropFirst())
        else { return nil }
        self.init(keys: keys, values: values)
    }

    /// Whether a page is only written when all its tokens are there.
    package var takesWholePages: Bool { keys <= .four || values == .two }

    package var description: String {
        keys == values ? "\(keys.rawValue)" : "k\(keys.rawValue)v\(values.rawValue)"
    }

    /// As a JSON value: a number where keys and values are alike.
    package var json: String { keys == values ? description : "\"\(description)\"" }

    /// The widths that there are, for messages.
    package static let choices = "32, 16, 8, 4 or 2, or of keys and values such as \"k8v4\""
}
