// Tools as Anthropic and the newer of OpenAI's APIs write them: name and schema side by side.

internal import GenerationAPI
internal import JSON

/// Reads them into the form that orders have, which is OpenAI's older one.
struct FlatTools {
    /// The member that has the schema of a function's arguments.
    let schema: String
    /// Bytes of a tool's name, at most.
    var nameBytesMax = ToolFields.nameBytesMax
    /// Whether a tool of this type is a function; false leaves it out. Throws where it is neither.
    let isFunction: (RequestFields) throws(GenerationError) -> Bool

    /// What the field `tools` says of an order.
    ///
    /// - Parameters:
    ///   - text: the field as it was written.
    ///   - use: which tools are to be called; nil where none may be.
    func read(
        _ fields: RequestFields, text: [UInt8]?, use: ToolUse?, into order: inout GenerationOrder
    ) throws(GenerationError) {
        var names: Set<String> = []
        let tools = try ToolFields.list(fields) { tool throws(GenerationError) in
            guard try isFunction(tool) else { return nil }
            let name = try check(tool)
            names.insert(name)
            let isStrict = try tool.boolean("strict") ?? false
            if isStrict, use != nil { order.strictTools.insert(name) }
            return name
        }
        try ToolFields.check(use, names, fields)
        guard let tools else { return }
        let text = text ?? JSONValue.array(tools).text()
        var written: [UInt8] = []
        let bytes = text.span
        for (index, place) in JSONParser.elements(at: 0, in: bytes).enumerated()
        where index < tools.count {
            let tool = try fields.element(tools[index], of: "tools", at: index)
            guard try isFunction(tool) else { continue }
            written += written.isEmpty ? [UInt8(ascii: "[")] : [UInt8(ascii: ",")]
            written += "{\"type\":\"function\",\"function\":{\"name\":".utf8
            written.writeJSON(try tool.string("name") ?? "")
            if let description = try tool.string("description") {
                written += ",\"description\":".utf8
                written.writeJSON(description)
            }
            if tool[schema] != nil,
                let place = JSONParser.range(
                    ofMember: schema, at: place.lowerBound, in: bytes)
            {
                written += ",\"parameters\":".utf8
                written += JSONParser.text(place, in: bytes)
            }
            written += "}}".utf8
        }
        guard !written.isEmpty else { return }
        written.append(UInt8(ascii: "]"))
        try ToolFields.offer(written, use, fields, to: &order)
    }

    /// The name of a function that is one.
    private func check(_ tool: RequestFields) throws(GenerationError) -> String {
        _ = try tool.string("description")
        if let parameters = tool[schema] {
            guard case .object = parameters else {
                throw tool.error(schema, "expected an object, found \(parameters.kind)")
            }
        }
        return try ToolFields.name(tool, bytesMax: nameBytesMax)
    }
}
