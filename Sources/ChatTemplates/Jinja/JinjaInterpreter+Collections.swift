// Filters that look at the elements of a list, and tests.

extension JinjaInterpreter {
    func collection(
        _ name: String, _ value: JinjaValue, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        if name == "dictsort" { return try dictionarySorted(value, arguments) }
        if name == "map", !value.isTrue { return .generator([]) }
        let elements = try elements(of: value)
        try step(elements.count)
        switch name {
        case "join":
            let given = try arguments.bound(to: "d", "attribute", in: name)
            let separator = try printed(given[0] ?? .text(""))
            var parts = elements
            if let attribute = given[1] {
                parts = try elements.mapped { element throws(JinjaFault) in
                    try self.path(attribute, of: element)
                }
            }
            return .string(try joined(parts, separator, isStrict: false))
        case "map": return try mapped(elements, arguments)
        case "sort":
            return .list(
                try sorted(
                    elements,
                    by: arguments.bound(to: "reverse", "case_sensitive", "attribute", in: name)))
        case "min", "max":
            let given = try arguments.bound(to: "case_sensitive", "attribute", in: name)
            let order = try sorted(elements, name == "max") { element throws(JinjaFault) in
                let key = try given[1].map { attribute throws(JinjaFault) in
                    try self.path(attribute, of: element)
                }
                return self.folded(key ?? element, given[0]?.isTrue ?? false)
            }
            return order.first ?? .undefined("No aggregated item, sequence was empty.")
        case "unique":
            let given = try arguments.bound(to: "case_sensitive", "attribute", in: name)
            var seen: Set<JinjaKey> = []
            var kept: [JinjaValue] = []
            for element in elements {
                var key = element
                if let attribute = given[1] { key = try path(attribute, of: element) }
                try step(key.weight >> 4)
                if seen.insert(try folded(key, given[0]?.isTrue ?? false).key()).inserted {
                    kept.append(element)
                }
            }
            return .generator(kept)
        case "sum":
            let given = try arguments.bound(to: "attribute", "start", in: name)
            var sum = given[1] ?? .integer(0)
            for element in elements {
                var number = element
                if let attribute = given[0] { number = try path(attribute, of: element) }
                guard let left = sum.whole, let right = number.whole else {
                    throw .failed("sum takes whole numbers")
                }
                let (result, isOver) = left.addingReportingOverflow(right)
                guard !isOver else { throw Self.overflow }
                sum = .integer(result)
            }
            return sum
        default: throw .failed("there is no filter '\(name)'")
        }
    }

    /// - Parameter given: whether backwards, whether capitals count, and keys.
    private func sorted(
        _ elements: [JinjaValue], by given: [JinjaValue?]
    ) throws(JinjaFault) -> [JinjaValue] {
        let isCaseSensitive = given[1]?.isTrue ?? false
        return try sorted(elements, given[0]?.isTrue ?? false) { element throws(JinjaFault) in
            guard let names = given[2]?.text else {
                return self.folded(element, isCaseSensitive)
            }
            // Lists of keys, of which equal ones are not compared further.
            return .list(
                try names.split(MarkedText(",")).map { name throws(JinjaFault) in
                    self.folded(try self.path(.string(name), of: element), isCaseSensitive)
                })
        }
    }

    private func sorted(
        _ elements: [JinjaValue], _ isReversed: Bool,
        _ key: (JinjaValue) throws(JinjaFault) -> JinjaValue
    ) throws(JinjaFault) -> [JinjaValue] {
        var weight = 0
        for element in elements { weight += min(element.weight, 1 << 32) }
        // Each is compared with as many as its place has bits, and more.
        try charge(weight, times: 2 * (Int.bitWidth - elements.count.leadingZeroBitCount) + 1)
        return try jinjaSorted(elements, reversed: isReversed, by: key)
    }

    /// Without capitals, which sorting does not tell apart unless it is asked to.
    private func folded(_ value: JinjaValue, _ isCaseSensitive: Bool) -> JinjaValue {
        guard !isCaseSensitive, case .string(let text) = value else { return value }
        return .string(text.lowercased)
    }

    private func dictionarySorted(
        _ value: JinjaValue, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        let given = try arguments.bound(to: "case_sensitive", "by", "reverse", in: "dictsort")
        guard case .dictionary(let dictionary) = value else {
            if case .undefined(let problem) = value { throw .failed(problem) }
            throw .failed("'\(value.kind)' object has no attribute 'items'")
        }
        let byValue = given[1]?.text == MarkedText("value")
        let pairs = dictionary.members.map { JinjaValue.tuple([$0.key, $0.value]) }
        let isCaseSensitive = given[0]?.isTrue ?? false
        return .list(
            try sorted(pairs, given[2]?.isTrue ?? false) { pair throws(JinjaFault) in
                guard case .tuple(let parts) = pair else { return pair }
                return self.folded(parts.elements[byValue ? 1 : 0], isCaseSensitive)
            })
    }

