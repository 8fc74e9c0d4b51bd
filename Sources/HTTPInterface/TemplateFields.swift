// The fields that say how a chat becomes a prompt: which of the model's templates, and what it is
// given besides messages and tools.

internal import GenerationAPI
internal import JSON
internal import ModelFormat

enum TemplateFields {
    /// llama-server's and vLLM's.
    static let argumentsName = "chat_template_kwargs"
    private static let templateName = "chat_template"
    private static let effortName = "reasoning_effort"

    /// What the request itself gives the template: nobody's to say otherwise.
    private static let ownVariables = [
        "add_generation_prompt", "bos_token", "eos_token", "messages", "tools"
    ]

    /// The variables of `chat_template_kwargs`, in their order, and OpenAI's `reasoning_effort`
    /// where it is not among them: a JSON object, or nil where there are none.
    static func arguments(
        _ fields: RequestFields, _ texts: RequestTexts
    ) throws(GenerationError) -> String? {
        let given = try fields.object(argumentsName)
        let variables = given?.members ?? [:]
        for name in ownVariables {
            if let given, variables[name] != nil {
                throw given.error(name, "not a variable to set")
            }
        }
        let effort = try fields.string(effortName)
        guard !variables.isEmpty || effort != nil else { return nil }
        var text = texts.templateArguments ?? JSONValue.object(variables).text()
        if let effort, variables[effortName] == nil {
            if variables.isEmpty {
                text = JSONValue.object([effortName: .string(effort)]).text()
            } else {
                text.removeLast()
                text += ",\"\(effortName)\":".utf8
                text += JSONValue.string(effort).text() + [UInt8(ascii: "}")]
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// How much there is to think, as templates know it.
    static let efforts = ["low", "medium", "high"]

    /// Whether to think and how much, in the variables' names that templates have for it; nil where
    /// nothing is said.
    static func thinking(_ thinks: Bool?, effort: String? = nil) -> String? {
        var members = thinks.map { ["\"enable_thinking\":\($0)", "\"thinking\":\($0)"] } ?? []
        if let effort { members.append("\"\(effortName)\":\"\(effort)\"") }
        return members.isEmpty ? nil : "{" + members.joined(separator: ",") + "}"
    }

    /// The name of one of the model's own templates. vLLM also takes a template's text there, which
    /// clients here may not write: a template makes tokens that no text of theirs can.
    static func name(_ fields: RequestFields) throws(GenerationError) -> String? {
        guard let name = try fields.string(templateName), !name.isEmpty else { return nil }
        guard ChatTemplateSources.isName(name) else {
            throw fields.error(
                templateName, "expected the name of one of the model's templates, not a template")
        }
        return name
    }
}
