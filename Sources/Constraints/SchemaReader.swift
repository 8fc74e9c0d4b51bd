// JSON Schema to rules. A subset (docs/STRUCTURED.md): whatever an answer within the rules is, it
// is valid by the schema; what cannot be kept so is refused by name, with its place.

internal import JSON

/// Reads a schema.
struct SchemaReader {
    /// Longest text of a schema, in bytes.
    static let bytesMax = 256 << 10
    /// Values of its text, at most.
    private static let valuesMax = 16 << 10
    /// Values of one `enum`, at most, and subschemas of one `anyOf`.
    static let alternativesMax = 512

    private static let typeNames = [
        "object", "array", "string", "number", "integer", "boolean", "null"
    ]

    let root: OrderedJSON
    var rules: RuleSet
    var json: JSONRules
    /// Rules of what `$ref` names, by their pointers.
    private var references: [String: RuleID] = [:]
    /// What was read so far, in parts of expressions: merging and counts repeat them.
    private var spent = 0
    private static let spentMax = 200_000
    private static let subschemaCost = 20
    /// Schemas within schemas that are read at present.
    private var depth = 0
    private static let depthMax = 64

    init(_ root: OrderedJSON, rules: RuleSet = RuleSet(), json: JSONRules = JSONRules()) {
        self.root = root
        self.rules = rules
        self.json = json
    }

    /// The rules of answers that are valid by a schema.
    ///
    /// - Throws: `ConstraintError`
    static func rules(_ text: String) throws(ConstraintError) -> RuleSet {
        var reader = SchemaReader(try parse(text))
        reader.rules.root = try reader.root(named: "#")
        return reader.rules
    }

    /// The rule of the whole schema.
    mutating func root(named name: String) throws(ConstraintError) -> RuleID {
        let rule = try rules.add(name)
        references[""] = rule
        rules[rule] = try read(root, at: "")
        return rule
    }

    static func parse(_ text: String) throws(ConstraintError) -> OrderedJSON {
        guard text.utf8.count <= bytesMax else {
            throw .tooLarge("a schema has at most \(bytesMax) bytes")
        }
        do {
            return try OrderedJSON.parse(text, valuesMax: valuesMax)
        } catch {
            throw .schema(pointer: "", problem: "\(error)")
        }
    }

    /// Counts parts of expressions.
    mutating func spend(_ count: Int) throws(ConstraintError) {
        spent += count
        guard spent <= Self.spentMax else { throw .tooLarge("the schema says too much at once") }
    }

    func refusal(_ pointer: String, _ problem: String) -> ConstraintError {
        .schema(pointer: pointer, problem: problem)
    }

    /// A subschema as a rule of its own, where it may be used more than once.
    mutating func rule(
        _ schema: OrderedJSON, at pointer: String
    ) throws(ConstraintError) -> Expression {
        let body = try read(schema, at: pointer)
        if case .rule = body { return body }
        return .rule(try rules.add("#" + pointer, body))
    }

    mutating func read(
        _ schema: OrderedJSON, at pointer: String
    ) throws(ConstraintError) -> Expression {
        try spend(Self.subschemaCost)
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthMax else {
            throw refusal(pointer, "schemas within schemas nest deeper than \(Self.depthMax)")
        }
        switch schema {
        case .boolean(true): return try json.value(&rules)
        case .boolean(false): return .choice([])
        case .object: break
        default: throw refusal(pointer, "expected a schema: an object, or true or false")
        }
        try Keywords.check(schema, at: pointer)
        let value = try readValue(schema, at: pointer)
        guard schema["nullable"] == .boolean(true) else { return value }
        return .choice([value, .text("null")])
    }

    private mutating func readValue(
        _ schema: OrderedJSON, at pointer: String
    ) throws(ConstraintError) -> Expression {
        if let reference = schema["$ref"] {
            return try follow(reference, of: schema, at: pointer)
        }
        if let value = schema["const"] {
            return try constants([value], of: schema, keyword: "const", at: pointer)
        }
        if let values = schema["enum"] {
            guard let values = values.array, !values.isEmpty else {
                throw refusal(pointer + "/enum", "expected a list of values")
            }
            return try constants(values, of: schema, keyword: "enum", at: pointer)
        }
        if schema["allOf"] != nil {
            let merged = try SchemaMerging.all(schema, in: self, at: pointer)
            return try read(merged, at: pointer)
        }
        for keyword in ["anyOf", "oneOf"] where schema[keyword] != nil {
            return try alternatives(schema, keyword, at: pointer)
        }
        return try typed(schema, at: pointer)
    }

    // MARK: references

    private mutating func follow(
        _ reference: OrderedJSON, of schema: OrderedJSON, at pointer: String
    ) throws(ConstraintError) -> Expression {
        if let other = Keywords.meaningful(in: schema).first(where: { $0 != "$ref" }) {
            throw refusal(pointer + "/\(other)", "beside $ref is not supported")
        }
        let target = try resolve(reference, at: pointer)
        if let rule = references[target.pointer] { return .rule(rule) }
        let rule = try rules.add("#" + target.pointer)
        references[target.pointer] = rule
        rules[rule] = try read(target.schema, at: target.pointer)
        return .rule(rule)
    }

