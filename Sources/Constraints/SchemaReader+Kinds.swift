// What a schema says of objects, arrays, strings and numbers.

extension SchemaReader {
    // MARK: objects

    mutating func object(
        _ schema: OrderedJSON, at pointer: String
    ) throws(ConstraintError) -> Expression {
        var properties: [OrderedJSON.Member] = []
        if let declared = schema["properties"] {
            guard let members = declared.members else {
                throw refusal(pointer + "/properties", "expected an object")
            }
            properties = members
        }
        let required = try required(schema, at: pointer)
        let extra = try additional(schema, hasProperties: schema["properties"] != nil, at: pointer)
        for name in required where !properties.contains(where: { $0.name == name }) {
            // It is as what is not declared is.
            let isAllowed = schema["additionalProperties"] != .boolean(false)
            guard isAllowed else {
                throw refusal(pointer + "/required", "'\(name)' is not among the properties")
            }
            let value = schema["additionalProperties"] ?? .boolean(true)
            properties.append(OrderedJSON.Member(name: name, value: value))
        }
        try checkCounts(schema, required.count, properties.count, extra != nil, at: pointer)
        var members: [Expression.Member] = []
        for property in properties {
            let place = pointer + "/properties/" + Keywords.escaped(property.name)
            let value = try rule(property.value, at: place)
            members.append(
                Expression.Member(
                    text: .sequence([
                        .bytes(OrderedJSON.quoted(property.name)), .text(":"), JSONRules.gap, value
                    ]), isRequired: required.contains(property.name)))
        }
        var rest: Expression?
        if let extra {
            let name = try otherNames(properties.map(\.name), at: pointer)
            rest = .sequence([name, .text(":"), JSONRules.gap, extra])
        }
        return try json.members(&rules, members, rest: rest)
    }

    private func required(
        _ schema: OrderedJSON, at pointer: String
    ) throws(ConstraintError) -> [String] {
        guard let required = schema["required"] else { return [] }
        let names = required.array?.compactMap(\.string)
        guard let names, names.count == required.array?.count else {
            throw refusal(pointer + "/required", "expected a list of names")
        }
        var seen: Set<String> = []
        return names.filter { seen.insert($0).inserted }
    }

    /// What values have that are not declared; nil where there are none.
    private mutating func additional(
        _ schema: OrderedJSON, hasProperties: Bool, at pointer: String
    ) throws(ConstraintError) -> Expression? {
        switch schema["additionalProperties"] {
        case nil: return hasProperties ? nil : try json.value(&rules)
        case .boolean(false): return nil
        case .some(let value): return try rule(value, at: pointer + "/additionalProperties")
        }
    }

    /// Counts of members are kept only where nothing else can be.
    private func checkCounts(
        _ schema: OrderedJSON, _ required: Int, _ declared: Int, _ hasOthers: Bool,
        at pointer: String
    ) throws(ConstraintError) {
        if let least = try count("minProperties", schema, at: pointer), least > required {
            throw refusal(pointer + "/minProperties", "more than are required is not supported")
        }
        if let most = try count("maxProperties", schema, at: pointer),
            hasOthers || most < declared
        {
            throw refusal(pointer + "/maxProperties", "not supported here")
        }
    }

    /// Names of members that are none of these, without escapes: a rule for each beginning that
    /// some of them have.
    private mutating func otherNames(
        _ names: [String], at pointer: String
    ) throws(ConstraintError) -> Expression {
        if names.isEmpty { return try json.name(&rules) }
        let plain = ScalarRanges([0x20...0x21, 0x23...0x5B, 0x5D...0x10FFFF])
        let free = Expression.sequence([
            .repetition(.scalar(plain), least: 0, most: JSONRules.nameMax), .text("\"")
        ])
        // A trie of the names, each node a rule.
        var children: [[UInt32: Int]] = [[:]]
        var isName = [false]
        for name in names {
            var node = 0
            for scalar in name.unicodeScalars {
                if let next = children[node][scalar.value] {
                    node = next
                    continue
                }
                children.append([:])
                isName.append(false)
                children[node][scalar.value] = children.count - 1
                node = children.count - 1
            }
            isName[node] = true
        }
        let rest = Expression.rule(try rules.add("#\(pointer)/additionalProperties", free))
        var places: [RuleID] = []
        for _ in children { places.append(try rules.add("#\(pointer)/additionalProperties")) }
        for (node, next) in children.enumerated() {
            let taken = ScalarRanges(next.keys.map { $0...$0 })
            var alternatives = [
                Expression.sequence([.scalar(plain.subtracting(taken)), rest])
            ]
            for (scalar, child) in next.sorted(by: { $0.key < $1.key }) {
                let own = ScalarRanges([scalar...scalar]).intersection(plain)
                guard !own.isEmpty else { continue }
                alternatives.append(.sequence([.scalar(own), .rule(places[child])]))
            }
            if !isName[node] { alternatives.append(.text("\"")) }
            rules[places[node]] = .choice(alternatives)
        }
        return .sequence([.text("\""), .rule(places[0])])
    }

