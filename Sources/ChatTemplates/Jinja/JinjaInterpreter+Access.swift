// Attributes, elements and slices. What would change a list or a dictionary is refused, as in
// Jinja's immutable sandbox.

extension JinjaInterpreter {
    private static let textMethods: Set<String> = [
        "upper", "lower", "title", "capitalize", "swapcase", "strip", "lstrip", "rstrip", "split",
        "rsplit", "splitlines", "startswith", "endswith", "replace", "find", "rfind", "index",
        "count", "join", "format", "isdigit", "isalpha", "isalnum", "isspace", "isupper",
        "islower", "removeprefix", "removesuffix"
    ]
    private static let listMethods: Set<String> = ["index", "count"]
    private static let dictionaryMethods: Set<String> = ["get", "items", "keys", "values", "copy"]
    private static let changingMethods: Set<String> = [
        "append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault",
        "sort", "update"
    ]

    // MARK: attributes and elements

    private func method(of value: JinjaValue, _ name: String) -> JinjaValue? {
        let methods: Set<String>
        switch value {
        case .string: methods = Self.textMethods
        case .list(let list):
            if list.isGenerator { return nil }
            if Self.changingMethods.contains(name) { return unsafe(value, name) }
            methods = Self.listMethods
        case .tuple: methods = Self.listMethods
        case .dictionary:
            if ["clear", "pop", "popitem", "setdefault", "update"].contains(name) {
                return unsafe(value, name)
            }
            methods = Self.dictionaryMethods
        default: return nil
        }
        guard methods.contains(name) else { return nil }
        return .method(JinjaMethod(receiver: value, name: name))
    }

    private func unsafe(_ value: JinjaValue, _ name: String) -> JinjaValue {
        .undefined("access to attribute '\(name)' of '\(value.kind)' object is unsafe")
    }

    private func missing(_ value: JinjaValue, _ name: String) -> JinjaValue {
        .undefined("'\(value.kind)' object has no attribute '\(name.prefix(60))'")
    }

    /// `value.name`: an attribute, or else the element with that key.
    func attribute(of value: JinjaValue, _ name: String) throws(JinjaFault) -> JinjaValue {
        if let attribute = try ownAttribute(of: value, name) { return attribute }
        if case .dictionary(let dictionary) = value, let member = dictionary[name] {
            return member
        }
        return missing(value, name)
    }

    private func ownAttribute(
        of value: JinjaValue, _ name: String
    ) throws(JinjaFault) -> JinjaValue? {
        switch value {
        case .undefined(let problem): throw .failed(problem)
        case .namespace(let number):
            guard !name.hasPrefix("_") else { return unsafe(value, name) }
            return namespaces[number][name]
        case .loop(let number): return try loopAttribute(number, name)
        case .macro(let number):
            return name == "name" ? .text(names[macros[number].macro.name]) : nil
        default: return method(of: value, name)
        }
    }

    /// `value[key]`: an element, or else the attribute of that name.
    func element(of value: JinjaValue, _ key: JinjaValue) throws(JinjaFault) -> JinjaValue {
        switch value {
        case .undefined(let problem): throw .failed(problem)
        case .dictionary(let dictionary):
            try step(key.weight >> 4)
            if let known = try? key.key(), let member = dictionary[known] { return member }
        case .list(let list), .tuple(let list):
            if !list.isGenerator, let index = key.whole {
                let place = index < 0 ? index + list.elements.count : index
                if list.elements.indices.contains(place) { return list.elements[place] }
                return .undefined("list object has no element \(index)")
            }
        case .string(let text):
            if let index = key.whole {
                try step(text.count >> 4)
                let offsets = text.scalarOffsets
                let place = index < 0 ? index + offsets.count : index
                guard offsets.indices.contains(place) else {
                    return .undefined("str object has no element \(index)")
                }
                return .string(text.slice(offsets[place]..<text.scalarEnd(offsets[place])))
            }
        default: break
        }
        guard case .string(let name) = key else {
            return .undefined("'\(value.kind)' object has no such element")
        }
        return try ownAttribute(of: value, name.string) ?? missing(value, name.string)
    }

    func evaluate(
        _ start: JinjaExpression?, _ stop: JinjaExpression?, _ step: JinjaExpression?,
        _ scope: JinjaScope
    ) throws(JinjaFault) -> JinjaSlice {
        var bounds: [Int?] = []
        for part in [start, stop, step] {
            guard let part else {
                bounds.append(nil)
                continue
            }
            let value = try evaluate(part, scope)
            if case .none = value {
                bounds.append(nil)
            } else if let whole = value.whole {
                bounds.append(whole)
            } else {
                throw .failed("slice indices must be integers or None")
            }
        }
        guard bounds[2] != 0 else { throw .failed("slice step cannot be zero") }
        let width = min(max(bounds[2] ?? 1, -(1 << 40)), 1 << 40)
        return JinjaSlice(start: bounds[0], stop: bounds[1], step: width)
    }

    func slice(_ value: JinjaValue, _ indices: JinjaSlice) throws(JinjaFault) -> JinjaValue {
        switch value {
        case .undefined(let problem): throw .failed(problem)
        case .string(let text):
            try charge(8 * text.count)
            return try charged(.string(text.picked(indices)))
        case .list(let list), .tuple(let list):
            guard !list.isGenerator else {
                return .undefined("a generator cannot be sliced")
            }
            try charge(8 * list.elements.count)
            let picked = indices.places(count: list.elements.count).map { list.elements[$0] }
            if case .tuple = value { return try charged(.tuple(picked)) }
            return try charged(.list(picked))
        default: return .undefined("'\(value.kind)' object cannot be sliced")
        }
    }
}