    /// What a `$ref` names, within the schema itself.
    func resolve(
        _ reference: OrderedJSON, at pointer: String
    ) throws(ConstraintError) -> (schema: OrderedJSON, pointer: String) {
        let place = pointer + "/$ref"
        guard let text = reference.string else { throw refusal(place, "expected a string") }
        guard text == "#" || text.hasPrefix("#/") else {
            throw refusal(place, "only references within the schema (#/...) are supported")
        }
        var (schema, path) = (root, "")
        for part in text.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
            .dropFirst()
        {
            let name = part.replacing("%25", with: "%").replacing("~1", with: "/")
                .replacing("~0", with: "~")
            path += "/" + part
            if let list = schema.array, let index = Int(name), list.indices.contains(index) {
                schema = list[index]
            } else if let next = schema[String(name)] {
                schema = next
            } else {
                throw refusal(place, "there is no \(text)")
            }
        }
        return (schema, path)
    }

    // MARK: choices

    private mutating func constants(
        _ values: [OrderedJSON], of schema: OrderedJSON, keyword: String, at pointer: String
    ) throws(ConstraintError) -> Expression {
        let place = pointer + "/" + keyword
        for name in Keywords.meaningful(in: schema) where name != keyword && name != "type" {
            throw refusal(pointer + "/" + name, "beside \(keyword) is not supported")
        }
        guard values.count <= Self.alternativesMax else {
            throw refusal(place, "at most \(Self.alternativesMax) values")
        }
        let types = try types(of: schema, at: pointer)
        let usable = values.filter { value in
            types.map { Keywords.isOf(types: $0, value) } ?? true
        }
        guard !usable.isEmpty else { throw refusal(place, "no value is of the type") }
        let texts = usable.map(\.text)
        try spend(texts.reduce(0) { $0 + $1.count / 4 })
        return .choice(texts.map { .bytes($0) })
    }

    private mutating func alternatives(
        _ schema: OrderedJSON, _ keyword: String, at pointer: String
    ) throws(ConstraintError) -> Expression {
        let place = pointer + "/" + keyword
        guard let list = schema[keyword]?.array, !list.isEmpty else {
            throw refusal(place, "expected a list of schemas")
        }
        guard list.count <= Self.alternativesMax else {
            throw refusal(place, "at most \(Self.alternativesMax) schemas")
        }
        let base = schema.without([keyword])
        let isAlone = Keywords.meaningful(in: base).isEmpty
        var whole: [OrderedJSON] = []
        for (index, branch) in list.enumerated() {
            let members = base.members?.count ?? 0
            try spend(1 + members + (base["properties"]?.members?.count ?? 0))
            whole.append(
                isAlone
                    ? branch
                    : try SchemaMerging.merge(
                        base.without(["nullable"]), branch, in: self, at: "\(place)/\(index)"))
        }
        if keyword == "oneOf" {
            try Disjointness.check(whole, in: self, at: place)
        }
        var expressions: [Expression] = []
        for (index, branch) in whole.enumerated() {
            expressions.append(try read(branch, at: "\(place)/\(index)"))
        }
        return .choice(expressions)
    }

    // MARK: types

    /// The types that a schema names; nil where it names none.
    func types(
        of schema: OrderedJSON, at pointer: String
    ) throws(ConstraintError) -> [String]? {
        guard let type = schema["type"] else { return nil }
        let names = type.string.map { [$0] } ?? type.array?.compactMap(\.string) ?? []
        guard !names.isEmpty, names.count == type.array?.count ?? 1 else {
            throw refusal(pointer + "/type", "expected a type, or a list of types")
        }
        if let unknown = names.first(where: { !Self.typeNames.contains($0) }) {
            throw refusal(pointer + "/type", "'\(unknown)' is no type")
        }
        return names
    }

    private mutating func typed(
        _ schema: OrderedJSON, at pointer: String
    ) throws(ConstraintError) -> Expression {
        // Without a type, that of which something is said.
        let types = try types(of: schema, at: pointer) ?? Keywords.impliedTypes(schema)
        guard let types else { return try json.value(&rules) }
        var alternatives: [Expression] = []
        for type in types {
            // Whole numbers are numbers.
            if type == "integer", types.contains("number") { continue }
            alternatives.append(try self.type(type, schema, at: pointer))
        }
        return alternatives.count == 1 ? alternatives[0] : .choice(alternatives)
    }

    private mutating func type(
        _ name: String, _ schema: OrderedJSON, at pointer: String
    ) throws(ConstraintError) -> Expression {
        switch name {
        case "object": try object(schema, at: pointer)
        case "array": try array(schema, at: pointer)
        case "string": try string(schema, at: pointer)
        case "number", "integer": try number(schema, isWhole: name == "integer", at: pointer)
        case "boolean": try json.boolean(&rules)
        default: .text("null")
        }
    }

    /// A count that a keyword says.
    func count(
        _ name: String, _ schema: OrderedJSON, at pointer: String
    ) throws(ConstraintError) -> Int? {
        guard let value = schema[name] else { return nil }
        guard let count = value.whole, count >= 0 else {
            throw refusal(pointer + "/" + name, "expected a count")
        }
        guard count <= Int64(GBNFParser.repetitionsMax) else {
            throw refusal(
                pointer + "/" + name, "at most \(GBNFParser.repetitionsMax) is supported")
        }
        return Int(count)
    }
}

extension OrderedJSON {
    /// The object without some members.
    func without(_ names: Set<String>) -> OrderedJSON {
        guard case .object(let members) = self else { return self }
        return .object(members.filter { !names.contains($0.name) })
    }
}
