// Schemas that hold at once, as one, where that is plain; and schemas of which no value is valid by
// two.

enum SchemaMerging {
    private static let depthMax = 32

    /// A schema without its `allOf`.
    static func all(
        _ schema: OrderedJSON, in reader: SchemaReader, at pointer: String
    ) throws(ConstraintError) -> OrderedJSON {
        let place = pointer + "/allOf"
        guard let list = schema["allOf"]?.array, !list.isEmpty else {
            throw .schema(pointer: place, problem: "expected a list of schemas")
        }
        var merged = schema.without(["allOf"])
        for (index, other) in list.enumerated() {
            merged = try merge(merged, other, in: reader, at: "\(place)/\(index)")
        }
        return merged
    }

    /// What is valid by both.
    static func merge(
        _ base: OrderedJSON, _ other: OrderedJSON, in reader: SchemaReader, at pointer: String,
        depth: Int = 0
    ) throws(ConstraintError) -> OrderedJSON {
        guard depth < depthMax else {
            throw .schema(pointer: pointer, problem: "refers to itself")
        }
        if other == .boolean(true) || other == .object([]) { return base }
        guard case .object(var members) = base, case .object(let others) = other else {
            throw .schema(pointer: pointer, problem: "cannot be merged with what is around it")
        }
        if let reference = other["$ref"] {
            let target = try reader.resolve(reference, at: pointer)
            let rest = other.without(["$ref"])
            let whole = try merge(
                rest, target.schema, in: reader, at: pointer, depth: depth + 1)
            return try merge(base, whole, in: reader, at: pointer, depth: depth + 1)
        }
        if let closed = closing(base, other) ?? closing(other, base) {
            throw .schema(
                pointer: pointer + "/" + closed, problem: "cannot be merged with other properties")
        }
        for member in others {
            guard let place = members.firstIndex(where: { $0.name == member.name }) else {
                members.append(member)
                continue
            }
            if Keywords.isAnnotation(member.name) { continue }
            guard let both = both(member.name, members[place].value, member.value) else {
                throw .schema(
                    pointer: pointer + "/" + member.name,
                    problem: "cannot be merged with what is around it")
            }
            members[place].value = both
        }
        return .object(members)
    }

    /// A keyword that speaks of all properties, which are more where others are added.
    private static func closing(_ schema: OrderedJSON, _ other: OrderedJSON) -> String? {
        guard schema["additionalProperties"] != nil, let own = schema["properties"]?.members,
            let others = other["properties"]?.members
        else { return nil }
        let names = Set(own.map(\.name))
        return others.allSatisfy { names.contains($0.name) } ? nil : "additionalProperties"
    }

    /// What a keyword says where two schemas have it; nil where that is not plain.
    private static func both(
        _ name: String, _ left: OrderedJSON, _ right: OrderedJSON
    ) -> OrderedJSON? {
        if left == right { return left }
        switch name {
        case "required":
            guard let own = left.array, let others = right.array else { return nil }
            return .array(own + others.filter { !own.contains($0) })
        case "properties":
            guard var own = left.members, let others = right.members else { return nil }
            for member in others {
                if let place = own.firstIndex(where: { $0.name == member.name }) {
                    own[place].value = .object([
                        OrderedJSON.Member(
                            name: "allOf", value: .array([own[place].value, member.value]))
                    ])
                } else {
                    own.append(member)
                }
            }
            return .object(own)
        case "type":
            let own = left.array ?? [left]
            let common = (right.array ?? [right]).filter { own.contains($0) }
            return common.isEmpty ? nil : .array(common)
        case "minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties":
            guard let own = left.double, let other = right.double else { return nil }
            return own >= other ? left : right
        case "maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties":
            guard let own = left.double, let other = right.double else { return nil }
            return own <= other ? left : right
        default: return nil
        }
    }
}

/// `oneOf` is kept where no value can be valid by two of its schemas.
enum Disjointness {
    static func check(
        _ schemas: [OrderedJSON], in reader: SchemaReader, at pointer: String
    ) throws(ConstraintError) {
        var resolved: [OrderedJSON] = []
        for schema in schemas {
            var schema = schema
            var depth = 0
            while let reference = schema["$ref"], depth < 8 {
                schema = try reader.resolve(reference, at: pointer).schema
                depth += 1
            }
            resolved.append(schema)
        }
        for (index, schema) in resolved.enumerated() {
            for other in resolved[..<index] where !areDisjoint(schema, other) {
                throw .schema(
                    pointer: pointer,
                    problem: "a value may be valid by two of these: use anyOf, or tell them apart "
                        + "by type, or by a required property with a const")
            }
        }
    }

    private static func areDisjoint(_ left: OrderedJSON, _ right: OrderedJSON) -> Bool {
        if let own = constants(left), let others = constants(right) {
            return !own.contains { others.contains($0) }
        }
        let (own, others) = (types(left), types(right))
        if let own, let others, own.isDisjoint(with: others) { return true }
        guard own == ["object"], others == ["object"] else { return false }
        let required = Set(names(left)).intersection(names(right))
        return required.contains { name in
            guard let one = left["properties"]?[name].flatMap(constants),
                let other = right["properties"]?[name].flatMap(constants)
            else { return false }
            return !one.contains { other.contains($0) }
        }
    }

    private static func names(_ schema: OrderedJSON) -> [String] {
        schema["required"]?.array?.compactMap(\.string) ?? []
    }

    /// The only values; nil where there are others. Numbers may be written in several ways.
    private static func constants(_ schema: OrderedJSON) -> [OrderedJSON]? {
        let values = schema["const"].map { [$0] } ?? schema["enum"]?.array
        guard let values, schema["nullable"] != .boolean(true) else { return nil }
        let isPlain = values.allSatisfy { value in
            switch value {
            case .string, .boolean, .null: true
            case .number, .array, .object: false
            }
        }
        return isPlain ? values : nil
    }

    private static func types(_ schema: OrderedJSON) -> Set<String>? {
        if let values = constants(schema) {
            return Set(
                values.map {
                    switch $0 {
                    case .string: "string"
                    case .boolean: "boolean"
                    default: "null"
                    }
                })
        }
        let named = schema["type"]
        guard let names = named?.string.map({ [$0] }) ?? named?.array?.compactMap(\.string) else {
            return nil
        }
        var types = Set(names)
        if types.contains("integer") { types.insert("number") }
        if schema["nullable"] == .boolean(true) { types.insert("null") }
        return types
    }
}
