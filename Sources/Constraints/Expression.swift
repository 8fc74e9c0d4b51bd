// Rules as a tree: what GBNF and JSON Schema become before there is an automaton.

/// What a text may be.
indirect enum Expression: Equatable, Sendable {
    /// Exactly these; none of them is nothing.
    case bytes([UInt8])
    case scalar(ScalarRanges)
    /// One token with this text, of any kind.
    case token(String)
    case rule(RuleID)
    case sequence([Expression])
    case choice([Expression])
    /// So many times; without `most`, any number from `least` on.
    case repetition(Expression, least: Int, most: Int?)
    /// Values with something between them. The first `least` are there; after these each may be the
    /// last one; `rest` follows all of them, any number of times.
    case elements([Expression], least: Int, rest: Expression?, separator: Expression)
    /// Members in their order with something between them, some of which may be left out; `rest`
    /// follows the last, any number of times.
    case members([Member], rest: Expression?, separator: Expression)

    struct Member: Equatable, Sendable {
        let text: Expression
        let isRequired: Bool
    }

    static let nothing = Expression.bytes([])

    static func text(_ text: String) -> Expression { .bytes(Array(text.utf8)) }

    static func optional(_ expression: Expression) -> Expression {
        .repetition(expression, least: 0, most: 1)
    }

    /// ASCII characters within `ranges`, such as `"09", "af"`.
    static func ascii(_ ranges: String...) -> Expression {
        .scalar(
            ScalarRanges(
                ranges.map { range in
                    let ends = range.unicodeScalars.map(\.value)
                    return ends[0]...ends[ends.count - 1]
                }))
    }
}

/// A rule's place among all.
struct RuleID: Hashable, Sendable {
    let index: Int
}

/// Rules by their places. The root is one of them.
struct RuleSet: Sendable {
    /// Most rules of one grammar.
    static let rulesMax = 4096

    private(set) var names: [String] = []
    private(set) var bodies: [Expression?] = []
    var root = RuleID(index: 0)

    var count: Int { bodies.count }

    /// A new rule, whose body is said later or now.
    ///
    /// - Throws: `ConstraintError.tooLarge`
    mutating func add(
        _ name: String, _ body: Expression? = nil
    ) throws(ConstraintError) -> RuleID {
        guard count < Self.rulesMax else {
            throw .tooLarge("more than \(Self.rulesMax) rules")
        }
        names.append(name)
        bodies.append(body)
        return RuleID(index: count - 1)
    }

    subscript(rule: RuleID) -> Expression? {
        get { bodies[rule.index] }
        set { bodies[rule.index] = newValue }
    }
}
