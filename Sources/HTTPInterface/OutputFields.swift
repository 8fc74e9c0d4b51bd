// The fields that say what an answer has to be: OpenAI's `response_format`, llama-server's
// `json_schema` and `grammar`, Ollama's `format`.

internal import GenerationAPI
internal import JSON

enum OutputFields {
    static let formatName = "response_format"
    static let schemaName = "json_schema"
    static let ollamaName = "format"
    private static let grammarName = "grammar"

    /// Longest text of a schema or a grammar, in bytes.
    static let bytesMax = 256 << 10

    /// What the fields of OpenAI and llama-server ask for; nil is nothing.
    static func read(
        _ fields: RequestFields, _ texts: RequestTexts
    ) throws(GenerationError) -> OutputFormat? {
        var found: [OutputFormat] = []
        if let format = try responseFormat(fields, texts.responseFormat) { found.append(format) }
        if let schema = fields[schemaName], schema != .string(""), schema != .array([]) {
            found.append(
                OutputFormat(
                    try self.schema(schema, texts.schema, fields, schemaName),
                    parameter: schemaName))
        }
        if let text = try fields.string(grammarName), !text.isEmpty {
            try check(text.utf8.count, fields, grammarName)
            found.append(OutputFormat(.grammar(text), parameter: grammarName))
        }
        guard found.count < 2 else {
            throw fields.error(
                found[1].parameter, "only one of it and \(found[0].parameter) may be there")
        }
        return found.first
    }

    /// What Ollama's `format` asks for: `"json"`, or a schema.
    static func readOllama(
        _ fields: RequestFields, _ texts: RequestTexts
    ) throws(GenerationError) -> OutputFormat? {
        guard let format = fields[ollamaName], format != .string(""), format != .array([]) else {
            return nil
        }
        if format == .string("json") { return OutputFormat(.object, parameter: ollamaName) }
        guard case .object = format else {
            throw fields.error(ollamaName, "expected \"json\" or a schema")
        }
        return OutputFormat(
            try schema(format, texts.format, fields, ollamaName), parameter: ollamaName)
    }

    /// What a format with everything side by side asks for, as newer APIs write it.
    ///
    /// - Parameters:
    ///   - text: the format as it was written.
    ///   - parameter: the request's field that it is.
    static func readFlat(
        _ format: RequestFields, _ text: [UInt8]?, parameter: String
    ) throws(GenerationError) -> OutputFormat? {
        switch try format.string("type") {
        case "text": return nil
        case "json_object": return OutputFormat(.object, parameter: parameter)
        case "json_schema":
            _ = try format.boolean("strict")
            guard let schema = format["schema"] else { throw format.error("schema", "missing") }
            let text = text.flatMap { JSONParser.text(ofMember: "schema", in: $0.span) }
            return OutputFormat(
                try self.schema(schema, text, format, "schema"), parameter: parameter)
        default:
            throw format.error("type", "expected \"text\", \"json_object\" or \"json_schema\"")
        }
    }

    private static func responseFormat(
        _ fields: RequestFields, _ text: [UInt8]?
    ) throws(GenerationError) -> OutputFormat? {
        guard let format = try fields.object(formatName), !format.members.isEmpty else {
            return nil
        }
        func member(_ name: String, of text: [UInt8]?) -> [UInt8]? {
            text.flatMap { JSONParser.text(ofMember: name, in: $0.span) }
        }
        switch try format.string("type") {
        case "text": return nil
        case "json_object":
            // llama-server's may have a schema.
            guard let schema = format["schema"] else {
                return OutputFormat(.object, parameter: formatName)
            }
            return OutputFormat(
                try self.schema(schema, member("schema", of: text), format, "schema"),
                parameter: formatName)
        case "json_schema":
            let (owner, text) =
                if let own = try format.object(schemaName) {
                    (own, member(schemaName, of: text))
                } else {
                    (format, text)
                }
            _ = try owner.boolean("strict")
            guard let schema = owner["schema"] else { throw owner.error("schema", "missing") }
            return OutputFormat(
                try self.schema(schema, member("schema", of: text), owner, "schema"),
                parameter: formatName)
        default:
            throw format.error("type", "expected \"text\", \"json_object\" or \"json_schema\"")
        }
    }

    /// A schema, with its members in the order in which they were written.
    private static func schema(
        _ value: JSONValue, _ text: [UInt8]?, _ fields: RequestFields, _ name: String
    ) throws(GenerationError) -> OutputFormat.Kind {
        guard case .object = value else {
            throw fields.error(name, "expected a schema, found \(value.kind)")
        }
        let text = text ?? value.text()
        try check(text.count, fields, name)
        return .schema(String(decoding: text, as: UTF8.self))
    }

    private static func check(
        _ byteCount: Int, _ fields: RequestFields, _ name: String
    ) throws(GenerationError) {
        guard byteCount <= bytesMax else { throw fields.error(name, "at most \(bytesMax) bytes") }
    }
}
