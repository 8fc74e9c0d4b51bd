// `sluice tokenize`: a text's token ids under a model's vocabulary.

internal import ArgumentParser
internal import Glibc
internal import Library
internal import ModelFormat
internal import Tokenization

struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize",
        abstract: "Turns a text into token ids.",
        discussion: """
            The text may also come on standard input, and is taken as it is, line ends included. \
            MODEL may also be a GGUF file that holds a vocabulary and no tensors.
            """)

    @Argument(help: "A name in the library, a packed file, or a GGUF file, whatever it is called.")
    var model: String

    @OptionGroup var library: LibraryOptions
    @OptionGroup var keys: ModelKeyOptions

    @Option(help: ArgumentHelp("The text; special tokens in it are parsed.", valueName: "text"))
    var text: String?

    @Option(help: ArgumentHelp("A file with the text.", valueName: "path"))
    var file: String?

    @Flag(help: "Add the tokens that the model expects around a text.")
    var special = false

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard text == nil || file == nil else {
            throw ValidationError("give one of --text and --file")
        }
        guard text != nil || file != nil || !Terminal.isTerminal(STDIN_FILENO) else {
            throw ValidationError("give --text or --file, or the text on standard input")
        }
    }

    func run() throws {
        let tokenizer = try Tokenizer(try library.vocabulary(of: model, keys: keys.value))
        var stream = TokenStream(
            tokenizer, addSpecial: special, unbrokenBytesMax: Self.unbrokenBytesMax)
        var printer = TokenPrinter(isJSON: json)
        if let text {
            try stream.append(text.utf8, isTemplate: true)
        } else {
            try TextInput.readPieces(of: file) { piece in
                try stream.append(piece, isTemplate: true)
                printer.take(from: &stream)
            }
        }
        stream.finish()
        printer.take(from: &stream)
        printer.finish()
    }

    /// The longest word, or stretch that nothing divides.
    private static let unbrokenBytesMax = 1 << 20
}

extension LibraryOptions {
    /// The vocabulary of a model, which may also be a GGUF file without tensors.
    func vocabulary(of model: String, keys: ModelKeySource) throws -> Vocabulary {
        let path = try explaining { try $0.resolve(model) }
        let source = try FileByteSource(path: path, name: path)
        guard GGUFFile.isGGUF(source) else {
            return try PackedModel(source: source, keys: keys).vocabulary(from: source)
        }
        return try GGUFFile(parts: [source]).vocabulary().repaired().vocabulary
    }
}

/// Token ids in one line, or as one JSON object, written as they come.
private struct TokenPrinter {
    let isJSON: Bool
    private var isFirst = true

    init(isJSON: Bool) {
        self.isJSON = isJSON
        if isJSON { Terminal.write("{\"tokens\":[", to: STDOUT_FILENO) }
    }

    /// Writes the stream's tokens and takes them away.
    mutating func take(from stream: inout TokenStream) {
        guard !stream.tokens.isEmpty else { return }
        let separator = isJSON ? "," : " "
        let list = stream.tokens.map { "\($0.rawValue)" }.joined(separator: separator)
        Terminal.write(isFirst ? list : separator + list, to: STDOUT_FILENO)
        isFirst = false
        stream.tokens.removeAll(keepingCapacity: true)
    }

    func finish() { Terminal.write(isJSON ? "]}\n" : "\n", to: STDOUT_FILENO) }
}
