// `sluice template`: what a chat template makes of a conversation.

internal import ArgumentParser
internal import ChatTemplates
internal import Glibc
internal import LinuxSystem
internal import ModelFormat
internal import Tokenization

struct TemplateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "template",
        abstract: "Prints the prompt that a chat template makes of a conversation.",
        discussion: """
            The template is a model's own, or a file's; of a model that has several, the one for \
            tools where there are any, or the one that is named. Messages and tools are JSON as \
            the API takes it, and reach the template as they are. The prompt is printed as it is, \
            without a newline at its end.
            """)

    @Argument(help: "A name in the library, a packed file, or a GGUF file.")
    var model: String?

    @OptionGroup var library: LibraryOptions
    @OptionGroup var keys: ModelKeyOptions

    @Option(help: ArgumentHelp("A Jinja template, instead of a model's.", valueName: "path"))
    var file: String?

    @Option(
        help: ArgumentHelp(
            "One of the model's templates: default, tool_use, or another that 'sluice show' lists.",
            valueName: "template"))
    var name: String?

    @Option(help: ArgumentHelp("A JSON list of messages; else standard input.", valueName: "path"))
    var messages: String?

    @Option(help: ArgumentHelp("A JSON list of tools.", valueName: "path"))
    var tools: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "A variable of the template, such as enable_thinking=false: JSON, or else a text.",
            valueName: "name=value"))
    var settings: [String] = []

    @Flag(
        name: .customLong("no-generation-prompt"),
        help: "End after the last message, not where the answer begins.")
    var omitsGenerationPrompt = false

    @Option(
        help: ArgumentHelp("The time that the template sees; else now.", valueName: "seconds"))
    var time: Int?

    func validate() throws {
        guard (model == nil) != (file == nil) else {
            throw ValidationError("give a model or --file")
        }
        guard name == nil || model != nil else {
            throw ValidationError("--name: a file has one template")
        }
        for setting in settings where setting.first == "=" || !setting.contains("=") {
            throw ValidationError("--set: expected name=value, found '\(setting)'")
        }
    }

    func run() throws {
        var conversation = ChatConversation(messages: [])
        if let tools { conversation.tools = try json("--tools", try TextInput.read(tools)) }
        // What is wrong with the template is said before messages are waited for.
        let template = try template(for: &conversation)
        let list = try json("--messages", try TextInput.bytes(of: messages))
        guard case .list(let elements) = list else {
            throw ValidationError("--messages: expected a list")
        }
        conversation.messages = elements.elements.map(ChatConversation.named)
        conversation.addsGenerationPrompt = !omitsGenerationPrompt
        for setting in settings {
            let parts = setting.split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let bytes = Array(parts[1].utf8)
            let value =
                (try? JinjaValue(json: bytes))
                ?? .string(MarkedText(String(parts[1]), isOutside: true))
            conversation.arguments.append((String(parts[0]), value))
        }
        let text = try template.render(
            conversation, limits: JinjaLimits(inputBytes: 1 << 24),
            clock: JinjaClock(secondsSince1970: time ?? WallClock.secondsSince1970))
        Terminal.write(text.string, to: STDOUT_FILENO)
    }

    /// The template; of a model, also the tokens that it names.
    private func template(
        for conversation: inout ChatConversation
    ) throws -> ChatTemplate {
        guard let model else {
            return try ChatTemplate(
                String(decoding: try TextInput.read(file ?? ""), as: UTF8.self))
        }
        let vocabulary = try library.vocabulary(of: model, keys: keys.value)
        let tokenizer = try Tokenizer(vocabulary)
        conversation.beginningToken = tokenizer.text(tokenizer.vocabularySpecial.beginning)
        conversation.endToken = tokenizer.text(tokenizer.vocabularySpecial.end)
        let templates = vocabulary.templates
        guard let name else {
            return try ChatTemplate(templates.source(hasTools: conversation.hasTools))
        }
        guard let source = templates.source(named: name) else {
            throw ValidationError("--name: no template '\(name)'; \(templates.choices)")
        }
        return try ChatTemplate(source)
    }

    private func json(_ option: String, _ bytes: [UInt8]) throws -> JinjaValue {
        do {
            return try JinjaValue(json: bytes)
        } catch {
            throw ValidationError("\(option): \(error)")
        }
    }
}
