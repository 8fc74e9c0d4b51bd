// How text is split into words before byte-level BPE, which never merges across them. Each way is a
// list of regular expressions in llama.cpp; here each is a matcher written by hand, in linear time
// for any text.

/// A way of splitting text, by its name in `tokenizer.ggml.pre`, and what else that name says.
struct PreTokenizer: Sendable {
    /// The regular expressions, which several names share.
    enum Rule: Sendable {
        case gpt2, digitsThenGPT2, falcon, llama3, qwen2, qwen35, tekken, gpt4o
        case deepSeekLLM, deepSeekCoder, deepSeekV3, standard
    }

    let rule: Rule
    /// Whether a word that is a token as a whole is taken without merging.
    var ignoresMerges = false
    /// Whether texts begin with the beginning token where the file does not say.
    var addsBeginning = false

    /// Names by what they mean, as llama.cpp has them (`llama-vocab.cpp`). `olmo` is what OLMoE's
    /// files say; it splits as GPT-2 does.
    private static let named: [(names: [String], way: PreTokenizer)] = [
        (["default"], PreTokenizer(rule: .standard)),
        (
            [
                "gpt-2", "olmo", "phi-2", "mpt", "jais", "trillion", "granite-docling", "exaone4",
                "gigachat", "a.x-4.0", "mellum", "modern-bert", "jina-es", "jina-de", "jina-v2-es",
                "jina-v2-de"
            ], PreTokenizer(rule: .gpt2)
        ),
        (
            [
                "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
                "mellum2"
            ], PreTokenizer(rule: .digitsThenGPT2)
        ),
        (["falcon"], PreTokenizer(rule: .falcon)),
        (
            [
                "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
                "lfm2", "jina-v5-nano"
            ], PreTokenizer(rule: .llama3, ignoresMerges: true, addsBeginning: true)
        ),
        (["dbrx", "smaug-bpe", "chatglm-bpe"], PreTokenizer(rule: .llama3)),
        (["glm4", "glm5"], PreTokenizer(rule: .llama3, ignoresMerges: true)),
        (
            [
                "qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan",
                "solar-open", "grok-2"
            ], PreTokenizer(rule: .qwen2)
        ),
        (["qwen35"], PreTokenizer(rule: .qwen35)),
        (["tekken"], PreTokenizer(rule: .tekken, ignoresMerges: true, addsBeginning: true)),
        (["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], PreTokenizer(rule: .gpt4o)),
        (["deepseek-llm"], PreTokenizer(rule: .deepSeekLLM)),
        (["deepseek-coder"], PreTokenizer(rule: .deepSeekCoder)),
        (
            ["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
            PreTokenizer(rule: .deepSeekV3)
        )
    ]

    static var knownNames: [String] { named.flatMap(\.names) }

    private init(rule: Rule, ignoresMerges: Bool = false, addsBeginning: Bool = false) {
        self.rule = rule
        self.ignoresMerges = ignoresMerges
        self.addsBeginning = addsBeginning
    }

    /// - Throws: `TokenizerError.unknownPreTokenizer`. No name is the default way.
    init(name: String?) throws(TokenizerError) {
        guard let name, !name.isEmpty else {
            self = PreTokenizer(rule: .standard)
            return
        }
        guard let match = Self.named.first(where: { $0.names.contains(name) }) else {
            throw .unknownPreTokenizer(name)
        }
        self = match.way
    }

    /// The words of `text`, by where they end.
    func wordEnds(_ text: ScalarText) -> [Int32] {
        var words = Pieces(text)
        switch rule {
        case .gpt2: words.split { text.gpt2Match(from: $0, to: $1) }
        case .digitsThenGPT2:
            words.split { start, _ in text.classes[start] == .number ? start + 1 : nil }
            words.split { text.gpt2Match(from: $0, to: $1) }
        case .falcon: words.splitAsFalcon()
        case .llama3: words.split { text.llama3Match(from: $0, to: $1, digitsMax: 3) }
        case .qwen2: words.split { text.llama3Match(from: $0, to: $1, digitsMax: 1) }
        case .qwen35: words.split { text.qwen35Match(from: $0, to: $1) }
        case .tekken: words.split { text.tekkenMatch(from: $0, to: $1) }
        case .gpt4o: words.split { text.gpt4oMatch(from: $0, to: $1) }
        case .deepSeekLLM: words.splitAsDeepSeekLLM()
        case .deepSeekCoder: words.splitAsDeepSeekCoder()
        case .deepSeekV3: words.splitAsDeepSeekV3()
        case .standard: words.splitAsStandard()
        }
        return words.ends
    }
}

/// Text cut into pieces, which each regular expression of a list cuts further.
struct Pieces {
    let text: ScalarText
    /// Where each piece ends; it begins where the one before it ends.
    private(set) var ends: [Int32]

    /// - Precondition: shorter than 2 GiB.
    init(_ text: ScalarText) {
        self.text = text
        ends = text.count == 0 ? [] : [Int32(text.count)]
    }

    /// Cuts every piece into matches and what lies between them.
    ///
    /// `match` gets a position and its piece's end, and returns where a match that begins there
    /// ends, or nil.
    mutating func split(_ match: (Int, Int) -> Int?) {
        var cut: [Int32] = []
        cut.reserveCapacity(ends.count)
        var start = 0
        for end in ends.lazy.map({ Int($0) }) {
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
            start = end
        }
        ends = cut
    }

    /// Cuts off the white space that each piece ends with (`\s+$`), which a search from the left
    /// would take quadratic time to find.
    mutating func splitOffTrailingSpace() {
        var cut: [Int32] = []
        cut.reserveCapacity(ends.count)
        var start = 0
        for end in ends.lazy.map({ Int($0) }) {
            var spaceStart = end
            while spaceStart > start, text.classes[spaceStart - 1] == .whitespace {
                spaceStart -= 1
            }
            if start < spaceStart { cut.append(Int32(spaceStart)) }
            if spaceStart < end { cut.append(Int32(end)) }
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
    func isSign(_ index: Int) -> Bool {
        switch classes[index] {
        case .other, .punctuation, .symbol, .mark: true
        case .letter, .number, .whitespace: false
        }
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

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`: white space up to its last newline, or else as `spaceEnd`.
    func newlinesOrSpaceEnd(from start: Int, to end: Int) -> Int {
        var newlinesEnd = runEnd(of: .whitespace, from: start, to: end)
        while newlinesEnd > start, !isNewline(newlinesEnd - 1) { newlinesEnd -= 1 }
        return newlinesEnd > start ? newlinesEnd : spaceEnd(from: start, to: end)
    }

    /// `\s+(?!\S)|\s+`: white space up to, not including, the last one before a word.
    func spaceEnd(from start: Int, to end: Int) -> Int {
        let runEnd = runEnd(of: .whitespace, from: start, to: end)
        return runEnd - start > 1 && runEnd < end ? runEnd - 1 : runEnd
    }
}

// MARK: - Text of which more may follow

extension ScalarText {
    /// Scalars at the end that the rest of a cut character may still change.
    private static let cutScalars = 3
    /// Scalars after a run that a matcher may look at: a contraction's.
    private static let lookAhead = 3

    /// The words that end up to here stay as they are, whatever follows the text.
    ///
    /// Where a word ends depends on what is before that, on the run of white space, letters,
    /// numbers or signs that the next scalar belongs to, and on a few scalars after that run. And
    /// splitting goes on from a word's end as from a text's beginning: no expression looks back.
    var settledEnd: Int {
        var runStart = count - 1 - Self.cutScalars - Self.lookAhead
        guard runStart > 0 else { return 0 }
        while runStart > 0, isSameRun(runStart - 1, runStart) { runStart -= 1 }
        return max(0, runStart - 1)
    }

    private func isSameRun(_ left: Int, _ right: Int) -> Bool {
        func kind(_ index: Int) -> UnicodeClass { isSign(index) ? .other : classes[index] }
        // Marks are signs to some expressions and letters to others.
        if classes[left] == .mark || classes[right] == .mark {
            return kind(left) != .whitespace && kind(right) != .whitespace
                && kind(left) != .number && kind(right) != .number
        }
        return kind(left) == kind(right)
    }
}
