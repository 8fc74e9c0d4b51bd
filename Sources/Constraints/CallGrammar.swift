// Calls of tools as a grammar: one of the tools there are, with arguments that are valid by its
// schema, written as the model writes calls.

/// How a model writes calls that a grammar can hold it to.
package enum CallWriting: Sendable, Equatable {
    /// `{"name": ..., "arguments": {...}}` between texts, each call with its own.
    case objects(begin: String, arguments: String, end: String)
    /// The same, as a list after a text.
    case list(begin: String, arguments: String)
    /// A name after a text, and the arguments after another.
    case named(begin: String, separator: String)
}

/// Calls that an answer has to be.
package struct CallRequest: Sendable, Equatable {
    package let writing: CallWriting
    /// A list as OpenAI writes it.
    package let tools: String
    /// The one that is called; nil is any.
    package let name: String?
    package let allowsParallel: Bool
    /// Where calls are the model's own choice, the tools whose arguments are held to their schemas;
    /// those of others are objects. Nil is all.
    package let strict: Set<String>?
    /// Whether they are among free text: texts are then single calls, without what they begin with.
    var isFree: Bool { strict != nil && form == nil }
    /// What an answer may be in place of calls; nil where it has to call.
    package let form: CallForm?

    package init(
        _ writing: CallWriting, tools: String, name: String?, allowsParallel: Bool,
        strict: Set<String>? = nil, form: CallForm? = nil
    ) {
        self.strict = strict
        self.form = form
        self.writing = writing
        self.tools = tools
        self.name = name
        self.allowsParallel = allowsParallel
    }

    var key: String {
        let strict = strict.map { $0.sorted().joined(separator: ",") } ?? "|"
        let form =
            switch form {
            case .object: "object"
            case .schema(let text): "schema:\(text.utf8.count):\(text)"
            case nil: ""
            }
        return "\(writing)|\(name ?? "")|\(allowsParallel)|\(strict)|\(form)|\(tools)"
    }
}

/// The form of an answer that calls nothing.
package enum CallForm: Sendable, Equatable {
    /// Any JSON object.
    case object
    /// JSON that is valid by a schema.
    case schema(String)
}

enum CallGrammar {
    /// Calls of one answer.
    private static let callsMax = 16

    /// - Parameter isSpecial: whether a text is a token that no text becomes.
    static func rules(
        _ request: CallRequest, isSpecial: (String) -> Bool
    ) throws(ConstraintError) -> RuleSet {
        var rules = RuleSet()
        var json = JSONRules()
        let root = try rules.add("root")
        rules.root = root
        let space = try json.space(&rules)
        func marker(_ text: String) -> Expression { isSpecial(text) ? .token(text) : .text(text) }
        var bodies: [Expression] = []
        for (name, arguments) in try arguments(request, &rules, &json) {
            switch request.writing {
            case .objects(_, let key, _), .list(_, let key):
                bodies.append(
                    .sequence([
                        .text("{\"name\": "), .bytes(OrderedJSON.quoted(name)),
                        .text(", \"\(key)\": "), arguments, .text("}")
                    ]))
            case .named(_, let separator):
                bodies.append(.sequence([.text(name), marker(separator), arguments]))
            }
        }
        guard !bodies.isEmpty else {
            throw .schema(pointer: "", problem: "there is no tool to call")
        }
        let body = Expression.rule(try rules.add("call", .choice(bodies)))
        let more = request.allowsParallel ? callsMax - 1 : 0
        let list = Expression.sequence([
            .optional(.text(" ")), .text("["), space, body,
            .repetition(.sequence([.text(","), space, body]), least: 0, most: more), space,
            .text("]")
        ])
        if request.isFree {
            switch request.writing {
            case .objects(_, _, let end): rules[root] = .sequence([space, body, space, marker(end)])
            case .list: rules[root] = list
            case .named: rules[root] = body
            }
            return rules
        }
        switch request.writing {
        case .objects(let begin, _, let end) where begin.isEmpty && end.isEmpty:
            rules[root] = body
        case .objects(let begin, _, let end):
            let call = Expression.sequence([
                marker(begin), space, body, space, marker(end)
            ])
            let own = Expression.rule(try rules.add("calls", call))
            rules[root] = .sequence([
                own, .repetition(.sequence([space, own]), least: 0, most: more)
            ])
        case .list(let begin, _):
            rules[root] = .sequence([marker(begin), list])
        case .named(let begin, _):
            let own = Expression.sequence([marker(begin), body])
            rules[root] = .sequence([own, .repetition(own, least: 0, most: more)])
        }
        if let form = request.form {
            let calls = Expression.rule(try rules.add("onlyCalls", rules[root]))
            rules[root] = .choice([try read(form, &rules, &json), calls])
        }
        return rules
    }

    private static func read(
        _ form: CallForm, _ rules: inout RuleSet, _ json: inout JSONRules
    ) throws(ConstraintError) -> Expression {
        switch form {
        case .object: return try json.object(&rules)
        case .schema(let text):
            var reader = SchemaReader(try SchemaReader.parse(text), rules: rules, json: json)
            let root = try reader.root(named: "form")
            (rules, json) = (reader.rules, reader.json)
            return .rule(root)
        }
    }

    /// Each tool's arguments.
    private static func arguments(
        _ request: CallRequest, _ rules: inout RuleSet, _ json: inout JSONRules
    ) throws(ConstraintError) -> [(name: String, arguments: Expression)] {
        var found: [(name: String, arguments: Expression)] = []
        let tools = try SchemaReader.parse(request.tools).array ?? []
        for (index, tool) in tools.enumerated() {
            guard let function = tool["function"], let name = function["name"]?.string,
                request.name == nil || request.name == name
            else { continue }
            if let strict = request.strict, !strict.contains(name) {
                found.append((name, try json.object(&rules)))
                continue
            }
            var schema = function["parameters"] ?? .object([])
            if schema["type"] == nil, case .object(let members) = schema {
                let type = OrderedJSON.Member(name: "type", value: .string("object"))
                schema = .object(members + [type])
            }
            var reader = SchemaReader(schema, rules: rules, json: json)
            do throws(ConstraintError) {
                found.append((name, .rule(try reader.root(named: "tools[\(index)]"))))
            } catch {
                guard case .schema(let pointer, let problem) = error else { throw error }
                throw .schema(
                    pointer: "/\(index)/function/parameters" + pointer, problem: problem)
            }
            (rules, json) = (reader.rules, reader.json)
        }
        return found
    }
}
