// Text as code points with their classes, the form that pre-tokenizers work on. Bytes that are not
// UTF-8 become U+FFFD here, and only here: SentencePiece keeps them.

/// How often matchers looked at a scalar, which a test holds linear in the text.
final class LookCounter {
    var count = 0
}

/// Code points and their classes, index by index.
struct ScalarText {
    private(set) var scalars: [UInt32] = []
    private(set) var classes: [UnicodeClass] = []

    /// Shared with copies, so that a matcher's looks count for its text.
    let looks = LookCounter()

    var count: Int { scalars.count }

    /// Decodes as the reference implementation does: a sequence of the right shape is taken even
    /// where it is overlong or a surrogate, and every byte of none becomes a U+FFFD of its own.
    /// With `escapesSpaces`, U+2581 stands for a space, as in SentencePiece.
    init(utf8 bytes: ArraySlice<UInt8>, escapesSpaces: Bool = false) {
        scalars.reserveCapacity(bytes.count)
        classes.reserveCapacity(bytes.count)
        var index = bytes.startIndex
        while index < bytes.endIndex {
            var scalar = Self.decode(bytes, &index)
            if escapesSpaces, scalar == 0x20 { scalar = 0x2581 }
            scalars.append(scalar)
            classes.append(UnicodeClass(scalar))
        }
    }

    /// Bytes of the first `count` code points of `bytes`.
    static func byteCount(ofFirst count: Int, of bytes: ArraySlice<UInt8>) -> Int {
        var index = bytes.startIndex
        for _ in 0..<count { _ = decode(bytes, &index) }
        return index - bytes.startIndex
    }

    private static func decode(_ bytes: ArraySlice<UInt8>, _ index: inout Int) -> UInt32 {
        let lead = bytes[index]
        let length: Int
        var scalar: UInt32
        switch lead {
        case 0x00...0x7F: (length, scalar) = (1, UInt32(lead))
        case 0xC0...0xDF: (length, scalar) = (2, UInt32(lead & 0x1F))
        case 0xE0...0xEF: (length, scalar) = (3, UInt32(lead & 0x0F))
        case 0xF0...0xF7: (length, scalar) = (4, UInt32(lead & 0x07))
        default: (length, scalar) = (0, 0)
        }
        guard length > 0, bytes.endIndex - index >= length else {
            index += 1
            return 0xFFFD
        }
        for offset in 1..<max(length, 1) {
            let byte = bytes[index + offset]
            guard byte & 0xC0 == 0x80 else {
                index += 1
                return 0xFFFD
            }
            scalar = scalar << 6 | UInt32(byte & 0x3F)
        }
        guard scalar <= 0x10FFFF else {
            index += 1
            return 0xFFFD
        }
        index += length
        return scalar
    }

    /// Appends the UTF-8 form of the scalars in `range` (surrogates as three bytes).
    func appendUTF8(_ range: Range<Int>, to bytes: inout [UInt8]) {
        for index in range { Self.appendUTF8(scalars[index], to: &bytes) }
    }

    static func appendUTF8(_ scalar: UInt32, to bytes: inout [UInt8]) {
        func continuation(_ shift: UInt32) -> UInt8 {
            UInt8(truncatingIfNeeded: 0x80 | (scalar >> shift) & 0x3F)
        }
        switch scalar {
        case 0..<0x80:
            bytes.append(UInt8(scalar))
        case 0x80..<0x800:
            bytes.append(UInt8(0xC0 | scalar >> 6))
            bytes.append(continuation(0))
        case 0x800..<0x10000:
            bytes.append(UInt8(0xE0 | scalar >> 12))
            bytes.append(continuation(6))
            bytes.append(continuation(0))
        default:
            bytes.append(UInt8(truncatingIfNeeded: 0xF0 | scalar >> 18))
            bytes.append(continuation(12))
            bytes.append(continuation(6))
            bytes.append(continuation(0))
        }
    }
}
