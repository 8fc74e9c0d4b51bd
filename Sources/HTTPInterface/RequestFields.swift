// Typed reading of a request's fields. Every complaint names its field, so that it becomes OpenAI's
// `param`.

package import Scheduling

/// A request's JSON object, read field by field. An absent field and `null` are the same.
package struct RequestFields {
    package let members: [String: JSONValue]
    /// What precedes a field's name in complaints, such as `stream_options.`.
    private let prefix: String

    /// Throws `invalidRequest` when the value is not an object.
    package init(_ value: JSONValue, prefix: String = "") throws(GenerationError) {
        guard case .object(let members) = value else {
            let name = prefix.isEmpty ? nil : String(prefix.dropLast())
            throw GenerationError(
                .invalidRequest, "expected an object, found \(value.kind)", parameter: name)
        }
        self.members = members
        self.prefix = prefix
    }

    /// A complaint about the field `name`.
    package func error(_ name: String, _ problem: String) -> GenerationError {
        let parameter = prefix + name
        return GenerationError(.invalidRequest, "\(parameter): \(problem)", parameter: parameter)
    }

    package subscript(_ name: String) -> JSONValue? {
        guard let value = members[name], value != .null else { return nil }
        return value
    }

    package func boolean(_ name: String) throws(GenerationError) -> Bool? {
        guard let value = self[name] else { return nil }
        guard let flag = value.boolean else {
            throw error(name, "expected a boolean, found \(value.kind)")
        }
        return flag
    }

    package func string(_ name: String) throws(GenerationError) -> String? {
        guard let value = self[name] else { return nil }
        guard let text = value.string else {
            throw error(name, "expected a string, found \(value.kind)")
        }
        return text
    }

    /// A whole number within `range`; `3.0` counts as whole.
    package func integer(
        _ name: String, in range: ClosedRange<Int64>
    ) throws(GenerationError) -> Int64? {
        guard let value = self[name] else { return nil }
        let whole: Int64? =
            switch value {
            case .integer(let integer): integer
            case .number(let double): Int64(exactly: double)
            default: nil
            }
        guard let whole else { throw error(name, "expected a whole number, found \(value.kind)") }
        guard range.contains(whole) else {
            throw error(name, "\(whole) is not within \(range.lowerBound)...\(range.upperBound)")
        }
        return whole
    }

    /// A number within `range`.
    package func number(
        _ name: String, in range: ClosedRange<Double>
    ) throws(GenerationError) -> Float? {
        guard let value = self[name] else { return nil }
        guard let double = value.double else {
            throw error(name, "expected a number, found \(value.kind)")
        }
        guard range.contains(double) else {
            throw error(name, "\(double) is not within \(range.lowerBound)...\(range.upperBound)")
        }
        return Float(double)
    }

    /// The object in the field `name`, whose own complaints carry that name.
    package func object(_ name: String) throws(GenerationError) -> RequestFields? {
        guard let value = self[name] else { return nil }
        return try RequestFields(value, prefix: prefix + name + ".")
    }
}
