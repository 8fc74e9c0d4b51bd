// What pre-tokenizers are made of: each step cuts the pieces that the steps before it left, as one
// regular expression of llama.cpp's list does. Every step takes linear time for any text.

/// A step of splitting text.
enum SplitStep: Sendable {
    /// `[set]`: each alone.
    case each(ScalarSet)
    /// `[set]{1,countMax}`
    case runs(ScalarSet, countMax: Int = .max)
    /// ` ?[set]+`; with `anySpace`, `\s?[set]+`.
    case spacedRuns(ScalarSet, anySpace: Bool)
    /// `\s+$`
    case trailingSpace
    /// `[^\n]+|\n+`
    case newlineRuns
    /// `[0-9][0-9][0-9]`
    case threeDigits
    /// `\p{N}{1,3}(?=(\p{N}{3})*(?!\p{N}))`: numbers by threes, counted from their ends, the first
    /// with what is before it.
    case numbersByThree
    /// `(?=(\d{3})+(?!\d))`: cuts, of no characters, between threes of digits.
    case digitsByThree
    /// `\s{512}(?!\S)|\s{256}(?!\S)|`, and so on, `|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}`, of the white
    /// space that `\s+(?!\S)|\s+` left.
    case spacesInPowers
    /// `([\t\n]|    |  )`
    case indents
    /// `<sentinel:[0-9]+>`, then `IMGIMG[A-I]{1,4}Z`
    case chameleonTokens
    /// `[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+`
    case eastAsianScripts
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    case gpt2
    /// DeepSeek V3's; see ``ScalarText/deepSeekV3Match(from:to:joinsNewlines:)``.
    case deepSeekV3(joinsNewlines: Bool)
    case words(WordPattern)
}

/// What differs between the expressions that are made of a contraction, a word, a number, signs and
/// white space, in this order.
struct WordPattern: Sendable {
    enum Contractions: Sendable {
        /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|` before everything else.
        case alone
        /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)?` at the end of a word.
        case inWords
        case none
    }

    /// What follows `[^\r\n\p{L}\p{N}]?`.
    enum Words: Sendable {
        /// `\p{L}+`
        case letters
        /// `[\p{L}\p{M}]+`
        case markedLetters
        /// `U*W+`, or else `U+W*`, where U is any letter but `a` to `z`, and W any but `A` to `Z`:
        /// the reference takes other letters for both.
        case cased
        /// The same with marks as letters.
        case markedCased
        /// `(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+`
        case spacedLetters
        /// `\p{Han}+` without what precedes, or else letters that are not Han.
        case hanOrLetters
    }

    /// What follows ` ?[^\s\p{L}\p{N}]+`.
    enum SignsEnd: Sendable {
        case nothing
        /// `[\r\n]*`
        case newlines
        /// `[\r\n/]*`
        case newlinesOrSlashes
        /// `[\r\n/]?`
        case oneNewlineOrSlash
    }

    var contractions = Contractions.alone
    var words = Words.letters
    var digitsMax = 1
    /// Whether marks, which are letters, are no signs.
    var excludesMarks = false
    var signsEnd = SignsEnd.newlines
}

/// Text cut into pieces, which each step cuts further.
struct Pieces {
    let text: ScalarText
    /// Where each piece ends; it begins where the one before it ends.
    private(set) var ends: [Int32]

    /// - Precondition: shorter than 2 GiB.
    init(_ text: ScalarText) {
        self.text = text
        ends = text.count == 0 ? [] : [Int32(text.count)]
    }

