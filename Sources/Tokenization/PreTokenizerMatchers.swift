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
        case .other, .punctuation, .symbol, .mark: return runEnd(from: first, to: end, isSign)
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
        if isSign(first) {
            let signsEnd = runEnd(from: first, to: end, isSign)
            return runEnd(from: signsEnd, to: end, isNewline)
        }
        return newlinesOrSpaceEnd(from: start, to: end)
    }

    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|`
    /// ` ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    func qwen35Match(from start: Int, to end: Int) -> Int {
        if let end = contractionEnd(from: start, to: end, ignoresCase: true) { return end }
        if classes[start] == .number { return start + 1 }
        func isMarkedLetter(_ index: Int) -> Bool {
            classes[index] == .letter || classes[index] == .mark
        }
        if !isNewline(start),
            isMarkedLetter(start) || start + 1 < end && isMarkedLetter(start + 1)
        {
            return runEnd(from: start + 1, to: end, isMarkedLetter)
        }
        let isSpaced = scalars[start] == 0x20 && start + 1 < end
        let first = isSpaced ? start + 1 : start
        func isBareSign(_ index: Int) -> Bool { isSign(index) && classes[index] != .mark }
        if isBareSign(first) {
            let signsEnd = runEnd(from: first, to: end, isBareSign)
            return runEnd(from: signsEnd, to: end, isNewline)
        }
        return newlinesOrSpaceEnd(from: start, to: end)
    }

    /// `[^\r\n\p{L}\p{N}]?` before a word in one case, below, then `\p{N}`, then
    /// ` ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    func tekkenMatch(from start: Int, to end: Int) -> Int {
        if let end = casedWordEnd(from: start, to: end) { return end }
        if classes[start] == .number { return start + 1 }
        return signsOrSpaceEnd(from: start, to: end)
    }

    /// As Tekken's, with an English contraction at the end of a word, and `\p{N}{1,3}`.
    func gpt4oMatch(from start: Int, to end: Int) -> Int {
        if let wordEnd = casedWordEnd(from: start, to: end) {
            guard wordEnd < end else { return wordEnd }
            return contractionEnd(from: wordEnd, to: end, ignoresCase: true) ?? wordEnd
        }
        if classes[start] == .number {
            return runEnd(of: .number, from: start, to: min(end, start + 3))
        }
        return signsOrSpaceEnd(from: start, to: end)
    }

    /// ` ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    private func signsOrSpaceEnd(from start: Int, to end: Int) -> Int {
        let isSpaced = scalars[start] == 0x20 && start + 1 < end
        let first = isSpaced ? start + 1 : start
        if isSign(first) {
            let signsEnd = runEnd(from: first, to: end, isSign)
            return runEnd(from: signsEnd, to: end) { isNewline($0) || scalars[$0] == 0x2F }
        }
        return newlinesOrSpaceEnd(from: start, to: end)
    }

    /// `[^\r\n\p{L}\p{N}]?U*W+|[^\r\n\p{L}\p{N}]?U+W*`, where U is any letter but `a` to `z`,
    /// and W any but `A` to `Z`: the reference takes other letters for both.
    private func casedWordEnd(from start: Int, to end: Int) -> Int? {
        var first = start
        if isSign(start) || classes[start] == .whitespace, !isNewline(start) { first += 1 }
        guard first < end, classes[first] == .letter else { return nil }
        func isLower(_ index: Int) -> Bool {
            classes[index] == .letter && !(0x41...0x5A).contains(scalars[index])
        }
        let upperEnd = runEnd(from: first, to: end) {
            classes[$0] == .letter && !(0x61...0x7A).contains(scalars[$0])
        }
        if upperEnd < end, isLower(upperEnd) { return runEnd(from: upperEnd, to: end, isLower) }
        // The first way gives letters back until one is also lower; the second takes them all.
        var last = upperEnd
        while last > first, !isLower(last - 1) { last -= 1 }
        return last > first ? last : upperEnd
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

extension ScalarText {
    /// `[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|`
    /// ` ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, which matches no number but one
    /// before a word.
    fileprivate func deepSeekV3Match(from start: Int, to end: Int) -> Int? {
        func isASCIILetter(_ index: Int) -> Bool {
            scalars[index] < 0x80 && classes[index] == .letter
        }
        func isMarkedLetter(_ index: Int) -> Bool {
            classes[index] == .letter || classes[index] == .mark
        }
        func isVisible(_ index: Int) -> Bool {
            classes[index] == .punctuation || classes[index] == .symbol
        }
        if scalars[start] < 0x80, isVisible(start), start + 1 < end, isASCIILetter(start + 1) {
            return runEnd(from: start + 1, to: end, isASCIILetter)
        }
        if isMarkedLetter(start) { return runEnd(from: start, to: end, isMarkedLetter) }
        if !isNewline(start), !isVisible(start), start + 1 < end, isMarkedLetter(start + 1) {
            return runEnd(from: start + 1, to: end, isMarkedLetter)
        }
        let isSpaced = scalars[start] == 0x20 && start + 1 < end
        let first = isSpaced ? start + 1 : start
        if isVisible(first) {
            let signsEnd = runEnd(from: first, to: end, isVisible)
            return runEnd(from: signsEnd, to: end, isNewline)
        }
        guard classes[start] == .whitespace else { return nil }
        return newlinesOrSpaceEnd(from: start, to: end)
    }

    /// `[一-龥぀-ゟ゠-ヿ]`
    fileprivate func isDeepSeekV3Ideograph(_ index: Int) -> Bool {
        switch scalars[index] {
        case 0x4E00...0x9FA5, 0x3040...0x30FF: true
        default: false
        }
    }

    fileprivate func isDigit(_ index: Int) -> Bool { (0x30...0x39).contains(scalars[index]) }

    /// `[member]+`
    fileprivate func run(_ start: Int, _ end: Int, _ isMember: (Int) -> Bool) -> Int? {
        let runEnd = runEnd(from: start, to: end, isMember)
        return runEnd > start ? runEnd : nil
    }

    /// `[0-9][0-9][0-9]`
    fileprivate func threeDigits(_ start: Int, _ end: Int) -> Int? {
        let digitsEnd = runEnd(from: start, to: min(end, start + 3), isDigit)
        return digitsEnd == start + 3 ? digitsEnd : nil
    }
}

extension Pieces {
    /// The default: `[\p{P}$+<=>^~|]+`, then GPT-2's, then `\p{N}+`, then `[0-9][0-9][0-9]`.
    mutating func splitAsStandard() {
        let text = text
        split { text.run($0, $1, text.isStandardPunctuation) }
        split { text.gpt2Match(from: $0, to: $1) }
        split { text.run($0, $1) { text.classes[$0] == .number } }
        split(text.threeDigits)
    }

    /// ``[\p{P}$+<=>^~|`]+``, then GPT-2's, then `[0-9][0-9][0-9]`.
    mutating func splitAsFalcon() {
        let text = text
        split {
            text.run($0, $1) { text.isStandardPunctuation($0) || text.scalars[$0] == 0x60 }
        }
        split { text.gpt2Match(from: $0, to: $1) }
        split(text.threeDigits)
    }

    /// `[\r\n]`, then `\s?[letter]+`, then `\s?[mark]+`, then `\s+$`, then `[ideograph]+`, then
    /// `\p{N}+`.
    mutating func splitAsDeepSeekLLM() {
        let text = text
        split { start, _ in text.isNewline(start) ? start + 1 : nil }
        split { text.spacedRunEnd(from: $0, to: $1, text.isDeepSeekLetter) }
        split { text.spacedRunEnd(from: $0, to: $1, text.isDeepSeekMark) }
        splitOffTrailingSpace()
        split { text.run($0, $1, text.isDeepSeekIdeograph) }
        split { text.run($0, $1) { text.classes[$0] == .number } }
    }

    /// `[\r\n]`, then `\s?\p{L}+`, then `\s?\p{P}+`, then `[ideograph]+`, then `\p{N}`.
    mutating func splitAsDeepSeekCoder() {
        let text = text
        split { start, _ in text.isNewline(start) ? start + 1 : nil }
        split { text.spacedRunEnd(from: $0, to: $1) { text.classes[$0] == .letter } }
        split { text.spacedRunEnd(from: $0, to: $1) { text.classes[$0] == .punctuation } }
        split { text.run($0, $1, text.isDeepSeekIdeograph) }
        split { start, _ in text.classes[start] == .number ? start + 1 : nil }
    }

    /// `\p{N}{1,3}`, then `[一-龥぀-ゟ゠-ヿ]+`, then the expression above.
    mutating func splitAsDeepSeekV3() {
        let text = text
        split { start, end in
            text.run(start, min(end, start + 3)) { text.classes[$0] == .number }
        }
        split { text.run($0, $1, text.isDeepSeekV3Ideograph) }
        split { text.deepSeekV3Match(from: $0, to: $1) }
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
