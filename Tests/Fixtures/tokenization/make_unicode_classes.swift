// Writes Sources/Tokenization/UnicodeClassTable.swift: the letters, numbers, punctuation, symbols
// and marks of one fixed Unicode version, so that token ids never depend on the toolchain that
// built the program.
//
// Run from the repository's root:
//     swift Tests/Fixtures/tokenization/make_unicode_classes.swift \
//         > Sources/Tokenization/UnicodeClassTable.swift

/// The version whose categories the pre-tokenizers' reference implementation uses.
let newestAge = (major: 15, minor: 1)

func classCode(_ value: UInt32) -> UInt32 {
    guard let scalar = Unicode.Scalar(value), let age = scalar.properties.age,
        (age.major, age.minor) <= newestAge
    else { return 0 }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
        return 1
    case .decimalNumber, .letterNumber, .otherNumber:
        return 2
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
        .initialPunctuation, .finalPunctuation, .otherPunctuation:
        return 3
    case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol:
        return 4
    case .nonspacingMark, .spacingMark, .enclosingMark:
        return 5
    default:
        return 0
    }
}

var boundaries: [UInt32] = []
var previous: UInt32 = .max
for value in UInt32(0)...0x10FFFF {
    let code = classCode(value)
    if code != previous { boundaries.append(value << 3 | code) }
    previous = code
}

func hexadecimal(_ value: UInt32) -> String {
    let digits = String(value, radix: 16)
    return "0x" + String(repeating: "0", count: 6 - digits.count) + digits
}

print(
    """
    // Made by Tests/Fixtures/tokenization/make_unicode_classes.swift; do not edit.

    /// Where the class of code points changes (Unicode \(newestAge.major).\(newestAge.minor)),
    /// ascending: the first code point shifted left by 3, plus 0 other, 1 letter, 2 number,
    /// 3 punctuation, 4 symbol, 5 mark.
    let unicodeClassBoundaries: [UInt32] = [
    """)
for start in stride(from: 0, to: boundaries.count, by: 9) {
    let row = boundaries[start..<min(start + 9, boundaries.count)]
    print("    " + row.map(hexadecimal).joined(separator: ", ") + ",")
}
print("]")
