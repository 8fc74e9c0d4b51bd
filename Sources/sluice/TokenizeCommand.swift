// `sluice tokenize`: a text's token ids under a model's vocabulary.

internal import ArgumentParser
internal import DaemonCore
internal import LinuxSystem
internal import ModelFiles
internal import ModelFormat
internal import Packing
internal import Tokenization

struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize",
        abstract: "Turns a text into token ids.",
        discussion: "MODEL may also be a GGUF file that holds a vocabulary and no tensors.")

    @Argument(help: "A name in the library, a .sluice file, or a .gguf file.")
    var model: String

    @OptionGroup var library: LibraryOptions

    @Option(help: ArgumentHelp("The text; special tokens in it are parsed.", valueName: "text"))
    var text: String?

    @Option(help: ArgumentHelp("A file with the text.", valueName: "path"))
    var file: String?

    @Flag(help: "Add the tokens that the model expects around a text.")
    var special = false

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard (text == nil) != (file == nil) else {
            throw ValidationError("give one of --text and --file")
        }
    }

    func run() throws {
        let bytes = try file.map { try TextInput.read($0) } ?? Array((text ?? "").utf8)
        let tokenizer = try Tokenizer(try vocabulary())
        let tokens = tokenizer.encode(utf8: bytes, addSpecial: special, parseSpecial: true)
        let list = tokens.map { "\($0.rawValue)" }
        Terminal.line(
            json
                ? "{\"tokens\":[\(list.joined(separator: ","))]}" : list.joined(separator: " "))
    }

    private func vocabulary() throws -> Vocabulary {
        let path = try library.explaining { try $0.resolve(model) }
        guard path.hasSuffix(".gguf") else {
            let source = try FileByteSource(path: path, name: path)
            return try PackedModel(source: source).vocabulary(from: source)
        }
        return try GGUFFile(parts: [try FileByteSource(path: path, name: path)]).vocabulary()
    }
}
