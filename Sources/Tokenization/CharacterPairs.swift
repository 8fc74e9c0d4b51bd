// Which characters some merge has next to each other: text may be cut between all others, because
// nothing merges across.

/// Pairs of characters, kept as bits that a hash of each sets: a pair that was added is always
/// found, some others too.
struct CharacterPairs: Sendable {
    private static let bits = 1 << 18
    private var words = [UInt64](repeating: 0, count: bits / 64)
    /// Some text was not UTF-8: where its characters begin depends on what is before it.
    private var holdsAll = false

    var residentBytes: Int { words.count * 8 }

    /// A character's bytes as one number.
    static func packed(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Bytes of the character that begins with `lead`, which for invalid text is a guess.
    static func length(_ lead: UInt8) -> Int {
        switch lead {
        case 0xC0...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...: 4
        default: 1
        }
    }

    /// Adds every two neighbours in `text`.
    mutating func add(_ text: ArraySlice<UInt8>) {
        guard String(validating: text, as: UTF8.self) != nil else {
            holdsAll = true
            return
        }
        var last: UInt32?
        var start = text.startIndex
        while start < text.endIndex {
            let end = start + Self.length(text[start])
            let character = Self.packed(text[start..<end])
            if let last {
                let bit = Self.bit(last, character)
                words[bit / 64] |= 1 << UInt64(bit % 64)
            }
            last = character
            start = end
        }
    }

    func contains(_ left: UInt32, _ right: UInt32) -> Bool {
        let bit = Self.bit(left, right)
        return holdsAll || words[bit / 64] >> UInt64(bit % 64) & 1 == 1
    }

    private static func bit(_ left: UInt32, _ right: UInt32) -> Int {
        // A mix of all bits (SplitMix64's): the constant is 2^64 over the golden ratio.
        var pair = (UInt64(left) << 32 | UInt64(right)) &* 0x9E37_79B9_7F4A_7C15
        pair = (pair ^ pair >> 29) &* 0xBF58_476D_1CE4_E5B9
        return Int(pair >> 46)
    }
}
