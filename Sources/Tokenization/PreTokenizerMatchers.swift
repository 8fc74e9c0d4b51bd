// The matchers themselves, each under the regular expressions that it stands for. A match ends
// inside its piece, and looking ahead stops at the piece's end too.

extension ScalarText {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    func gpt2Match(from start: Int, to end: Int) -> Int {
        if let end = contractionEnd(from: start, to: end, ignoresCase: false) { return end }
        let isSpaced = scalars[start] == 0x20 && start + 1 < end
        let first = isSpaced ? start + 1 : start
        switch classes[first] {
        case .letter: return runEnd(of: .letter, from: first, to: end)
        case .number: return runEnd(of: .number, from: first, to: end)
        case .other, .punctuation: return runEnd(from: first, to: end, isMark)
        case .whitespace: return spaceEnd(from: start, to: end)
        }
    }

    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|`
    /// ` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+` with 3 as `digitsMax` is Llama 3's;
    /// with 1 it is Qwen 2's.
    func llama3Match(from start: Int, to end: Int, digitsMax: Int) -> Int {
        if let end = contractionEnd(from: start, to: end, ignoresCase: true) { return end }
        let kind = classes[start]
        if kind == .number {
            return runEnd(of: .number, from: start, to: min(end, start + digitsMax))
        }
        if kind == .letter { return runEnd(of: .letter, from: start, to: end) }
        if !isNewline(start), start + 1 < end, classes[start + 1] == .letter {
            return runEnd(of: .letter, from: start + 1, to: end)
        }
        let isSpaced = scalars[start] == 0x20 && start + 1 < end
        let first = isSpaced ? start + 1 : start
        if isMark(first) {
            let marksEnd = runEnd(from: first, to: end, isMark)
            return runEnd(from: marksEnd, to: end, isNewline)
        }
        let spaceEnd = runEnd(of: .whitespace, from: start, to: end)
        var newlinesEnd = spaceEnd
        while newlinesEnd > start, !isNewline(newlinesEnd - 1) { newlinesEnd -= 1 }
        return newlinesEnd > start ? newlinesEnd : self.spaceEnd(from: start, to: end)
    }

    /// `[\p{P}$+<=>^~|]+`
    fileprivate func isStandardPunctuation(_ index: Int) -> Bool {
        if classes[index] == .punctuation { return true }
        switch scalars[index] {
        case 0x24, 0x2B, 0x3C, 0x3D, 0x3E, 0x5E, 0x7E, 0x7C: return true
        default: return false
        }
    }

    /// `\s?[member]+`
    fileprivate func spacedRunEnd(
        from start: Int, to end: Int, _ isMember: (Int) -> Bool
    ) -> Int? {
        let first = classes[start] == .whitespace ? start + 1 : start
        let runEnd = runEnd(from: first, to: end, isMember)
        return runEnd > first ? runEnd : nil
    }

    /// `[!-/:-~！-／：-～‘-‟　-。]`. White space never is one, U+3000 neither: the reference replaces
    /// it before matching.
    fileprivate func isDeepSeekMark(_ index: Int) -> Bool {
        switch scalars[index] {
        case 0x21...0x2F, 0x3A...0x7E, 0xFF01...0xFF0F, 0xFF1A...0xFF5E, 0x2018...0x201F,
            0x3001...0x3002:
            return true
        default: return false
        }
    }

    /// `[一-龥ࠀ-一가-퟿]`, of which white space never is one.
    fileprivate func isDeepSeekIdeograph(_ index: Int) -> Bool {
        switch scalars[index] {
        case 0x0800...0x9FA5, 0xAC00...0xD7FF: return classes[index] != .whitespace
        default: return false
        }
    }

    /// A letter of a script with upper and lower case, as DeepSeek's expression lists them.
    fileprivate func isDeepSeekLetter(_ index: Int) -> Bool {
        let scalar = scalars[index]
        if scalar < 0x80 { return classes[index] == .letter }
        var low = 0
        var high = deepSeekLetters.count
        while low < high {
            let middle = (low + high) / 2
            if deepSeekLetters[middle].upperBound < scalar {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low < deepSeekLetters.count && deepSeekLetters[low].contains(scalar)
    }
}

extension Pieces {
    /// The default: `[\p{P}$+<=>^~|]+`, then GPT-2's, then `\p{N}+`, then `[0-9][0-9][0-9]`.
    mutating func splitAsStandard() {
        let text = text
        func run(_ start: Int, _ end: Int, _ isMember: (Int) -> Bool) -> Int? {
            let runEnd = text.runEnd(from: start, to: end, isMember)
            return runEnd > start ? runEnd : nil
        }
        split { run($0, $1, text.isStandardPunctuation) }
        split { text.gpt2Match(from: $0, to: $1) }
        split { run($0, $1) { text.classes[$0] == .number } }
        split { start, end in
            let digits = text.runEnd(from: start, to: min(end, start + 3)) {
                (0x30...0x39).contains(text.scalars[$0])
            }
            return digits == start + 3 ? digits : nil
        }
    }

    /// `[\r\n]`, then `\s?[letter]+`, then `\s?[mark]+`, then `\s+$`, then `[ideograph]+`, then
    /// `\p{N}+`.
    mutating func splitAsDeepSeekLLM() {
        let text = text
        split { start, _ in text.isNewline(start) ? start + 1 : nil }
        split { text.spacedRunEnd(from: $0, to: $1, text.isDeepSeekLetter) }
        split { text.spacedRunEnd(from: $0, to: $1, text.isDeepSeekMark) }
        splitOffTrailingSpace()
        split { start, end in
            let runEnd = text.runEnd(from: start, to: end, text.isDeepSeekIdeograph)
            return runEnd > start ? runEnd : nil
        }
        split { start, end in
            let runEnd = text.runEnd(of: .number, from: start, to: end)
            return runEnd > start ? runEnd : nil
        }
    }
}

/// The letters of DeepSeek LLM's expression, as its tokenizer lists them, ascending.
private let deepSeekLetters: [ClosedRange<UInt32>] = [
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
