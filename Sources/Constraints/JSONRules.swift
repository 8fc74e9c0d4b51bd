// The grammar of JSON as models write it: what every schema is made of.
//
// It is narrower than RFC 8259: white space ends, numbers have as many digits as readers keep,
// surrogates come in pairs. Whatever it allows is JSON.

/// Rules that are there once, and only where they are used.
struct JSONRules {
    private enum Part: Hashable {
        case space, character, name, string, number, integer, boolean, value, object, array
    }

    private var known: [Part: RuleID] = [:]

    /// Digits of a whole number, and of a fraction.
    static let digitsMax = 15
    /// Characters of a member's name that nobody declared.
    static let nameMax = 64

    private mutating func rule(
        _ part: Part, _ name: String, in rules: inout RuleSet,
        _ body: (inout JSONRules, inout RuleSet) throws(ConstraintError) -> Expression
    ) throws(ConstraintError) -> Expression {
        if let rule = known[part] { return .rule(rule) }
        let rule = try rules.add(name)
        known[part] = rule
        rules[rule] = try body(&self, &rules)
        return .rule(rule)
    }

    /// Nothing, a space, or a line's end and the next one's beginning.
    mutating func space(_ rules: inout RuleSet) throws(ConstraintError) -> Expression {
        try rule(.space, "space", in: &rules) { _, _ in
            .optional(
                .choice([
                    .text(" "),
                    .sequence([
                        .text("\n"),
                        .repetition(.ascii("  ", "\t\t"), least: 0, most: 24)
                    ])
                ]))
        }
    }

    /// After a name's colon.
    static let gap = Expression.optional(.text(" "))

    /// One character within a string, escaped or not.
    mutating func character(_ rules: inout RuleSet) throws(ConstraintError) -> Expression {
        try rule(.character, "character", in: &rules) { _, _ in
            let hex = Expression.ascii("09", "af", "AF")
            let plain = ScalarRanges([0x20...0x21, 0x23...0x5B, 0x5D...0x10FFFF])
            // Neither half of a pair of surrogates, or both.
            let single = Expression.choice([
                .sequence([.ascii("09", "ac", "AC", "ef", "EF"), hex]),
                .sequence([.ascii("dd", "DD"), .ascii("07")])
            ])
            let high = Expression.sequence([.ascii("dd", "DD"), .ascii("89", "ab", "AB"), hex, hex])
            let low = Expression.sequence([.ascii("dd", "DD"), .ascii("cf", "CF"), hex, hex])
            return .choice([
                .scalar(plain),
                .sequence([
                    .text("\\"),
                    .choice([
                        .scalar(ScalarRanges("\"\\/bfnrt".unicodeScalars)),
                        .sequence([
                            .text("u"),
                            .choice([
                                .sequence([single, hex, hex]),
                                .sequence([high, .text("\\u"), low])
                            ])
                        ])
                    ])
                ])
            ])
        }
    }

    mutating func string(_ rules: inout RuleSet) throws(ConstraintError) -> Expression {
        try rule(.string, "string", in: &rules) { own, rules throws(ConstraintError) in
            try own.string(&rules, least: 0, most: nil)
        }
    }

    /// A member's name that nobody declared.
    mutating func name(_ rules: inout RuleSet) throws(ConstraintError) -> Expression {
        try rule(.name, "name", in: &rules) { own, rules throws(ConstraintError) in
            try own.string(&rules, least: 0, most: Self.nameMax)
        }
    }

    /// A string of so many characters.
    mutating func string(
        _ rules: inout RuleSet, least: Int, most: Int?
    ) throws(ConstraintError) -> Expression {
        let character = try character(&rules)
        return .sequence([
            .text("\""), .repetition(character, least: least, most: most), .text("\"")
        ])
    }

    static let digit = Expression.ascii("09")

    /// A whole number, of digits that every reader keeps.
    static let whole = Expression.sequence([
        .optional(.text("-")),
        .choice([
            .text("0"),
            .sequence([.ascii("19"), .repetition(digit, least: 0, most: digitsMax - 1)])
        ])
    ])

    mutating func integer(_ rules: inout RuleSet) throws(ConstraintError) -> Expression {
        try rule(.integer, "integer", in: &rules) { _, _ in Self.whole }
    }

    mutating func number(_ rules: inout RuleSet) throws(ConstraintError) -> Expression {
        try rule(.number, "number", in: &rules) { own, rules throws(ConstraintError) in
            .sequence([
                try own.integer(&rules),
                .optional(
                    .sequence([
                        .text("."), .repetition(Self.digit, least: 1, most: Self.digitsMax)
                    ])),
                .optional(
                    .sequence([
                        .ascii("ee", "EE"), .optional(.ascii("++", "--")),
                        .repetition(Self.digit, least: 1, most: 2)
                    ]))
            ])
        }
    }

    mutating func boolean(_ rules: inout RuleSet) throws(ConstraintError) -> Expression {
        try rule(.boolean, "boolean", in: &rules) { _, _ in
            .choice([.text("true"), .text("false")])
        }
    }

    /// Any value.
    mutating func value(_ rules: inout RuleSet) throws(ConstraintError) -> Expression {
        try rule(.value, "value", in: &rules) { own, rules throws(ConstraintError) in
            .choice([
                try own.object(&rules), try own.array(&rules), try own.string(&rules),
                try own.number(&rules), try own.boolean(&rules), .text("null")
            ])
        }
    }

    /// Any object.
    mutating func object(_ rules: inout RuleSet) throws(ConstraintError) -> Expression {
        try rule(.object, "object", in: &rules) { own, rules throws(ConstraintError) in
            let member = Expression.sequence([
                try own.name(&rules), .text(":"), Self.gap, try own.value(&rules)
            ])
            return try own.members(&rules, [], rest: member)
        }
    }

    /// Any array.
    mutating func array(_ rules: inout RuleSet) throws(ConstraintError) -> Expression {
        try rule(.array, "array", in: &rules) { own, rules throws(ConstraintError) in
            let value = try own.value(&rules)
            return try own.elements(&rules, [], least: 0, rest: value)
        }
    }

    /// An object of these members.
    mutating func members(
        _ rules: inout RuleSet, _ members: [Expression.Member], rest: Expression?
    ) throws(ConstraintError) -> Expression {
        let space = try space(&rules)
        guard !members.isEmpty || rest != nil else { return .text("{}") }
        return .sequence([
            .text("{"), space,
            .members(members, rest: rest, separator: .sequence([.text(","), space])), space,
            .text("}")
        ])
    }

    /// An array of these values.
    mutating func elements(
        _ rules: inout RuleSet, _ values: [Expression], least: Int, rest: Expression?
    ) throws(ConstraintError) -> Expression {
        let space = try space(&rules)
        guard !values.isEmpty || rest != nil else { return .text("[]") }
        return .sequence([
            .text("["), space,
            .elements(
                values, least: least, rest: rest, separator: .sequence([.text(","), space])),
            space, .text("]")
        ])
    }

    /// The rules of any JSON object, as an answer.
    static func objects() throws(ConstraintError) -> RuleSet {
        var rules = RuleSet()
        let root = try rules.add("root")
        var own = JSONRules()
        rules[root] = try own.object(&rules)
        rules.root = root
        return rules
    }
}
