// The matchers themselves, each under the regular expressions that it stands for. A match ends
// inside its piece, and looking ahead stops at the piece's end too.

extension ScalarText {
    /// Where the run of scalars that satisfy `isMember` ends, from `start`, before `end`.
    func runEnd(from start: Int, to end: Int, _ isMember: (Int) -> Bool) -> Int {
        var index = start
        while index < end, isMember(index) { index += 1 }
        looks.count += index - start + 1
        return index
    }

    /// Where the run of scalars that satisfy `isMember` and ends at `end` begins, after `start`.
    func runStart(to end: Int, after start: Int, _ isMember: (Int) -> Bool) -> Int {
        var index = end
        while index > start, isMember(index - 1) { index -= 1 }
        looks.count += end - index + 1
        return index
    }

    func runEnd(of kind: UnicodeClass, from start: Int, to end: Int) -> Int {
        runEnd(from: start, to: end) { classes[$0] == kind }
    }

    /// `[member]+` at `first`, or at `start` where there is no `first`; nil where there is none.
    func run(_ start: Int, _ end: Int, from first: Int? = nil, _ isMember: (Int) -> Bool) -> Int? {
        let first = first ?? start
        let runEnd = runEnd(from: first, to: end, isMember)
        return runEnd > first ? runEnd : nil
    }

    /// Whether the scalar is neither white space nor a letter nor a number.
    func isSign(_ index: Int) -> Bool {
        switch classes[index] {
        case .other, .punctuation, .symbol, .mark: true
        case .letter, .number, .whitespace: false
        }
    }

    func isNewline(_ index: Int) -> Bool { isIn(.newlines, index) }

    func isDigit(_ index: Int) -> Bool { (0x30...0x39).contains(scalars[index]) }

    private func isMarkedLetter(_ index: Int) -> Bool {
        classes[index] == .letter || classes[index] == .mark
    }

    /// Where an English contraction (`'s 't 're 've 'm 'll 'd`) at `start` ends, or nil.
    private func contractionEnd(from start: Int, to end: Int, ignoresCase: Bool) -> Int? {
        guard start + 1 < end, scalars[start] == 0x27 else { return nil }
        func letter(_ index: Int) -> UInt32 {
            let scalar = scalars[index]
            return ignoresCase && (0x41...0x5A).contains(scalar) ? scalar + 0x20 : scalar
        }
        let first = letter(start + 1)
        if first == 0x73 || first == 0x74 || first == 0x6D || first == 0x64 { return start + 2 }
        guard start + 2 < end else { return nil }
        switch (first, letter(start + 2)) {
        case (0x72, 0x65), (0x76, 0x65), (0x6C, 0x6C): return start + 3
        default: return nil
        }
    }
}

// MARK: - Words, signs and white space

extension ScalarText {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    func gpt2Match(from start: Int, to end: Int) -> Int? {
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

    /// A contraction, `[^\r\n\p{L}\p{N}]?` and a word, `\p{N}{1,digitsMax}`,
    /// ` ?[^\s\p{L}\p{N}]+` and what ends signs, `\s*[\r\n]+|\s+(?!\S)|\s+`.
    func match(_ pattern: WordPattern, from start: Int, to end: Int) -> Int {
        if pattern.contractions == .alone,
            let end = contractionEnd(from: start, to: end, ignoresCase: true)
        {
            return end
        }
        if let wordEnd = wordEnd(pattern.words, from: start, to: end) {
            // Han never has what precedes a word; nor has it a contraction.
            let isHan = pattern.words == .hanOrLetters && ScalarSet.isHan(scalars[start])
            guard pattern.contractions == .inWords, !isHan else { return wordEnd }
            return contractionEnd(from: wordEnd, to: end, ignoresCase: true) ?? wordEnd
        }
        if classes[start] == .number {
            return runEnd(of: .number, from: start, to: min(end, start + pattern.digitsMax))
        }
        func isOfSigns(_ index: Int) -> Bool {
            isSign(index) && !(pattern.excludesMarks && classes[index] == .mark)
        }
        let isSpaced = scalars[start] == 0x20 && start + 1 < end
        if let signsEnd = run(start, end, from: isSpaced ? start + 1 : start, isOfSigns) {
            return self.signsEnd(pattern.signsEnd, from: signsEnd, to: end)
        }
        return newlinesEnd(from: start, to: end) ?? spaceEnd(from: start, to: end)
    }

