// The sets of characters that pre-tokenizers' expressions name, each under its expression.

/// A set of characters.
enum ScalarSet: Sendable {
    /// `\p{L}`
    case letters
    /// `\p{N}`
    case numbers
    /// `\p{P}`
    case punctuation
    /// `\S`
    case notSpace
    /// `[\r\n]`
    case newlines
    /// `[\p{P}$+<=>^~|]`
    case standardPunctuation
    /// ``[\p{P}$+<=>^~|`]``
    case falconPunctuation
    /// ``[\p{P}!-/:-@\[-`{-~]``
    case chameleonPunctuation
    /// ` ?[^(\s|.,!?…。，、।۔،)]+`: what is in no sentence's marks, as BLOOM lists them.
    case notSentenceMarks
    /// The letters of DeepSeek LLM's expression.
    case deepSeekLetters
    /// `[!-/:-~！-／：-～‘-‟　-。]`
    case deepSeekMarks
    /// `[一-龥ࠀ-一가-퟿]`
    case deepSeekIdeographs
    /// `[一-龥぀-ゟ゠-ヿ]`
    case ideographsAndKana
    /// AFMoE's ranges: Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese, and with U+8C48 to
    /// U+FAFF what is between the ideographs and their compatibility forms.
    case spacelessScripts

    /// Whether the expression that the reference runs sees the code point itself. It replaces white
    /// space beyond ASCII before that, so that none is in a range.
    fileprivate func contains(_ scalar: UInt32, _ kind: UnicodeClass) -> Bool {
        switch self {
        case .letters: kind == .letter
        case .numbers: kind == .number
        case .punctuation: kind == .punctuation
        case .notSpace: kind != .whitespace
        case .newlines: scalar == 0x0A || scalar == 0x0D
        case .standardPunctuation: kind == .punctuation || Self.isStandardSymbol(scalar)
        case .falconPunctuation:
            kind == .punctuation || Self.isStandardSymbol(scalar) || scalar == 0x60
        case .chameleonPunctuation:
            kind == .punctuation || kind == .symbol && scalar < 0x80
        case .notSentenceMarks: kind != .whitespace && !Self.isSentenceMark(scalar)
        case .deepSeekLetters: Self.isDeepSeekLetter(scalar, kind)
        case .deepSeekMarks: Self.isDeepSeekMark(scalar)
        case .deepSeekIdeographs: kind != .whitespace && Self.isDeepSeekIdeograph(scalar)
        case .ideographsAndKana: Self.isIdeographOrKana(scalar)
        case .spacelessScripts: Self.isSpacelessScript(scalar)
        }
    }

