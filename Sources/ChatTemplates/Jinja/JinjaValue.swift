// What a template computes with: Python's values, of which only namespaces change.

/// A value of a template.
package enum JinjaValue {
    /// Nothing; what was meant, for messages.
    case undefined(String)
    case none
    case boolean(Bool)
    case integer(Int)
    case float(Double)
    case string(MarkedText)
    case list(JinjaList)
    case tuple(JinjaList)
    case dictionary(JinjaDictionary)
    /// A namespace, a macro or a running loop: by number, so that no value can hold itself.
    case namespace(Int)
    case macro(Int)
    case loop(Int)
    /// A function of this program.
    case function(String)
    /// A method of a text, a list or a dictionary.
    case method(JinjaMethod)
}

/// A list or a tuple. Never changed once made.
package struct JinjaList {
    package let elements: [JinjaValue]
    /// What Jinja's filters give that make a list as it is looked at: good for loops and filters.
    let isGenerator: Bool
    let depth: Int
    /// What writing the list takes: see ``JinjaValue/weight``.
    let weight: Int

    package init(_ elements: [JinjaValue]) { self.init(elements, isGenerator: false) }

    init(_ elements: [JinjaValue], isGenerator: Bool) {
        self.elements = elements
        self.isGenerator = isGenerator
        depth = 1 + (elements.lazy.map(\.depth).max() ?? 0)
        weight = elements.reduce(1) { $0.addingWeight($1.weight) }
    }
}

/// A dictionary with its members in the order in which they were put there.
package struct JinjaDictionary {
    package private(set) var members: [(key: JinjaValue, value: JinjaValue)] = []
    private var places: [JinjaKey: Int] = [:]
    private(set) var depth = 1
    private(set) var weight = 1

    package init() {}

    package var count: Int { members.count }

    package subscript(_ name: String) -> JinjaValue? {
        places[.text(Array(name.utf8))].map { members[$0].value }
    }

    subscript(_ key: JinjaKey) -> JinjaValue? { places[key].map { members[$0].value } }

    package mutating func set(_ name: String, _ value: JinjaValue) {
        set(.text(Array(name.utf8)), .string(MarkedText(name)), value)
    }

    /// Puts a member in, at the place of one with the same key.
    mutating func set(_ key: JinjaKey, _ keyValue: JinjaValue, _ value: JinjaValue) {
        depth = max(depth, 1 + value.depth, 1 + keyValue.depth)
        weight = weight.addingWeight(value.weight).addingWeight(keyValue.weight)
        if let place = places[key] {
            members[place].value = value
        } else {
            places[key] = members.count
            members.append((keyValue, value))
        }
    }
}

/// What a dictionary finds its members by.
enum JinjaKey: Hashable {
    case none
    case text([UInt8])
    /// Also true and false, which Python has for 1 and 0.
    case integer(Int)
    case float(Double)
    case tuple([JinjaKey])
}

/// A method of a value, which is called later.
package final class JinjaMethod {
    let receiver: JinjaValue
    let name: String

    init(receiver: JinjaValue, name: String) {
        self.receiver = receiver
        self.name = name
    }
}

extension JinjaValue {
    package static func text(_ text: String) -> JinjaValue { .string(MarkedText(text)) }

    static func list(_ elements: [JinjaValue]) -> JinjaValue { .list(JinjaList(elements)) }

    static func generator(_ elements: [JinjaValue]) -> JinjaValue {
        .list(JinjaList(elements, isGenerator: true))
    }

    static func tuple(_ elements: [JinjaValue]) -> JinjaValue { .tuple(JinjaList(elements)) }

    /// Levels of nesting.
    var depth: Int {
        switch self {
        case .list(let list), .tuple(let list): list.depth
        case .dictionary(let dictionary): dictionary.depth
        case .method(let method): 1 + method.receiver.depth
        default: 0
        }
    }

