// JSON as clients send it, read with limits on depth, values and number length, so that no body can
// cost more than its size times a small constant. Refuses what readers disagree about: duplicate
// keys, numbers out of range. Half a surrogate pair, which no UTF-8 has, becomes U+FFFD. Names: RFC
// 8259.

/// One JSON value.
package enum JSONValue: Sendable, Equatable {
    case null
    case boolean(Bool)
    /// A number written without fraction and exponent that fits 64 bits with a sign.
    case integer(Int64)
    /// Such a number beyond that which fits 64 bits without one.
    case unsigned(UInt64)
    /// Any other number; always finite.
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// The value's kind, for messages.
    package var kind: String {
        switch self {
        case .null: "null"
        case .boolean: "a boolean"
        case .integer, .unsigned, .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }

    /// A member of an object; nil for a missing member and for any other kind of value.
    package subscript(_ key: String) -> JSONValue? {
        if case .object(let members) = self { members[key] } else { nil }
    }

    package var string: String? {
        if case .string(let text) = self { text } else { nil }
    }

    package var array: [JSONValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    package var boolean: Bool? {
        if case .boolean(let flag) = self { flag } else { nil }
    }

    package var integer: Int64? {
        if case .integer(let value) = self { value } else { nil }
    }

    /// The whole number that any number is: `3.0` and `3e0` are 3. Beyond 2^53 doubles have lost
    /// digits that the text may have had, so that only what was written as an integer counts.
    package var whole: Int64? {
        switch self {
        case .integer(let value): value
        case .number(let value) where abs(value) <= 9_007_199_254_740_992: Int64(exactly: value)
        default: nil
        }
    }

    /// As ``whole``; what lies beyond it is the nearest that there is. Infinity is none.
    package var clampedWhole: Int64? {
        switch self {
        case .unsigned: .max
        case .number(let value) where value == value.rounded() && whole == nil:
            value < 0 ? .min : .max
        default: whole
        }
    }

    /// Any number as a double.
    package var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .unsigned(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }
}

/// Why a text is not JSON that we read, and at which byte.
package struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    package let offset: Int
    package let problem: String

    package init(offset: Int, problem: String) {
        self.offset = offset
        self.problem = problem
    }

    package var description: String { "invalid JSON at byte \(offset): \(problem)" }
}
