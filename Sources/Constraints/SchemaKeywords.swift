// The keywords of JSON Schema: which are kept, which mean nothing for an answer, which are refused.

/// What is known of keywords.
enum Keywords {
    /// What says nothing of which values are valid.
    private static let annotations: Set = [
        "$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "title", "description",
        "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "discriminator",
        "contentMediaType", "contentEncoding", "nullable"
    ]

    private static let objects: Set = [
        "properties", "required", "additionalProperties", "minProperties", "maxProperties"
    ]
    private static let arrays: Set = [
        "items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"
    ]
    private static let strings: Set = ["minLength", "maxLength", "pattern", "format"]
    private static let numbers: Set = [
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"
    ]
    private static let choices: Set = ["type", "const", "enum", "anyOf", "oneOf", "allOf", "$ref"]

    /// Refuses what is not kept, by name.
    static func check(_ schema: OrderedJSON, at pointer: String) throws(ConstraintError) {
        for member in schema.members ?? [] {
            let name = member.name
            let isKnown =
                annotations.contains(name) || choices.contains(name) || objects.contains(name)
                || arrays.contains(name) || strings.contains(name) || numbers.contains(name)
                || name.hasPrefix("x-")
            guard isKnown else {
                throw .schema(pointer: pointer + "/" + escaped(name), problem: "not supported here")
            }
        }
    }

    /// Keywords of a schema that say something.
    static func meaningful(in schema: OrderedJSON) -> [String] {
        (schema.members ?? []).map(\.name).filter {
            !annotations.contains($0) && !$0.hasPrefix("x-")
        }
    }

    static func isAnnotation(_ name: String) -> Bool {
        annotations.contains(name) || name.hasPrefix("x-")
    }

    /// The type of which a schema says something; nil where it says nothing.
    static func impliedTypes(_ schema: OrderedJSON) -> [String]? {
        let names = Set(meaningful(in: schema))
        var types: [String] = []
        if !names.isDisjoint(with: objects) { types.append("object") }
        if !names.isDisjoint(with: arrays) { types.append("array") }
        if !names.isDisjoint(with: strings) { types.append("string") }
        if !names.isDisjoint(with: numbers) { types.append("number") }
        return types.isEmpty ? nil : types
    }

    /// Whether a value is of one of the types.
    static func isOf(types: [String], _ value: OrderedJSON) -> Bool {
        switch value {
        case .null: types.contains("null")
        case .boolean: types.contains("boolean")
        case .string: types.contains("string")
        case .array: types.contains("array")
        case .object: types.contains("object")
        case .number:
            types.contains("number") || types.contains("integer") && value.whole != nil
        }
    }

    /// A name as part of a pointer.
    static func escaped(_ name: String) -> String {
        name.replacing("~", with: "~0").replacing("/", with: "~1")
    }
}
