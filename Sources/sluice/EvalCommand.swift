// `sluice eval`: a model's numbers on given tokens, for comparison with other implementations.

internal import ArgumentParser
internal import JSON
internal import Knobs
internal import LinuxSystem
internal import Measurement
internal import ModelFormat
internal import Models
internal import Tokenization
internal import Weights

struct EvalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval",
        abstract: "Scores a text or tokens, and continues them greedily.",
        discussion: """
            A text longer than the context is scored in windows of that many tokens, each from \
            scratch; or, with --kv-when-full slide, in one that moves along.
            """)

    @OptionGroup var model: ModelArguments
    @OptionGroup var input: EvalInput

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Tokens to continue with, greedily.", valueName: "n"))
    var generate = 0

    @Option(help: ArgumentHelp("Tokens that are a prompt, and not scored.", valueName: "n"))
    var promptTokens = 0

    @OptionGroup var trace: TraceArguments

    @Flag(help: "Without the first tokens in a window that slides: see what they are good for.")
    var withoutSinks = false

    @Flag(help: "Print one JSON object: tokens, greedy, nll, logits.")
    var json = false

    /// Positions that are scored together: logits of a large vocabulary take much memory.
    private static let rowsPerStep = 16

    func validate() throws {
        guard generate >= 0 else { throw ValidationError("--generate is at least 0") }
        guard promptTokens >= 0 else { throw ValidationError("--prompt-tokens is at least 0") }
    }

    func run() throws {
        let bytes = try input.textBytes()
        // Neurons are predicted, and left out, token by token; a prompt reads all of them.
        let options = try model.engine.options()
        let isByToken =
            options.mayPredict || (options.activationSparsity != nil && !options.isResident)
        let rows = isByToken ? 1 : Self.rowsPerStep
        let instance = try model.open {
            // A prompt's last tokens say together what is kept of it.
            $0.prefillChunkTokens = promptTokens > 0 ? max(rows, 64) : rows
            $0.logitsRowsMax = rows
            $0.measuring.keepsSinks = !withoutSinks
        }
        let readBefore = instance.store.statistics.flashBytes
        let tokens =
            try input.tokenList()
            ?? instance.tokenizer.encode(utf8: bytes ?? [], addSpecial: true, parseSpecial: true)
        let evaluation = try Progress.during("evaluating") { progress in
            try trace.recording(instance) {
                try Evaluator(model: instance).evaluate(
                    tokens, generate: generate, promptTokens: promptTokens
                ) {
                    progress.show($0)
                }
            }
        }
        if evaluation.greedy.count < generate {
            Terminal.complain(
                "only \(evaluation.greedy.count) of \(generate) tokens were generated: the "
                    + "context of \(instance.contextTokens) tokens is full")
        }
        if json {
            Terminal.line(try EvaluationReport(evaluation).json())
        } else {
            summarize(
                evaluation, instance,
                flashBytes: instance.store.statistics.flashBytes - readBefore)
        }
    }

    private func summarize(
        _ evaluation: Evaluation, _ instance: ModelInstance, flashBytes: UInt64
    ) {
        Terminal.line("tokens      \(evaluation.tokens.count)")
        if evaluation.scoredTokens > 0 {
            Terminal.line("nll         \(evaluation.meanLoss)")
            Terminal.line("perplexity  \(Mathematics.exponential(evaluation.meanLoss))")
        }
        let tokens = evaluation.tokens.count + max(0, evaluation.greedy.count - 1)
        let read = flashBytes / UInt64(max(1, tokens))
        Terminal.line("flash       \(ByteSize.format(read)) per token")
        if !evaluation.greedy.isEmpty {
            let bytes = instance.tokenizer.decode(evaluation.greedy, showsControl: true)
            Terminal.line("greedy      \(String(decoding: bytes, as: UTF8.self))")
        }
    }
}

/// What is evaluated: exactly one of three.
struct EvalInput: ParsableArguments {
    @Option(help: ArgumentHelp("Token ids, separated by commas.", valueName: "1,2,3"))
    var tokens: String?

    @Option(help: ArgumentHelp("A text; special tokens in it are parsed.", valueName: "text"))
    var text: String?

    @Option(help: ArgumentHelp("A file with a text.", valueName: "path"))
    var file: String?

    func validate() throws {
        guard [tokens, text, file].count(where: { $0 != nil }) == 1 else {
            throw ValidationError("give one of --tokens, --text and --file")
        }
        _ = try tokenList()
    }

    /// The tokens of `--tokens`.
    func tokenList() throws -> [TokenID]? {
        try tokens.map { list in
            try list.split(separator: ",", omittingEmptySubsequences: false).map { item in
                let digits = item.drop { $0 == " " }
                guard let number = Int32(digits), number >= 0 else {
                    throw ValidationError("--tokens has '\(item)', which is not a token id")
                }
                return TokenID(rawValue: number)
            }
        }
    }

    /// The bytes of `--text` or `--file`.
    func textBytes() throws -> [UInt8]? {
        if let text { return Array(text.utf8) }
        return try file.map { try TextInput.read($0) }
    }
}

/// The JSON of an evaluation.
struct EvaluationReport: Encodable {
    let tokens: [Int32]
    let greedy: [Int32]
    let nll: Double
    let logits: [Float]

    init(_ evaluation: Evaluation) {
        tokens = evaluation.tokens.map(\.rawValue)
        greedy = evaluation.greedy.map(\.rawValue)
        nll = evaluation.meanLoss
        // JSON has no infinities; logits of a damaged or overflowing model may be.
        logits = evaluation.logits.map {
            $0.isFinite ? $0 : ($0 < 0 ? -1 : 1) * .greatestFiniteMagnitude
        }
    }

    func json() throws -> String {
        let json = try JSONValue(encoding: self)
        return String(decoding: json.text(), as: UTF8.self)
    }
}
