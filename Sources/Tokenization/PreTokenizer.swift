// How text is split into words before byte-level BPE, which never merges across them. Each way is a
// list of regular expressions in llama.cpp; here each is a matcher written by hand, in linear time
// for any text.

/// A way of splitting text, by its name in `tokenizer.ggml.pre`.
enum PreTokenizer: Sendable {
    case gpt2, llama3, qwen2, deepSeekLLM, standard

    /// Names with their matchers. `olmo` is what OLMoE's files say; it splits as GPT-2 does.
    private static let named: [(name: String, way: PreTokenizer)] = [
        ("gpt-2", .gpt2), ("olmo", .gpt2), ("llama-bpe", .llama3), ("llama3", .llama3),
        ("llama-v3", .llama3), ("qwen2", .qwen2), ("deepseek-r1-qwen", .qwen2),
        ("deepseek-llm", .deepSeekLLM), ("default", .standard)
    ]

    static var knownNames: [String] { named.map(\.name) }

    /// - Throws: `TokenizerError.unknownPreTokenizer`. No name is the default way.
    init(name: String?) throws(TokenizerError) {
        guard let name, !name.isEmpty else {
            self = .standard
            return
        }
        guard let match = Self.named.first(where: { $0.name == name }) else {
            throw .unknownPreTokenizer(name)
        }
        self = match.way
    }

    /// Whether a word that is a token as a whole is taken without merging.
    var ignoresMerges: Bool { self == .llama3 }

    /// Whether texts begin with the beginning token where the file does not say.
    var addsBeginning: Bool { self == .llama3 }

    /// The words of `text`, by where they end.
    func wordEnds(_ text: ScalarText) -> [Int] {
        var words = Pieces(text)
        switch self {
        case .gpt2: words.split { text.gpt2Match(from: $0, to: $1) }
        case .llama3: words.split { text.llama3Match(from: $0, to: $1, digitsMax: 3) }
        case .qwen2: words.split { text.llama3Match(from: $0, to: $1, digitsMax: 1) }
        case .deepSeekLLM: words.splitAsDeepSeekLLM()
        case .standard: words.splitAsStandard()
        }
        return words.ends
    }
}

/// Text cut into pieces, which each regular expression of a list cuts further.
struct Pieces {
    let text: ScalarText
    /// Where each piece ends; it begins where the one before it ends.
    private(set) var ends: [Int]

    init(_ text: ScalarText) {
        self.text = text
        ends = text.count == 0 ? [] : [text.count]
    }

    /// Cuts every piece into matches and what lies between them.
    ///
    /// `match` gets a position and its piece's end, and returns where a match that begins there
    /// ends, or nil.
    mutating func split(_ match: (Int, Int) -> Int?) {
        var cut: [Int] = []
        cut.reserveCapacity(ends.count)
        var start = 0
        for end in ends {
            var position = start
            var gapStart = start
            while position < end {
                guard let matchEnd = match(position, end) else {
                    position += 1
                    continue
                }
                if gapStart < position { cut.append(position) }
                cut.append(matchEnd)
                position = matchEnd
                gapStart = matchEnd
            }
            if gapStart < end { cut.append(end) }
            start = end
        }
        ends = cut
    }

    /// Cuts off the white space that each piece ends with (`\s+$`), which a search from the left
    /// would take quadratic time to find.
    mutating func splitOffTrailingSpace() {
        var cut: [Int] = []
        cut.reserveCapacity(ends.count)
        var start = 0
        for end in ends {
            var spaceStart = end
            while spaceStart > start, text.classes[spaceStart - 1] == .whitespace {
                spaceStart -= 1
            }
            if start < spaceStart { cut.append(spaceStart) }
            if spaceStart < end { cut.append(end) }
            start = end
        }
        ends = cut
    }
}

extension ScalarText {
    /// Where the run of scalars that satisfy `isMember` ends, from `start`, before `end`.
    func runEnd(from start: Int, to end: Int, _ isMember: (Int) -> Bool) -> Int {
        var index = start
        while index < end, isMember(index) { index += 1 }
        return index
    }

    func runEnd(of kind: UnicodeClass, from start: Int, to end: Int) -> Int {
        runEnd(from: start, to: end) { classes[$0] == kind }
    }

    /// Whether the scalar is neither white space nor a letter nor a number.
    func isMark(_ index: Int) -> Bool {
        classes[index] == .other || classes[index] == .punctuation
    }

    func isNewline(_ index: Int) -> Bool { scalars[index] == 0x0A || scalars[index] == 0x0D }

    /// Where an English contraction (`'s 't 're 've 'm 'll 'd`) at `start` ends, or nil.
    func contractionEnd(from start: Int, to end: Int, ignoresCase: Bool) -> Int? {
        guard scalars[start] == 0x27, start + 1 < end else { return nil }
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

    /// `\s+(?!\S)|\s+`: white space up to, not including, the last one before a word.
    func spaceEnd(from start: Int, to end: Int) -> Int {
        let runEnd = runEnd(of: .whitespace, from: start, to: end)
        return runEnd - start > 1 && runEnd < end ? runEnd - 1 : runEnd
    }
}
