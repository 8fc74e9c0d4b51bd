// How text is split into words before BPE, which never merges across them. Each way is a list of
// steps that several names share, and each step stands for a regular expression of llama.cpp.

/// A way of splitting text, by its name in `tokenizer.ggml.pre`, and what else that name says.
struct PreTokenizer: Sendable {
    /// What words are written in before their parts are merged.
    enum Alphabet: Sendable {
        /// A character for each byte.
        case bytes
        /// Characters as they are, perhaps with U+2581 for spaces; bytes have tokens `<0xHH>`.
        case characters(escapesSpaces: Bool)
    }

    let steps: [SplitStep]
    /// Whether a word that is a token as a whole is taken without merging.
    var ignoresMerges = false
    /// Whether texts begin with the beginning token where the file does not say.
    var addsBeginning = false
    /// Whether they do even where the file says that they do not.
    var alwaysAddsBeginning = false
    /// Whether a run of newlines that is a token as a whole is taken without merging.
    var takesNewlineRuns = false
    var alphabet = Alphabet.bytes

    static var knownNames: [String] { named.flatMap(\.names) }

    /// - Throws: `TokenizerError.unknownPreTokenizer`. No name is the default way.
    init(name: String?) throws(TokenizerError) {
        guard let name, !name.isEmpty else {
            self = Self.standard
            return
        }
        guard let match = Self.named.first(where: { $0.names.contains(name) }) else {
            throw .unknownPreTokenizer(name)
        }
        self = match.way
    }

    private init(_ steps: SplitStep...) { self.steps = steps }

    private init(_ pattern: WordPattern) { steps = [.words(pattern)] }

    private func with(_ change: (inout PreTokenizer) -> Void) -> PreTokenizer {
        var changed = self
        change(&changed)
        return changed
    }

    private var ignoringMerges: PreTokenizer { with { $0.ignoresMerges = true } }
    private var addingBeginning: PreTokenizer { with { $0.addsBeginning = true } }

    /// The words of `text`, by where they end.
    func wordEnds(_ text: ScalarText) -> [Int32] {
        var words = Pieces(text)
        for step in steps { words.split(step) }
        return words.ends
    }
}

// MARK: - Names

extension PreTokenizer {
    private static let standard = PreTokenizer(
        .runs(.standardPunctuation), .gpt2, .runs(.numbers), .threeDigits)
    private static let llama3 = PreTokenizer(WordPattern(digitsMax: 3))
    private static let qwen2 = WordPattern()
    private static let bloom = SplitStep.spacedRuns(.notSentenceMarks, anySpace: false)
    /// Merges run over whole lines.
    private static let lines = PreTokenizer(.newlineRuns).with {
        $0.alphabet = .characters(escapesSpaces: true)
    }

    /// Names by what they mean, as llama.cpp 0.3.36 of llama-cpp-python has them
    /// (`llama-vocab.cpp`).
    private static let named: [(names: [String], way: PreTokenizer)] =
        simple + ofSeveralSteps + wordPatterns

    private static let simple: [(names: [String], way: PreTokenizer)] = [
        (["default"], standard),
        (
            [
                "gpt-2", "olmo", "phi-2", "mpt", "jais", "trillion", "granite-docling", "exaone4",
                "gigachat", "a.x-4.0", "mellum", "modern-bert", "jina-es", "jina-de", "jina-v2-es",
                "jina-v2-de", "jina-v1-en", "jina-v2-code", "roberta-bpe"
            ], PreTokenizer(.gpt2)
        ),
        (
            [
                "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
                "mellum2"
            ], PreTokenizer(.each(.numbers), .gpt2)
        ),
        (["falcon"], PreTokenizer(.runs(.falconPunctuation), .gpt2, .threeDigits)),
        (["poro-chat", "bloom", "gpt3-finnish"], PreTokenizer(bloom)),
        (["viking"], PreTokenizer(bloom, .each(.numbers))),
        (["superbpe"], PreTokenizer(.runs(.numbers), .digitsByThree)),
        (
            ["gemma4", "granite-embed-multi-311m"],
            lines.with {
                $0.alwaysAddsBeginning = true
                $0.takesNewlineRuns = true
            }
        ),
        (["sarvam-moe"], lines),
        (
            ["whitespace"],
            PreTokenizer(.runs(.notSpace)).with {
                $0.alphabet = .characters(escapesSpaces: false)
            }
        )
    ]