    /// Bytes and values that writing the value passes, at the least: lists hold others, and may
    /// hold one many times.
    var weight: Int {
        switch self {
        case .string(let text): 1 + text.count
        case .list(let list), .tuple(let list): list.weight
        case .dictionary(let dictionary): dictionary.weight
        default: 1
        }
    }

    /// Python's truth.
    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .boolean(let flag): flag
        case .integer(let value): value != 0
        case .float(let value): value != 0
        case .string(let text): !text.isEmpty
        case .list(let list), .tuple(let list):
            list.isGenerator || !list.elements.isEmpty
        case .dictionary(let dictionary): dictionary.count > 0
        case .namespace, .macro, .loop, .function, .method: true
        }
    }

    var isUndefined: Bool { if case .undefined = self { true } else { false } }

    /// Whole numbers, true and false.
    var whole: Int? {
        switch self {
        case .integer(let value): value
        case .boolean(let flag): flag ? 1 : 0
        default: nil
        }
    }

    var number: Double? {
        if case .float(let value) = self { return value }
        return whole.map(Double.init)
    }

    var text: MarkedText? { if case .string(let text) = self { text } else { nil } }

    /// Python's name of the kind, for messages.
    var kind: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "NoneType"
        case .boolean: "bool"
        case .integer: "int"
        case .float: "float"
        case .string: "str"
        case .list(let list): list.isGenerator ? "generator" : "list"
        case .tuple: "tuple"
        case .dictionary: "dict"
        case .namespace: "Namespace"
        case .macro: "Macro"
        case .loop: "LoopContext"
        case .function: "function"
        case .method: "method"
        }
    }

    /// This value as a dictionary's key.
    func key() throws(JinjaFault) -> JinjaKey {
        switch self {
        case .none: return .none
        case .boolean, .integer: return .integer(whole ?? 0)
        case .float(let value):
            return Int(exactly: value).map { .integer($0) } ?? .float(value)
        case .string(let text): return .text(text.bytes)
        case .tuple(let list):
            var keys: [JinjaKey] = []
            for element in list.elements { keys.append(try element.key()) }
            return .tuple(keys)
        default: throw .failed("unhashable type: '\(kind)'")
        }
    }
}

extension Int {
    fileprivate func addingWeight(_ other: Int) -> Int {
        let (sum, isOver) = addingReportingOverflow(other)
        return isOver ? .max : sum
    }
}

// MARK: - Comparing

extension JinjaValue {
    /// Python's `==`.
    func equals(_ other: JinjaValue) -> Bool {
        switch (self, other) {
        case (.undefined, .undefined), (.none, .none): true
        case (.string(let left), .string(let right)): left == right
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            left.isGenerator == right.isGenerator && left.elements.count == right.elements.count
                && zip(left.elements, right.elements).allSatisfy { $0.equals($1) }
        case (.dictionary(let left), .dictionary(let right)):
            left.count == right.count
                && left.members.allSatisfy { key, value in
                    guard let key = try? key.key(), let there = right[key] else { return false }
                    return value.equals(there)
                }
        case (.namespace(let left), .namespace(let right)), (.macro(let left), .macro(let right)),
            (.loop(let left), .loop(let right)):
            left == right
        case (.function(let left), .function(let right)): left == right
        default:
            if let left = whole, let right = other.whole {
                left == right
            } else if let left = number, let right = other.number {
                left == right
            } else {
                false
            }
        }
    }

    /// Python's `<`.
    func isLess(than other: JinjaValue) throws(JinjaFault) -> Bool {
        switch (self, other) {
        case (.string(let left), .string(let right)): return left < right
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            for (one, two) in zip(left.elements, right.elements) where !one.equals(two) {
                return try one.isLess(than: two)
            }
            return left.elements.count < right.elements.count
        default:
            if let left = whole, let right = other.whole { return left < right }
            if let left = number, let right = other.number { return left < right }
            throw .failed(
                "'<' not supported between instances of '\(kind)' and '\(other.kind)'")
        }
    }
}
