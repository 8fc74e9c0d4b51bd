// What the pre-tokenizers need to know of a character. Categories come from a generated table of
// one Unicode version, not from the toolchain, so that ids are the same everywhere.

/// A character's class: Unicode's general categories L, N, P, S and M, White_Space, and the rest.
package enum UnicodeClass: UInt8 {
    case other, letter, number, punctuation, symbol, mark, whitespace

    package init(_ scalar: UInt32) {
        if scalar < 0x80 {
            self = asciiClasses[Int(scalar)]
        } else if Self.isWideSpace(scalar) {
            self = .whitespace
        } else {
            self = Self.category(scalar)
        }
    }

    /// White_Space beyond ASCII.
    private static func isWideSpace(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    private static func category(_ scalar: UInt32) -> UnicodeClass {
        var low = 0
        var high = unicodeClassBoundaries.count
        // The last boundary at or before the scalar is in low..<high.
        while high - low > 1 {
            let middle = (low + high) / 2
            if unicodeClassBoundaries[middle] >> 3 <= scalar { low = middle } else { high = middle }
        }
        switch unicodeClassBoundaries[low] & 7 {
        case 1: return .letter
        case 2: return .number
        case 3: return .punctuation
        case 4: return .symbol
        case 5: return .mark
        default: return .other
        }
    }

    fileprivate static func ascii(_ scalar: UInt8) -> UnicodeClass {
        switch scalar {
        case 0x09...0x0D, 0x20: .whitespace
        default: category(UInt32(scalar))
        }
    }
}

private let asciiClasses: [UnicodeClass] = (0..<128).map { UnicodeClass.ascii($0) }
