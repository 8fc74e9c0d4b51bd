// Typed reading of a request's fields. Every complaint names its field, so that it becomes OpenAI's
// `param`.

package import GenerationAPI
package import JSON

/// A request's JSON object, read field by field. An absent field and `null` are the same.
package struct RequestFields {
    package let members: [String: JSONValue]
    /// What precedes a field's name in complaints, such as `stream_options.`.
    private let prefix: String

    /// Throws `invalidRequest` when the value is not an object.
    package init(_ value: JSONValue, prefix: String = "") throws(GenerationError) {
        guard case .object(let members) = value else {
            let name = prefix.isEmpty ? nil : String(prefix.dropLast())
            let problem = "expected an object, found \(value.kind)"
            throw GenerationError(
                .invalidRequest, name.map { "\($0): \(problem)" } ?? problem, parameter: name)
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
    package func integer<Number: FixedWidthInteger>(
        _ name: String, in range: ClosedRange<Number>
    ) throws(GenerationError) -> Number? {
        guard let value = self[name] else { return nil }
        guard value.double != nil else {
            throw error(name, "expected a whole number, found \(value.kind)")
        }
        guard let whole = value.whole else {
            if case .unsigned(let large) = value { throw outside(name, "\(large)", range) }
            throw error(name, "expected a whole number of at most 64 bits")
        }
        guard let number = Number(exactly: whole), range.contains(number) else {
            throw outside(name, "\(whole)", range)
        }
        return number
    }

    /// A whole number within `range`; one beyond its end is its end.
    package func clampedInteger(
        _ name: String, in range: ClosedRange<Int>
    ) throws(GenerationError) -> Int? {
        guard let value = self[name] else { return nil }
        guard let whole = value.clampedWhole else {
            let found = value.double == nil ? value.kind : "a fraction"
            throw error(name, "expected a whole number, found \(found)")
        }
        let number = min(Int(clamping: whole), range.upperBound)
        guard number >= range.lowerBound else {
            throw error(name, "\(number) is less than \(range.lowerBound)")
        }
        return number
    }

    /// Any 64 bits: 0 to 2^64-1, or, down to -2^63, the two's complement of such a number.
    package func bits(_ name: String) throws(GenerationError) -> UInt64? {
        if case .unsigned(let value)? = self[name] { return value }
        guard let value = self[name], value.double != nil, value.whole == nil else {
            return try integer(name, in: Int64.min...Int64.max).map { UInt64(bitPattern: $0) }
        }
        throw error(name, "expected a whole number within \(Int64.min)...\(UInt64.max)")
    }

    /// A number within `range`.
    package func number(
        _ name: String, in range: ClosedRange<Float>
    ) throws(GenerationError) -> Float? {
        guard let value = self[name] else { return nil }
        guard let double = value.double else {
            throw error(name, "expected a number, found \(value.kind)")
        }
        guard range.contains(Float(double)) else { throw outside(name, "\(double)", range) }
        return Float(double)
    }

    private func outside<Bound>(
        _ name: String, _ value: String, _ range: ClosedRange<Bound>
    ) -> GenerationError {
        error(name, "\(value) is not within \(range.lowerBound)...\(range.upperBound)")
    }

    /// An element of the list in the field `name`, as an object.
    package func element(
        _ value: JSONValue, of name: String, at index: Int
    ) throws(GenerationError) -> RequestFields {
        try RequestFields(value, prefix: "\(prefix)\(name)[\(index)].")
    }

    /// The object in the field `name`, whose own complaints carry that name.
    package func object(_ name: String) throws(GenerationError) -> RequestFields? {
        guard let value = self[name] else { return nil }
        return try RequestFields(value, prefix: prefix + name + ".")
    }
}