    private func signsEnd(_ what: WordPattern.SignsEnd, from start: Int, to end: Int) -> Int {
        func isNewlineOrSlash(_ index: Int) -> Bool { isNewline(index) || scalars[index] == 0x2F }
        return switch what {
        case .nothing: start
        case .newlines: runEnd(from: start, to: end, isNewline)
        case .newlinesOrSlashes: runEnd(from: start, to: end, isNewlineOrSlash)
        case .oneNewlineOrSlash: runEnd(from: start, to: min(end, start + 1), isNewlineOrSlash)
        }
    }

    /// `\s*[\r\n]+`: white space up to its last newline.
    private func newlinesEnd(from start: Int, to end: Int) -> Int? {
        let spaceEnd = runEnd(of: .whitespace, from: start, to: end)
        let newlinesEnd = runStart(to: spaceEnd, after: start) { !isNewline($0) }
        return newlinesEnd > start ? newlinesEnd : nil
    }

    /// `\s+(?!\S)|\s+`: white space up to, not including, the last one before a word.
    private func spaceEnd(from start: Int, to end: Int) -> Int {
        let runEnd = runEnd(of: .whitespace, from: start, to: end)
        return runEnd - start > 1 && runEnd < end ? runEnd - 1 : runEnd
    }
}

// MARK: - Words

extension ScalarText {
    /// `[^\r\n\p{L}\p{N}]?` and a word, or nil.
    private func wordEnd(_ words: WordPattern.Words, from start: Int, to end: Int) -> Int? {
        let mayPrecede = (isSign(start) || classes[start] == .whitespace) && !isNewline(start)
        let first = mayPrecede ? start + 1 : start
        switch words {
        case .letters:
            return run(start, end, from: first) { classes[$0] == .letter }
        case .markedLetters:
            // A mark is a word where no word follows it.
            return run(start, end, from: first, isMarkedLetter)
                ?? run(start, end, isMarkedLetter)
        case .cased: return casedWordEnd(from: start, first, to: end) { classes[$0] == .letter }
        case .markedCased: return casedWordEnd(from: start, first, to: end, isMarkedLetter)
        case .spacedLetters:
            guard first < end, classes[first] == .letter else { return nil }
            return runEnd(from: first, to: end) {
                isMarkedLetter($0)
                    || scalars[$0] == 0x20 && $0 + 1 < end && classes[$0 + 1] == .letter
            }
        case .hanOrLetters:
            func isHan(_ index: Int) -> Bool { ScalarSet.isHan(scalars[index]) }
            if isHan(start) { return runEnd(from: start, to: end, isHan) }
            return run(start, end, from: first) { classes[$0] == .letter && !isHan($0) }
        }
    }

