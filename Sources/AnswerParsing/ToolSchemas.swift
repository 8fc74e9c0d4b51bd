// What the parser has to know of the tools that may be called: their names, and which of their
// parameters are texts.

package import JSON

package struct ToolSchemas: Sendable, Equatable {
    /// What a parameter holds, where a style does not say it.
    enum Kind: Sendable, Equatable {
        /// A text, whatever it looks like.
        case text
        /// A text, or null.
        case textOrNull
        /// JSON, or a text where it is none.
        case any
    }

    private var tools: [String: [String: Kind]] = [:]

    /// Tools by name, none of whose parameters is known.
    package init(names: [String]) {
        for name in names { tools[name] = [:] }
    }

    /// - Parameter tools: OpenAI's list: `{"type": "function", "function": {"name": ...}}`. What
    ///   is not understood is left out.
    package init(_ tools: JSONValue) {
        for tool in tools.array ?? [] {
            guard let function = tool["function"], let name = function["name"]?.string else {
                continue
            }
            var kinds: [String: Kind] = [:]
            if case .object(let members)? = function["parameters"]?["properties"] {
                kinds = members.mapValues(Self.kind)
            }
            self.tools[name] = kinds
        }
    }

    private static func kind(_ schema: JSONValue) -> Kind {
        let texts = schema["enum"]?.array.map { $0.allSatisfy { $0.string != nil } } ?? false
        switch schema["type"] {
        case .string("string"): return .text
        case .array(let types) where types.contains(.string("string")):
            let others = types.filter { $0 != .string("string") && $0 != .string("null") }
            return others.isEmpty ? .textOrNull : .any
        case nil where texts: return .text
        default: return .any
        }
    }

    func has(_ name: String) -> Bool { tools[name] != nil }

    func kind(of parameter: String, in tool: String) -> Kind {
        tools[tool]?[parameter] ?? .any
    }

    /// The JSON of a value that a style wrote without saying what it is.
    static func json(_ text: [UInt8], as kind: Kind) -> [UInt8] {
        let trimmed = trimmed(text)
        switch kind {
        case .text: return JSONText.quoted(text)
        case .textOrNull:
            return trimmed == Array("null".utf8) ? trimmed : JSONText.quoted(text)
        case .any:
            if (try? JSONParser.parse(trimmed)) != nil { return trimmed }
            let words = ["True": "true", "False": "false", "None": "null"]
            let word = words[String(decoding: trimmed, as: UTF8.self)]
            return word.map { Array($0.utf8) } ?? JSONText.quoted(text)
        }
    }

    static func trimmed(_ text: [UInt8]) -> [UInt8] {
        var slice = text[...]
        while let byte = slice.first, byte.isSpace { slice.removeFirst() }
        while let byte = slice.last, byte.isSpace { slice.removeLast() }
        return Array(slice)
    }
}
