// `constraint-benchmark`: what holding answers to a grammar costs for each token, with a real
// vocabulary. No model computes: logits are noise, in which the tokens of a text that follows the
// grammar may be likely, as they are to a model that knows what is wanted.

internal import ArgumentParser
internal import Constraints
internal import GenerationAPI
internal import Inference
internal import LinuxSystem
internal import ModelFormat
internal import Tokenization

@main
struct ConstraintBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "constraint-benchmark",
        abstract: "Measures what a grammar costs for each token of an answer.",
        discussion: """
            Prints, for each schema and way of sampling, microseconds for each token: choosing \
            freely, choosing within the grammar, and the difference, as a share of a token's \
            decoding where --decode-milliseconds says what that takes.
            """)

    @Argument(help: "A GGUF file with a vocabulary.")
    var vocabulary: String

    @Option(help: "What decoding a token takes, as sluice bench says.")
    var decodeMilliseconds: Double?

    @Option(help: "Answers of each kind.")
    var answers = 20

    @Option(help: "The memory limit that the room for grammars follows from, in MiB.")
    var memory = 2048

    func validate() throws {
        guard (1...10_000).contains(answers) else {
            throw ValidationError("--answers is between 1 and 10000")
        }
        guard (1...1 << 20).contains(memory) else {
            throw ValidationError("--memory is between 1 and 1048576")
        }
    }

    func run() throws {
        let file = try GGUFFile(parts: [FileByteSource(path: vocabulary)])
        let tokenizer = try Tokenizer(file.vocabulary())
        let room = ConstraintRoom(tokenizer, limitBytes: memory << 20)
        print(
            "\(tokenizer.tokenCount) tokens; room for \(room.grammars) grammars, "
                + "\(room.byteCount >> 10) KiB in all")
        let (index, indexing) = Self.timed { VocabularyIndex(tokenizer) }
        print("index: \(index.byteCount >> 10) KiB, \(Self.milliseconds(indexing)) ms, once")
        print("schema,sampling,text,tokens,free_us,held_us,median_us,p95_us,first_us,share")
        for (name, schema, texts) in BenchmarkSchemas.all {
            for (way, parameters) in Self.ways {
                for isLikely in [true, false] {
                    let library = ConstraintLibrary(tokenizer, room: room)
                    _ = try library.grammar(.schema("true"))
                    let (grammar, compiling) = try Self.timed {
                        try library.grammar(.schema(schema))
                    }
                    var run = ConstraintRun(
                        tokenizer: tokenizer, parameters: parameters,
                        texts: isLikely ? texts : [])
                    for answer in 0..<answers { try run.answer(grammar, seed: UInt64(answer)) }
                    print(
                        "\(name),\(way),\(isLikely ? "likely" : "noise"),"
                            + run.report(
                                compiling: compiling, decodeMilliseconds: decodeMilliseconds))
                }
            }
        }
    }

    private static var ways: [(String, SamplingParameters)] {
        var all = SamplingParameters()
        (all.temperature, all.topK, all.topP, all.minP) = (1.5, 0, 1, 0)
        return [("greedy", .greedy), ("default", SamplingParameters()), ("everything", all)]
    }

    static func timed<Result>(_ body: () throws -> Result) rethrows -> (Result, UInt64) {
        let start = MonotonicClock.nanoseconds
        let result = try body()
        return (result, MonotonicClock.nanoseconds - start)
    }

    static func milliseconds(_ nanoseconds: UInt64) -> Double {
        (Double(nanoseconds) / 1e5).rounded() / 10
    }
}

/// Answers within one grammar, and what their tokens took.
struct ConstraintRun {
    private static let tokensMax = 200

    let tokenizer: Tokenizer
    let parameters: SamplingParameters
    /// Tokens that are likely, of each text.
    private let likely: [[TokenID]]
    private var free: [UInt64] = []
    private var held: [UInt64] = []
    /// What the first answer's tokens took.
    private var first: [UInt64] = []

    init(tokenizer: Tokenizer, parameters: SamplingParameters, texts: [String]) {
        self.tokenizer = tokenizer
        self.parameters = parameters
        likely = texts.map { tokenizer.encode($0, addSpecial: false, parseSpecial: false) }
    }

    /// One answer, each of whose tokens is chosen twice: freely, and within the grammar.
    mutating func answer(_ grammar: Grammar, seed: UInt64) throws {
        var parameters = parameters
        parameters.seed = seed
        var free = try Sampler(
            parameters, vocabularySize: tokenizer.tokenCount, contextTokens: Self.tokensMax)
        var held = free
        let matcher = try ConstraintMatcher(AnswerConstraint(grammar))
        var random = SamplerRandom(seed: seed)
        var logits = (0..<tokenizer.tokenCount).map { _ in Float(random.nextUnit()) * 6 }
        let text = likely.isEmpty ? [] : likely[Int(seed) % likely.count]
        var times: [UInt64] = []
        for step in 0..<Self.tokensMax {
            let wanted = step < text.count ? text[step].index : nil
            if let wanted { logits[wanted] += 20 }
            let (_, freeTime) = ConstraintBenchmark.timed { free.sample(logits.span) }
            let (token, time) = try ConstraintBenchmark.timed {
                try Self.choose(&held, matcher, logits.span, tokenizer)
            }
            if let wanted { logits[wanted] -= 20 }
            self.free.append(freeTime)
            times.append(time)
            guard let token, !matcher.isComplete, !tokenizer.isEndOfGeneration(token) else {
                break
            }
        }
        if first.isEmpty { first = times }
        self.held += times
    }

    /// As a session does.
    private static func choose(
        _ sampler: inout Sampler, _ matcher: ConstraintMatcher, _ logits: Span<Float>,
        _ tokenizer: Tokenizer
    ) throws -> TokenID? {
        let token =
            switch matcher.selection(candidatesMax: sampler.candidatesMax) {
            case .few(let tokens): sampler.sample(logits, among: tokens)
            case .mask(let mask): sampler.sample(logits) { mask.contains($0.index) }
            case .each: matcher.withChecks { sampler.sample(logits, where: $0) }
            }
        guard let token, !tokenizer.isEndOfGeneration(token) else { return token }
        _ = try matcher.accept(token)
        return token
    }

    /// The mean of what choosing freely and within the grammar takes, and of single tokens the
    /// median and the 95th percentile; of the first answer, compiling included, the mean.
    func report(compiling: UInt64, decodeMilliseconds: Double?) -> String {
        func mean(_ times: [UInt64]) -> Double {
            Double(times.reduce(0, +)) / 1e3 / Double(max(1, times.count))
        }
        let sorted = held.sorted()
        func percentile(_ part: Int) -> Double {
            Double(sorted[min(sorted.count - 1, sorted.count * part / 100)]) / 1e3
        }
        let more = mean(held) - mean(free)
        let firstMean = mean(first) + Double(compiling) / 1e3 / Double(max(1, first.count))
        let share = decodeMilliseconds.map { more / ($0 * 10) }
        let numbers = [mean(free), mean(held), percentile(50), percentile(95), firstMean]
        let texts = numbers.map { "\(Int($0.rounded()))" }
        let shareText = share.map { "\(($0 * 100).rounded() / 100)%" } ?? ""
        return ([String(held.count)] + texts + [shareText]).joined(separator: ",")
    }
}
