// A small validator of JSON Schema, written apart from what makes grammars of schemas, to check
// what these allow.

import JSON

/// Whether values are valid, for the keywords that the tests' schemas have.
struct SchemaValidator {
    let root: JSONValue

    func isValid(_ value: JSONValue) -> Bool { isValid(value, root) }

    private func isValid(_ value: JSONValue, _ schema: JSONValue) -> Bool {
        if case .boolean(let allows) = schema { return allows }
        if schema["nullable"] == .boolean(true), value == .null { return true }
        if let reference = schema["$ref"]?.string {
            var target = root
            for part in reference.split(separator: "/").dropFirst() {
                target = target[String(part)] ?? .boolean(false)
            }
            guard isValid(value, target) else { return false }
        }
        if let constant = schema["const"], constant != value { return false }
        if let values = schema["enum"]?.array, !values.contains(value) { return false }
        if let type = schema["type"] {
            let names = type.array ?? [type]
            guard names.contains(where: { isOf($0.string ?? "", value) }) else { return false }
        }
        if let all = schema["allOf"]?.array, !all.allSatisfy({ isValid(value, $0) }) {
            return false
        }
        if let any = schema["anyOf"]?.array, !any.contains(where: { isValid(value, $0) }) {
            return false
        }
        if let one = schema["oneOf"]?.array, one.count(where: { isValid(value, $0) }) != 1 {
            return false
        }
        switch value {
        case .object(let members): return hasValidMembers(members, schema)
        case .array(let values): return hasValidValues(values, schema)
        case .string(let text):
            let count = Double(text.unicodeScalars.count)
            return count >= schema["minLength"]?.double ?? 0
                && count <= schema["maxLength"]?.double ?? .infinity
        default: return isWithinBounds(value.double, schema)
        }
    }

    private func isOf(_ type: String, _ value: JSONValue) -> Bool {
        switch value {
        case .null: type == "null"
        case .boolean: type == "boolean"
        case .string: type == "string"
        case .array: type == "array"
        case .object: type == "object"
        case .integer, .unsigned: type == "integer" || type == "number"
        case .number(let number):
            type == "number" || type == "integer" && number == number.rounded()
        }
    }

    private func isWithinBounds(_ number: Double?, _ schema: JSONValue) -> Bool {
        guard let number else { return true }
        return number >= schema["minimum"]?.double ?? -.infinity
            && number <= schema["maximum"]?.double ?? .infinity
            && number > schema["exclusiveMinimum"]?.double ?? -.infinity
            && number < schema["exclusiveMaximum"]?.double ?? .infinity
    }

    private func hasValidMembers(_ members: [String: JSONValue], _ schema: JSONValue) -> Bool {
        for name in schema["required"]?.array ?? [] where members[name.string ?? ""] == nil {
            return false
        }
        return members.allSatisfy { name, value in
            if let declared = schema["properties"]?[name] { return isValid(value, declared) }
            return isValid(value, schema["additionalProperties"] ?? .boolean(true))
        }
    }

    private func hasValidValues(_ values: [JSONValue], _ schema: JSONValue) -> Bool {
        let count = Double(values.count)
        guard count >= schema["minItems"]?.double ?? 0,
            count <= schema["maxItems"]?.double ?? .infinity
        else { return false }
        let firsts = schema["prefixItems"]?.array ?? []
        return values.enumerated().allSatisfy { index, value in
            isValid(
                value,
                index < firsts.count ? firsts[index] : schema["items"] ?? .boolean(true))
        }
    }
}