    private func mapped(
        _ elements: [JinjaValue], _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        if arguments.positional.isEmpty {
            guard let attribute = arguments.keywords.first(where: { $0.name == "attribute" })
            else { throw .failed("map requires a filter argument") }
            let fallback = arguments.keywords.first { $0.name == "default" }?.value
            return .generator(
                try elements.mapped { element throws(JinjaFault) in
                    let found = try self.path(attribute.value, of: element)
                    return found.isUndefined ? fallback ?? found : found
                })
        }
        guard let name = arguments.positional[0].text?.string else {
            throw .failed("map takes the name of a filter")
        }
        let rest = JinjaArguments(
            positional: Array(arguments.positional.dropFirst()), keywords: arguments.keywords)
        return .generator(
            try elements.mapped { element throws(JinjaFault) in
                try self.nested { () throws(JinjaFault) in
                    try self.charged(try self.filter(name, element, rest))
                }
            })
    }

    /// The attribute of an attribute that a dotted name names.
    private func path(
        _ name: JinjaValue, of value: JinjaValue
    ) throws(JinjaFault) -> JinjaValue {
        guard case .string(let text) = name else { return try element(of: value, name) }
        var value = value
        for part in text.split(MarkedText(".")) {
            try step()
            let index = Int(part.string)
            value = try element(of: value, index.map { .integer($0) } ?? .string(part))
        }
        return value
    }

    func selected(
        _ name: String, _ value: JinjaValue, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        var rest = arguments
        var attribute: JinjaValue?
        if name.hasSuffix("attr") {
            guard !rest.positional.isEmpty else { throw .failed("\(name) takes an attribute") }
            attribute = rest.positional.removeFirst()
        }
        var test: String?
        if let first = rest.positional.first {
            guard let text = first.text else { throw .failed("\(name) takes a test's name") }
            test = text.string
            rest.positional.removeFirst()
        }
        let wanted = name.hasPrefix("select")
        var kept: [JinjaValue] = []
        for element in value.isTrue ? try elements(of: value) : [] {
            try step()
            var subject = element
            if let attribute { subject = try path(attribute, of: element) }
            let holds =
                try test.map { test throws(JinjaFault) in
                    try self.test(test, subject, rest)
                } ?? subject.isTrue
            if holds == wanted { kept.append(element) }
        }
        return .generator(kept)
    }

    // MARK: tests

    func test(
        _ name: String, _ value: JinjaValue, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> Bool {
        if let comparison = Self.comparisons[name] {
            let given = try arguments.bound(to: "other", in: name)
            guard let other = given[0] else { throw .failed("the test '\(name)' takes a value") }
            return try compare(value, comparison, other)
        }
        if name == "divisibleby" {
            let given = try arguments.bound(to: "num", in: name)
            guard let left = value.whole, let right = given[0]?.whole, right != 0 else {
                throw .failed("divisibleby takes whole numbers")
            }
            return right == -1 || left % right == 0
        }
        _ = try arguments.bound(in: "the test '\(name.prefix(60))'")
        switch name {
        case "odd", "even":
            guard let whole = value.whole else { throw .failed("'\(name)' takes whole numbers") }
            return (whole & 1 == 1) == (name == "odd")
        case "lower": return try printed(value).isCased { $0.isLowercase }
        case "upper": return try printed(value).isCased { $0.isUppercase }
        case "filter": return false
        default: return try kindTest(name, value)
        }
    }

    private static let comparisons: [String: JinjaComparison] = [
        "equalto": .equal, "==": .equal, "eq": .equal, "ne": .notEqual, "!=": .notEqual,
        "in": .isIn, "gt": .greater, ">": .greater, "greaterthan": .greater,
        "ge": .greaterOrEqual, ">=": .greaterOrEqual, "lt": .less, "<": .less, "lessthan": .less,
        "le": .lessOrEqual, "<=": .lessOrEqual
    ]

    private func kindTest(_ name: String, _ value: JinjaValue) throws(JinjaFault) -> Bool {
        switch (name, value) {
        case ("defined", _): return !value.isUndefined
        case ("undefined", _): return value.isUndefined
        case ("none", .none), ("boolean", .boolean), ("true", .boolean(true)),
            ("false", .boolean(false)), ("string", .string), ("mapping", .dictionary),
            ("integer", .integer), ("float", .float), ("number", .integer), ("number", .float),
            ("number", .boolean), ("callable", .macro), ("callable", .function),
            ("callable", .method), ("sequence", .string),
            ("sequence", .tuple), ("sequence", .dictionary), ("sequence", .undefined),
            ("iterable", .string), ("iterable", .list), ("iterable", .tuple),
            ("iterable", .dictionary), ("iterable", .undefined), ("iterable", .loop):
            return true
        case ("sequence", .list(let list)): return !list.isGenerator
        case ("escaped", .string(let text)): return text.isMarkup
        case ("none", _), ("boolean", _), ("true", _), ("false", _), ("string", _),
            ("mapping", _), ("integer", _), ("float", _), ("number", _), ("callable", _),
            ("sequence", _), ("iterable", _), ("escaped", _):
            return false
        default: throw .failed("there is no test '\(name.prefix(60))'")
        }
    }
}

extension MarkedText {
    fileprivate func isCased(_ test: (Unicode.Scalar.Properties) -> Bool) -> Bool {
        let cased = string.unicodeScalars.filter(\.properties.isCased)
        return !cased.isEmpty && cased.allSatisfy { test($0.properties) }
    }
}

extension [JinjaValue] {
    fileprivate func mapped(
        _ change: (JinjaValue) throws(JinjaFault) -> JinjaValue
    ) throws(JinjaFault) -> [JinjaValue] {
        var result: [JinjaValue] = []
        result.reserveCapacity(count)
        for element in self { result.append(try change(element)) }
        return result
    }
}