    /// `[^\r\n\p{L}\p{N}]?U*W+|[^\r\n\p{L}\p{N}]?U+W*`, where U is any member but `a` to `z`, and
    /// W any but `A` to `Z`. `first` is after what may precede.
    private func casedWordEnd(
        from start: Int, _ first: Int, to end: Int, _ isMember: (Int) -> Bool
    ) -> Int? {
        func isLower(_ index: Int) -> Bool {
            isMember(index) && !(0x41...0x5A).contains(scalars[index])
        }
        /// `U*`, and `U*W+`, from `first`.
        func ends(_ first: Int) -> (upper: Int, word: Int?) {
            let upperEnd = runEnd(from: first, to: end) {
                isMember($0) && !(0x61...0x7A).contains(scalars[$0])
            }
            if upperEnd < end, isLower(upperEnd) {
                return (upperEnd, runEnd(from: upperEnd, to: end, isLower))
            }
            // The first way gives letters back until one is also lower; the second takes them all.
            let last = runStart(to: upperEnd, after: first) { !isLower($0) }
            return (upperEnd, last > first ? last : nil)
        }
        let (upperEnd, wordEnd) = ends(first)
        if let wordEnd { return wordEnd }
        // A mark may precede, or be what the word begins with.
        if first > start, isMember(start), let wordEnd = ends(start).word { return wordEnd }
        return upperEnd > first ? upperEnd : nil
    }
}

// MARK: - What single families have

extension ScalarText {
    /// `[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|`
    /// ` ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, which matches no number but one
    /// before a word. Where it does not join newlines, signs end before them, and `[\r\n]` is what
    /// is before `\s+(?!\S)`.
    func deepSeekV3Match(from start: Int, to end: Int, joinsNewlines: Bool) -> Int? {
        func isASCIILetter(_ index: Int) -> Bool {
            scalars[index] < 0x80 && classes[index] == .letter
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
        if let signsEnd = run(start, end, from: isSpaced ? start + 1 : start, isVisible) {
            return joinsNewlines ? runEnd(from: signsEnd, to: end, isNewline) : signsEnd
        }
        guard classes[start] == .whitespace else { return nil }
        if joinsNewlines {
            return newlinesEnd(from: start, to: end) ?? spaceEnd(from: start, to: end)
        }
        return isNewline(start) ? start + 1 : spaceEnd(from: start, to: end)
    }

    /// `([\t\n]|    |  )`
    func indentMatch(from start: Int, to end: Int) -> Int? {
        if scalars[start] == 0x09 || scalars[start] == 0x0A { return start + 1 }
        let spaces = runEnd(from: start, to: min(end, start + 4)) { scalars[$0] == 0x20 } - start
        return spaces == 4 ? start + 4 : spaces >= 2 ? start + 2 : nil
    }

    /// `<sentinel:[0-9]+>|IMGIMG[A-I]{1,4}Z`
    func chameleonMatch(from start: Int, to end: Int) -> Int? {
        if hasPrefix(Self.sentinel, from: start, to: end) {
            let digits = start + Self.sentinel.count
            let digitsEnd = runEnd(from: digits, to: end, isDigit)
            return digitsEnd > digits && digitsEnd < end && scalars[digitsEnd] == 0x3E
                ? digitsEnd + 1 : nil
        }
        guard hasPrefix(Self.image, from: start, to: end) else { return nil }
        let letters = start + Self.image.count
        let lettersEnd = runEnd(from: letters, to: min(end, letters + 4)) {
            (0x41...0x49).contains(scalars[$0])
        }
        return lettersEnd > letters && lettersEnd < end && scalars[lettersEnd] == 0x5A
            ? lettersEnd + 1 : nil
    }

    /// Where what may become `<sentinel:[0-9]+>` begins, if the text ends in such.
    var openSentinel: Int? {
        guard let start = scalars.lastIndex(of: 0x3C) else { return nil }
        let prefixEnd = min(count, start + Self.sentinel.count)
        guard scalars[start..<prefixEnd].elementsEqual(Self.sentinel.prefix(prefixEnd - start))
        else { return nil }
        return runEnd(from: prefixEnd, to: count, isDigit) == count ? start : nil
    }

    private static let sentinel = Array("<sentinel:".unicodeScalars.map(\.value))
    private static let image = Array("IMGIMG".unicodeScalars.map(\.value))

    private func hasPrefix(_ prefix: [UInt32], from start: Int, to end: Int) -> Bool {
        end - start > prefix.count
            && scalars[start..<start + prefix.count].elementsEqual(prefix)
    }

    /// `[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+`
    func eastAsianMatch(from start: Int, to end: Int) -> Int? {
        func kind(_ index: Int) -> Int? {
            switch scalars[index] {
            case 0xAC00...0xD7A3, 0x3131...0x318E: 0
            case 0xFF01, 0xFF0C, 0xFF1A, 0xFF1B, 0x2014, 0x2018, 0x2019, 0x201C, 0x201D, 0x2026,
                0x3001...0x303F, 0xFE30...0xFE4F:
                1
            case 0x3105...0x312F: 2
            case let scalar where ScalarSet.isIdeographOrKana(scalar): 3
            default: nil
            }
        }
        guard let first = kind(start) else { return nil }
        return runEnd(from: start, to: end) { kind($0) == first }
    }
}