    // MARK: arrays

    mutating func array(
        _ schema: OrderedJSON, at pointer: String
    ) throws(ConstraintError) -> Expression {
        if let unique = schema["uniqueItems"], unique != .boolean(false) {
            throw refusal(pointer + "/uniqueItems", "not supported here")
        }
        let least = try count("minItems", schema, at: pointer) ?? 0
        let most = try count("maxItems", schema, at: pointer)
        guard most ?? least >= least else {
            throw refusal(pointer + "/maxItems", "less than minItems")
        }
        // Drafts before 2020-12 have the first values in `items`, the others elsewhere.
        let isOld = schema["items"]?.array != nil
        let firsts = isOld ? schema["items"]?.array : schema["prefixItems"]?.array
        if !isOld, schema["prefixItems"] != nil, firsts == nil {
            throw refusal(pointer + "/prefixItems", "expected a list of schemas")
        }
        let othersName = isOld ? "additionalItems" : "items"
        var values: [Expression] = []
        for (index, first) in (firsts ?? []).enumerated() {
            let place = "\(pointer)/\(isOld ? "items" : "prefixItems")/\(index)"
            values.append(try rule(first, at: place))
        }
        let mayFollow = schema[othersName] != .boolean(false)
        var other: Expression?
        if mayFollow, schema[othersName] != nil || firsts == nil || least > values.count {
            let value = schema[othersName] ?? .boolean(true)
            other = try rule(value, at: pointer + "/" + othersName)
        }
        if let most { values = Array(values.prefix(most)) }
        if let other {
            let count = most ?? max(least, values.count)
            try spend(count)
            values += Array(repeating: other, count: max(0, count - values.count))
        }
        guard values.count >= least else {
            throw refusal(pointer + "/minItems", "there are no schemas for so many")
        }
        return try json.elements(
            &rules, values, least: least, rest: most == nil ? other : nil)
    }

    // MARK: strings

    mutating func string(
        _ schema: OrderedJSON, at pointer: String
    ) throws(ConstraintError) -> Expression {
        let least = try count("minLength", schema, at: pointer)
        let most = try count("maxLength", schema, at: pointer)
        let hasCounts = least != nil || most != nil
        for (name, other) in [("pattern", "format"), ("format", "pattern")]
        where schema[name] != nil && (hasCounts || schema[other] != nil) {
            throw refusal(
                pointer + "/" + name, "together with a length, or a \(other), is not supported")
        }
        if let pattern = schema["pattern"] {
            let place = pointer + "/pattern"
            guard let text = pattern.string else { throw refusal(place, "expected a string") }
            do {
                return try PatternReader.string(text)
            } catch {
                throw refusal(place, error.text)
            }
        }
        if let format = schema["format"] {
            guard let name = format.string, let text = Formats.expression(name) else {
                throw refusal(
                    pointer + "/format",
                    "'\(format.string ?? "")' is not supported: \(Formats.names) are")
            }
            return .sequence([.text("\""), text, .text("\"")])
        }
        guard hasCounts else { return try json.string(&rules) }
        guard most ?? .max >= least ?? 0 else {
            throw refusal(pointer + "/maxLength", "less than minLength")
        }
        return try json.string(&rules, least: least ?? 0, most: most)
    }

    // MARK: numbers