    private static func isStandardSymbol(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x24, 0x2B, 0x3C, 0x3D, 0x3E, 0x5E, 0x7E, 0x7C: true
        default: false
        }
    }

    private static func isSentenceMark(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x28, 0x29, 0x7C, 0x2E, 0x2C, 0x21, 0x3F, 0x2026, 0x3002, 0xFF0C, 0x3001, 0x0964,
            0x06D4, 0x060C:
            true
        default: false
        }
    }

    private static func isDeepSeekMark(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x21...0x2F, 0x3A...0x7E, 0xFF01...0xFF0F, 0xFF1A...0xFF5E, 0x2018...0x201F,
            0x3001...0x3002:
            true
        default: false
        }
    }

    private static func isDeepSeekIdeograph(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x0800...0x9FA5, 0xAC00...0xD7FF: true
        default: false
        }
    }

    static func isIdeographOrKana(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x4E00...0x9FA5, 0x3040...0x30FF: true
        default: false
        }
    }

    private static func isSpacelessScript(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x0E40...0x0EFF, 0x1000...0x109F, 0x1100...0x11FF, 0x1780...0x17FF, 0x2F00...0x2FDF,
            0x3040...0x30FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0x8C48...0xFAFF, 0xFF65...0xFF9F:
            true
        default: false
        }
    }

    /// `\p{Han}`, as Kimi K2's reference has it.
    static func isHan(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x2A6DF,
            0x2A700...0x2EBEF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }

    /// A letter of a script with upper and lower case, as DeepSeek's expression lists them.
    private static func isDeepSeekLetter(_ scalar: UInt32, _ kind: UnicodeClass) -> Bool {
        if scalar < 0x80 { return kind == .letter }
        var low = 0
        var high = deepSeekLetterRanges.count
        while low < high {
            let middle = (low + high) / 2
            if deepSeekLetterRanges[middle].upperBound < scalar {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low < deepSeekLetterRanges.count && deepSeekLetterRanges[low].contains(scalar)
    }
}

extension ScalarText {
    func isIn(_ set: ScalarSet, _ index: Int) -> Bool {
        set.contains(scalars[index], classes[index])
    }
}

/// The letters of DeepSeek LLM's expression, as its tokenizer lists them, ascending.
private let deepSeekLetterRanges: [ClosedRange<UInt32>] = [
    0x0041...0x005a, 0x0061...0x007a, 0x00b5...0x00b5, 0x00c0...0x00d6, 0x00d8...0x00f6,
    0x00f8...0x01ba, 0x01bc...0x01bf, 0x01c4...0x0293, 0x0295...0x02af, 0x0370...0x0373,
    0x0376...0x0376, 0x0377...0x0377, 0x037b...0x037d, 0x037f...0x037f, 0x0386...0x0386,
    0x0388...0x038a, 0x038c...0x038c, 0x038e...0x03a1, 0x03a3...0x03f5, 0x03f7...0x0481,
    0x048a...0x052f, 0x0531...0x0556, 0x10a0...0x10c5, 0x13a0...0x13f5, 0x13f8...0x13fd,
    0x1c90...0x1cba, 0x1cbd...0x1cbf, 0x1d00...0x1d2b, 0x1d6b...0x1d77, 0x1d79...0x1d9a,
    0x1e00...0x1f15, 0x1f18...0x1f1d, 0x1f20...0x1f45, 0x1f48...0x1f4d, 0x1f50...0x1f57,
    0x1f59...0x1f59, 0x1f5b...0x1f5b, 0x1f5d...0x1f5d, 0x1f5f...0x1f7d, 0x1f80...0x1fb4,
    0x1fb6...0x1fbc, 0x1fbe...0x1fbe, 0x1fc2...0x1fc4, 0x1fc6...0x1fcc, 0x1fd0...0x1fd3,
    0x1fd6...0x1fdb, 0x1fe0...0x1fec, 0x1ff2...0x1ff4, 0x1ff6...0x1ffc, 0x2102...0x2102,
    0x2107...0x2107, 0x210a...0x2113, 0x2115...0x2115, 0x2119...0x211d, 0x2124...0x2124,
    0x2126...0x2126, 0x2128...0x2128, 0x212a...0x212d, 0x212f...0x2134, 0x2139...0x2139,
    0x213c...0x213f, 0x2145...0x2149, 0x214e...0x214e, 0x2183...0x2183, 0x2184...0x2184,
    0x2c00...0x2c7b, 0x2c7e...0x2ce4, 0x2ceb...0x2cee, 0x2cf2...0x2cf2, 0x2cf3...0x2cf3,
    0xa640...0xa66d, 0xa680...0xa69b, 0xa722...0xa76f, 0xa771...0xa787, 0xa78b...0xa78e,
    0xab70...0xabbf, 0xfb00...0xfb06, 0xfb13...0xfb17, 0xff21...0xff3a, 0xff41...0xff5a,
    0x10400...0x1044f, 0x104b0...0x104d3, 0x104d8...0x104fb, 0x10c80...0x10cb2, 0x10cc0...0x10cf2,
    0x118a0...0x118df, 0x1e900...0x1e943
]