    mutating func split(_ step: SplitStep) {
        let text = text
        switch step {
        case .each(let set): split { start, _ in text.isIn(set, start) ? start + 1 : nil }
        case .runs(let set, let countMax):
            split { start, end in
                let end = countMax < end - start ? start + countMax : end
                return text.run(start, end) { text.isIn(set, $0) }
            }
        case .spacedRuns(let set, let anySpace):
            split { start, end in
                let isSpaced =
                    anySpace ? text.classes[start] == .whitespace : text.scalars[start] == 0x20
                return text.run(start, end, from: isSpaced ? start + 1 : start) {
                    text.isIn(set, $0)
                }
            }
        case .trailingSpace: cutEach { $0.cutTrailingSpace(from: $1, to: $2, into: &$3) }
        case .newlineRuns:
            split { start, end in
                let isNewline = text.scalars[start] == 0x0A
                return text.runEnd(from: start, to: end) {
                    (text.scalars[$0] == 0x0A) == isNewline
                }
            }
        case .threeDigits:
            split { start, end in
                guard end - start >= 3 else { return nil }
                let digitsEnd = text.runEnd(from: start, to: start + 3, text.isDigit)
                return digitsEnd == start + 3 ? digitsEnd : nil
            }
        case .numbersByThree:
            cutEach { $0.cutByThree(from: $1, to: $2, endsNumbers: true, into: &$3) }
        case .digitsByThree:
            cutEach { $0.cutByThree(from: $1, to: $2, endsNumbers: false, into: &$3) }
        case .spacesInPowers: cutEach { $0.cutSpaces(from: $1, to: $2, into: &$3) }
        case .indents: split(text.indentMatch)
        case .chameleonTokens: split(text.chameleonMatch)
        case .eastAsianScripts: split(text.eastAsianMatch)
        case .gpt2: split(text.gpt2Match)
        case .deepSeekV3(let joinsNewlines):
            split { text.deepSeekV3Match(from: $0, to: $1, joinsNewlines: joinsNewlines) }
        case .words(let pattern): split { text.match(pattern, from: $0, to: $1) }
        }
    }

    /// Cuts every piece into matches and what lies between them.
    ///
    /// `match` gets a position and its piece's end, and returns where a match that begins there
    /// ends, or nil.
    private mutating func split(_ match: (Int, Int) -> Int?) {
        cutEach { _, start, end, cut in
            var position = start
            var gapStart = start
            while position < end {
                guard let matchEnd = match(position, end) else {
                    position += 1
                    continue
                }
                if gapStart < position { cut.append(Int32(position)) }
                cut.append(Int32(matchEnd))
                position = matchEnd
                gapStart = matchEnd
            }
            if gapStart < end { cut.append(Int32(end)) }
        }
    }

    /// Calls `body` with each piece's start and end, to append the ends that it has afterwards.
    private mutating func cutEach(_ body: (ScalarText, Int, Int, inout [Int32]) -> Void) {
        var cut: [Int32] = []
        cut.reserveCapacity(ends.count)
        var start = 0
        for end in ends.lazy.map({ Int($0) }) {
            body(text, start, end, &cut)
            start = end
        }
        text.looks.count += text.count
        ends = cut
    }
}

extension ScalarText {
    /// Cuts off the white space that a piece ends with, which a search from the left would take
    /// quadratic time to find.
    fileprivate func cutTrailingSpace(from start: Int, to end: Int, into cut: inout [Int32]) {
        let spaceStart = runStart(to: end, after: start) { classes[$0] == .whitespace }
        if start < spaceStart { cut.append(Int32(spaceStart)) }
        if spaceStart < end { cut.append(Int32(end)) }
    }

    /// Cuts white space that no newline ends into powers of two, the greatest first.
    fileprivate func cutSpaces(from start: Int, to end: Int, into cut: inout [Int32]) {
        var place = start
        if !isNewline(end - 1), runEnd(of: .whitespace, from: start, to: end) == end {
            var power = 512
            while place < end {
                while power > end - place { power /= 2 }
                place += power
                cut.append(Int32(place))
            }
        } else {
            cut.append(Int32(end))
        }
    }

    /// Cuts runs of numbers, or of ASCII digits, so that what follows each cut in the run is a
    /// multiple of three. Where `endsNumbers`, runs of numbers end with a cut and what is before a
    /// run goes with its first one to three, as in the reference.
    fileprivate func cutByThree(
        from start: Int, to end: Int, endsNumbers: Bool, into cut: inout [Int32]
    ) {
        func isMember(_ index: Int) -> Bool {
            endsNumbers ? classes[index] == .number : isDigit(index)
        }
        var last = start
        func add(_ place: Int) {
            if place > last { cut.append(Int32(place)) }
            last = max(last, place)
        }
        var position = start
        while position < end {
            guard isMember(position) else {
                position += 1
                continue
            }
            let runEnd = runEnd(from: position, to: end, isMember)
            let first = position + (runEnd - position) % 3
            for place in stride(from: first, to: runEnd, by: 3)
            where place > position || !endsNumbers {
                add(place)
            }
            if endsNumbers { add(runEnd) }
            position = runEnd
        }
        add(end)
    }
}