    mutating func number(
        _ schema: OrderedJSON, isWhole: Bool, at pointer: String
    ) throws(ConstraintError) -> Expression {
        if let multiple = schema["multipleOf"] {
            guard isWhole, multiple.whole == 1 else {
                throw refusal(pointer + "/multipleOf", "not supported here")
            }
        }
        let least = try bound(
            ("minimum", "exclusiveMinimum"), schema, isWhole: isWhole, isLeast: true, at: pointer)
        let most = try bound(
            ("maximum", "exclusiveMaximum"), schema, isWhole: isWhole, isLeast: false, at: pointer)
        guard least != nil || most != nil else {
            return isWhole ? try json.integer(&rules) : try json.number(&rules)
        }
        let (low, high) = (least ?? -NumberRanges.largest, most ?? NumberRanges.largest)
        guard low <= high else {
            throw refusal(
                pointer + (least == nil ? "/maximum" : "/minimum"),
                "no whole number is within the bounds")
        }
        return isWhole ? NumberRanges.whole(low, high) : NumberRanges.fractions(low, high)
    }

    /// A whole number that is a bound, itself included.
    private func bound(
        _ names: (inclusive: String, exclusive: String), _ schema: OrderedJSON, isWhole: Bool,
        isLeast: Bool, at pointer: String
    ) throws(ConstraintError) -> Int64? {
        var found: Int64?
        for (name, isExclusive) in [(names.inclusive, false), (names.exclusive, true)] {
            guard let value = schema[name] else { continue }
            let place = pointer + "/" + name
            guard let number = value.double else {
                throw refusal(place, "expected a number")
            }
            guard isWhole || !isExclusive else {
                throw refusal(place, "of numbers that need not be whole is not supported")
            }
            guard abs(number) <= Double(NumberRanges.largest) else {
                throw refusal(place, "beyond \(NumberRanges.largest) is not supported")
            }
            let whole = Int64(isLeast ? number.rounded(.up) : number.rounded(.down))
            let isReached = Double(whole) == number
            let own = isExclusive && isReached ? (isLeast ? whole + 1 : whole - 1) : whole
            found = found.map { isLeast ? max($0, own) : min($0, own) } ?? own
        }
        return found
    }
}

/// Formats of strings that are kept to the letter.
enum Formats {
    static let names = "date, time, date-time and uuid"

    static func expression(_ name: String) -> Expression? {
        switch name {
        case "date": date
        case "time": time
        case "date-time": .sequence([date, .text("T"), time])
        case "uuid":
            .sequence([
                hex(8), .text("-"), hex(4), .text("-"), hex(4), .text("-"), hex(4), .text("-"),
                hex(12)
            ])
        default: nil
        }
    }

    private static func hex(_ count: Int) -> Expression {
        .repetition(.ascii("09", "af"), least: count, most: count)
    }

    private static func digits(_ count: Int) -> Expression {
        .repetition(JSONRules.digit, least: count, most: count)
    }

    /// Days that every year has, and no year 0.
    private static let date: Expression = .sequence([
        .ascii("19"), digits(3), .text("-"),
        .choice([
            .sequence([
                .choice(["01", "03", "05", "07", "08", "10", "12"].map { .text($0) }),
                .text("-"), days(to: 31)
            ]),
            .sequence([
                .choice(["04", "06", "09", "11"].map { .text($0) }), .text("-"), days(to: 30)
            ]),
            .sequence([.text("02-"), days(to: 28)])
        ])
    ])

    private static func days(to last: Int) -> Expression {
        var days = [
            Expression.sequence([.text("0"), .ascii("19")]), .sequence([.text("1"), digits(1)]),
            .sequence([.text("2"), last == 28 ? .ascii("08") : digits(1)])
        ]
        if last >= 30 { days.append(.text("30")) }
        if last == 31 { days.append(.text("31")) }
        return .choice(days)
    }

    private static let minutes = Expression.sequence([.ascii("05"), digits(1)])
    private static let hours = Expression.choice([
        .sequence([.ascii("01"), digits(1)]), .sequence([.text("2"), .ascii("03")])
    ])

    /// RFC 3339's, without leap seconds.
    private static let time: Expression = .sequence([
        hours, .text(":"), minutes, .text(":"), minutes,
        .optional(.sequence([.text("."), .repetition(JSONRules.digit, least: 1, most: 6)])),
        .choice([.text("Z"), .sequence([.ascii("++", "--"), hours, .text(":"), minutes])])
    ])
}
