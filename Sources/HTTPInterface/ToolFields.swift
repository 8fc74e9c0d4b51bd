// The fields about tools: which ones an answer may call, and calls that were made before.

internal import GenerationAPI
internal import JSON

enum ToolFields {
    /// Most tools of one request, and most calls of one message.
    static let toolsMax = 128
    /// Bytes of all tools together.
    static let toolBytesMax = 256 << 10
    /// Bytes of a tool's name, and of a call's id.
    static let nameBytesMax = 64
    static let idBytesMax = 256

    /// What the fields say of an order.
    static func read(
        _ fields: RequestFields, text: [UInt8]?, into order: inout GenerationOrder
    ) throws(GenerationError) {
        let use = try choice(fields) { choice throws(GenerationError) in
            guard let function = try choice.object("function") else {
                throw choice.error("function", "missing")
            }
            return function
        }
        order.allowsParallelCalls = try fields.boolean("parallel_tool_calls") ?? true
        var names: Set<String> = []
        let tools = try list(fields) { tool throws(GenerationError) in
            let (name, isStrict) = try check(tool)
            names.insert(name)
            if isStrict, use != nil { order.strictTools.insert(name) }
            return name
        }
        try check(use, names, fields)
        guard let tools else { return }
        // With the keys in the order in which they were written: models see them so.
        try offer(text ?? JSONValue.array(tools).text(), use, fields, to: &order)
    }

    /// The tools, each of another name; nil where there are none.
    ///
    /// - Parameter name: the name of a tool that is one; nil leaves it out.
    static func list(
        _ fields: RequestFields, name: (RequestFields) throws(GenerationError) -> String?
    ) throws(GenerationError) -> [JSONValue]? {
        guard let tools = fields["tools"], tools != .array([]) else { return nil }
        guard let list = tools.array else {
            throw fields.error("tools", "expected a list, found \(tools.kind)")
        }
        guard list.count <= toolsMax else {
            throw fields.error("tools", "at most \(toolsMax)")
        }
        var names: Set<String> = []
        for (index, tool) in list.enumerated() {
            guard let name = try name(try fields.element(tool, of: "tools", at: index)) else {
                continue
            }
            guard names.insert(name).inserted else {
                throw fields.error("tools", "two are called '\(name)'")
            }
        }
        return list
    }

    /// Gives an order its tools, as OpenAI writes them. Who may not call is not told of them.
    static func offer(
        _ text: [UInt8], _ use: ToolUse?, _ fields: RequestFields, to order: inout GenerationOrder
    ) throws(GenerationError) {
        guard text.count <= toolBytesMax else {
            throw fields.error("tools", "at most \(toolBytesMax) bytes")
        }
        guard let use else { return }
        order.tools = String(decoding: text, as: UTF8.self)
        order.toolUse = use
    }

    /// Refuses a choice of what is not there.
    static func check(
        _ use: ToolUse?, _ names: Set<String>, _ fields: RequestFields
    ) throws(GenerationError) {
        guard let use, use != .free else { return }
        guard !names.isEmpty else { throw fields.error("tool_choice", "there are no tools") }
        if case .named(let name) = use, !names.contains(name) {
            throw fields.error("tool_choice", "there is no tool '\(name)'")
        }
    }

    /// Which tools are to be called; nil where none may be.
    ///
    /// - Parameter function: what of a choice has the function's name.
    static func choice(
        _ fields: RequestFields,
        function: (RequestFields) throws(GenerationError) -> RequestFields
    ) throws(GenerationError) -> ToolUse? {
        switch fields["tool_choice"] {
        case nil, .string("auto"): return .free
        case .string("none"): return nil
        case .string("required"): return .required
        case .object:
            guard let choice = try fields.object("tool_choice") else { return .free }
            guard try choice.string("type") ?? "function" == "function" else {
                throw choice.error("type", "only \"function\" is supported here")
            }
            return .named(try name(try function(choice)))
        case .some:
            throw fields.error(
                "tool_choice", "expected \"auto\", \"none\", \"required\" or a function")
        }
    }

    /// The name of a tool that is one, and whether it is strict.
    private static func check(
        _ tool: RequestFields
    ) throws(GenerationError) -> (name: String, isStrict: Bool) {
        guard try tool.string("type") ?? "function" == "function" else {
            throw tool.error("type", "only \"function\" is supported here")
        }
        guard let function = try tool.object("function") else {
            throw tool.error("function", "missing")
        }
        _ = try function.string("description")
        if let parameters = function["parameters"] {
            guard case .object = parameters else {
                throw function.error("parameters", "expected an object, found \(parameters.kind)")
            }
        }
        return (try name(function), try function.boolean("strict") ?? false)
    }

    /// A function's name.
    static func name(
        _ function: RequestFields, bytesMax: Int = nameBytesMax
    ) throws(GenerationError) -> String {
        guard let name = try function.string("name") else {
            throw function.error("name", "missing")
        }
        let isSound = name.unicodeScalars.allSatisfy {
            $0.isASCII && ($0.properties.isAlphabetic || ("0"..."9").contains($0))
                || "_-.:/".unicodeScalars.contains($0)
        }
        guard isSound, (1...bytesMax).contains(name.utf8.count) else {
            throw function.error(
                "name", "expected 1 to \(bytesMax) letters, digits, and characters of _-.:/")
        }
        return name
    }

    /// The calls that an assistant's message made.
    ///
    /// - Parameter arguments: those of a call, by its place: OpenAI writes a text.
    static func calls(
        _ message: RequestFields,
        arguments: (RequestFields, Int) throws(GenerationError) -> String = {
            function, _ throws(GenerationError) in
            try function.string("arguments") ?? "{}"
        }
    ) throws(GenerationError) -> [ToolCall] {
        guard let value = message["tool_calls"], value != .array([]) else { return [] }
        guard let list = value.array else {
            throw message.error("tool_calls", "expected a list, found \(value.kind)")
        }
        guard list.count <= toolsMax else {
            throw message.error("tool_calls", "at most \(toolsMax)")
        }
        var calls: [ToolCall] = []
        for (index, element) in list.enumerated() {
            let call = try message.element(element, of: "tool_calls", at: index)
            guard try call.string("type") ?? "function" == "function" else {
                throw call.error("type", "only \"function\" is supported here")
            }
            guard let function = try call.object("function") else {
                throw call.error("function", "missing")
            }
            calls.append(
                ToolCall(
                    id: try id(call, "id") ?? "", name: try name(function),
                    arguments: try arguments(function, index)))
        }
        return calls
    }

    /// A call's id.
    static func id(_ fields: RequestFields, _ name: String) throws(GenerationError) -> String? {
        guard let id = try fields.string(name) else { return nil }
        guard id.utf8.count <= idBytesMax else {
            throw fields.error(name, "at most \(idBytesMax) bytes")
        }
        return id
    }
}