    private static let ofSeveralSteps: [(names: [String], way: PreTokenizer)] = [
        (
            ["deepseek-llm"],
            PreTokenizer(
                .each(.newlines), .spacedRuns(.deepSeekLetters, anySpace: true),
                .spacedRuns(.deepSeekMarks, anySpace: true), .trailingSpace,
                .runs(.deepSeekIdeographs), .runs(.numbers))
        ),
        (
            ["deepseek-coder"],
            PreTokenizer(
                .each(.newlines), .spacedRuns(.letters, anySpace: true),
                .spacedRuns(.punctuation, anySpace: true), .runs(.deepSeekIdeographs),
                .each(.numbers))
        ),
        (
            ["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
            PreTokenizer(
                .runs(.numbers, countMax: 3), .runs(.ideographsAndKana),
                .deepSeekV3(joinsNewlines: true))
        ),
        (
            ["spark2_5"],
            PreTokenizer(
                .runs(.numbers, countMax: 3), .runs(.ideographsAndKana),
                .deepSeekV3(joinsNewlines: false), .each(.numbers))
        ),
        (
            ["afmoe"],
            PreTokenizer(
                .numbersByThree, .runs(.spacelessScripts), .deepSeekV3(joinsNewlines: true))
        ),
        (
            ["chameleon"],
            PreTokenizer(
                .chameleonTokens, .indents, .each(.numbers), .each(.chameleonPunctuation), .gpt2
            ).addingBeginning
        ),
        (["jais-2"], PreTokenizer(.words(WordPattern(digitsMax: 3)), .spacesInPowers)),
        (["laguna"], PreTokenizer(.newlineRuns, .words(qwen2))),
        (
            ["minicpm5"],
            PreTokenizer(
                .runs(.numbers, countMax: 3), .words(WordPattern(digitsMax: 3))
            ).ignoringMerges
        ),
        (
            ["youtu"],
            PreTokenizer(
                .eastAsianScripts,
                .words(
                    WordPattern(
                        contractions: .inWords, words: .markedLetters,
                        signsEnd: .newlinesOrSlashes))
            ).ignoringMerges
        ),
        (
            ["tiny_aya", "cohere2moe"],
            PreTokenizer(
                .numbersByThree,
                .words(
                    WordPattern(
                        contractions: .inWords, words: .markedLetters, digitsMax: 3,
                        signsEnd: .newlinesOrSlashes)))
        )
    ]

    private static let wordPatterns: [(names: [String], way: PreTokenizer)] = [
        (
            [
                "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
                "lfm2", "jina-v5-nano"
            ], llama3.ignoringMerges.addingBeginning
        ),
        (["dbrx", "smaug-bpe", "chatglm-bpe"], llama3),
        (["glm4", "glm5"], llama3.ignoringMerges),
        (
            [
                "qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan",
                "solar-open", "grok-2", "bailingmoe", "bailingmoe2", "llada-moe"
            ], PreTokenizer(qwen2)
        ),
        (["qwen35"], PreTokenizer(WordPattern(words: .markedLetters, excludesMarks: true))),
        (["ufakzeka"], PreTokenizer(WordPattern(contractions: .none))),
        (["seed-coder"], PreTokenizer(WordPattern(signsEnd: .nothing))),
        (
            ["exaone-moe"],
            PreTokenizer(WordPattern(words: .spacedLetters, signsEnd: .oneNewlineOrSlash))
        ),
        (
            ["tekken"],
            PreTokenizer(
                WordPattern(contractions: .none, words: .cased, signsEnd: .newlinesOrSlashes)
            ).ignoringMerges.addingBeginning
        ),
        (
            ["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
            PreTokenizer(
                WordPattern(
                    contractions: .inWords, words: .cased, digitsMax: 3,
                    signsEnd: .newlinesOrSlashes))
        ),
        (
            ["granite-embed-multi-97m"],
            PreTokenizer(
                WordPattern(
                    contractions: .inWords, words: .markedCased, digitsMax: 3,
                    signsEnd: .newlinesOrSlashes)
            ).ignoringMerges
        ),
        (
            ["kimi-k2"],
            PreTokenizer(
                WordPattern(contractions: .inWords, words: .hanOrLetters, digitsMax: 3))
        )
    ]
}

// MARK: - Text of which more may follow

extension PreTokenizer {
    /// The words that end up to here stay as they are, whatever follows the text.
    func settledEnd(_ text: ScalarText) -> Int {
        guard steps.contains(where: { if case .chameleonTokens = $0 { true } else { false } })
        else { return text.settledEnd(at: text.lastSettled) }
        let open = text.openSentinel.map { $0 - 1 } ?? .max
        return text.settledEnd(at: min(open, text.lastSettled), waitsForSpace: true)
    }
}

extension ScalarText {
    /// Scalars at the end that the rest of a cut character may still change.
    private static let cutScalars = 3
    /// Scalars after a run that a matcher may look at: a contraction's.
    private static let lookAhead = 3

    /// The last scalar that what follows changes nothing of but its run's end.
    fileprivate var lastSettled: Int { count - 1 - Self.cutScalars - Self.lookAhead }

    /// Where what follows can change words, whatever the steps are.
    ///
    /// Where a word ends depends on what is before that, on the run of white space, letters,
    /// numbers or signs that the next scalar belongs to, and on a few scalars after that run. And
    /// splitting goes on from a word's end as from a text's beginning: no expression looks back.
    ///
    /// - Parameters:
    ///   - index: a scalar whose run may go on.
    ///   - waitsForSpace: whether the end of white space depends on the whole run after it.
    fileprivate func settledEnd(at index: Int, waitsForSpace: Bool = false) -> Int {
        guard index > 0 else { return 0 }
        var runStart = index
        while runStart > 0, isSameRun(runStart - 1, runStart) { runStart -= 1 }
        if waitsForSpace, runStart > 0, classes[runStart - 1] == .whitespace {
            return settledEnd(at: runStart - 1)
        }
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
