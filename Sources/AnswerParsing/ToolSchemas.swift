// What the parser has to know of the tools that may be called: their names, and which of their
// parameters are texts.

package import JSON

package struct ToolSchemas: Sendable, Equatable {
    /// What a parameter holds, where a style does not say it.
    indirect enum Kind: Sendable, Equatable {
        /// A text, whatever it looks like.
        case text
        /// A text, or null.
        case textOrNull
        /// An object, and what is known of its members.
        case object([String: Kind])
        /// A list of such.
        case list(Kind)
        /// JSON, or a text where it is none.
        case any
    }

    /// Parameters that are known; of others it is not said what they hold.
    private static let parametersMax = 1024
    /// Memory for one of them.
    private static let parameterBytes = 128
    static let bytesMax = parametersMax * parameterBytes

    private var tools: [String: [String: Kind]] = [:]

    /// Tools by name, none of whose parameters is known.
    package init(names: [String]) {
        for name in names { tools[name] = [:] }
    }

    /// - Parameter tools: OpenAI's list: `{"type": "function", "function": {"name": ...}}`. What
    ///   is not understood is left out.
    package init(_ tools: JSONValue) {
        var left = Self.parametersMax
        for tool in tools.array ?? [] {
            guard let function = tool["function"], let name = function["name"]?.string else {
                continue
            }
            self.tools[name] = Self.kinds(function["parameters"], &left)
        }
    }

    private static func kinds(_ schema: JSONValue?, _ left: inout Int) -> [String: Kind] {
        guard case .object(let members)? = schema?["properties"] else { return [:] }
        var kinds: [String: Kind] = [:]
        for (name, schema) in members where left > 0 {
            left -= 1
            kinds[name] = kind(schema, &left)
        }
        return kinds
    }

    private static func kind(_ schema: JSONValue, _ left: inout Int) -> Kind {
        let texts = schema["enum"]?.array.map { $0.allSatisfy { $0.string != nil } } ?? false
        switch schema["type"] {
        case .string("string"): return .text
        case .string("object"): return .object(kinds(schema, &left))
        case .string("array"): return .list(schema["items"].map { kind($0, &left) } ?? .any)
        case .array(let types) where types.contains(.string("string")):
            let others = types.filter { $0 != .string("string") && $0 != .string("null") }
            return others.isEmpty ? .textOrNull : .any
        case nil where texts: return .text
        default: return .any
        }
    }

    func has(_ name: String) -> Bool { tools[name] != nil }

    /// Whether a tool's name begins so.
    func hasName(beginning: some Collection<UInt8>) -> Bool {
        tools.keys.contains { $0.utf8.starts(with: beginning) }
    }

    func kinds(of tool: String) -> [String: Kind] { tools[tool] ?? [:] }

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
        case .any, .object, .list:
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
