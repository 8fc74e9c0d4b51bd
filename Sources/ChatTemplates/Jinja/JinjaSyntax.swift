// What a template says, as a tree.

struct JinjaExpression {
    indirect enum Kind {
        case constant(JinjaValue)
        case name(Int)
        case list([JinjaExpression])
        case tuple([JinjaExpression])
        case dictionary([(key: JinjaExpression, value: JinjaExpression)])
        case attribute(JinjaExpression, String)
        case subscripted(JinjaExpression, JinjaExpression)
        case slice(
            JinjaExpression, start: JinjaExpression?, stop: JinjaExpression?,
            step: JinjaExpression?)
        case call(JinjaExpression, JinjaCallArguments)
        case filter(JinjaExpression?, String, JinjaCallArguments)
        case test(JinjaExpression, String, JinjaCallArguments)
        case negative(JinjaExpression)
        case positive(JinjaExpression)
        case not(JinjaExpression)
        case binary(JinjaOperator, JinjaExpression, JinjaExpression)
        case concat([JinjaExpression])
        case and(JinjaExpression, JinjaExpression)
        case or(JinjaExpression, JinjaExpression)
        case compare(JinjaExpression, [(JinjaComparison, JinjaExpression)])
        case conditional(JinjaExpression, then: JinjaExpression, otherwise: JinjaExpression?)
    }

    let kind: Kind
    /// In bytes of the source.
    let offset: Int
    /// Of the tree below, itself counted.
    let depth: Int
}

enum JinjaOperator: String {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case remainder = "%"
    case power = "**"
}

enum JinjaComparison: String {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case isIn = "in"
    case isNotIn = "not in"
}

struct JinjaCallArguments {
    var positional: [JinjaExpression] = []
    var keywords: [(name: String, value: JinjaExpression)] = []
    /// `*list`.
    var spread: JinjaExpression?

    var depth: Int {
        max(
            positional.map(\.depth).max() ?? 0, keywords.map(\.value.depth).max() ?? 0,
            spread?.depth ?? 0)
    }
}

indirect enum JinjaTarget {
    case name(Int)
    /// An attribute of a namespace.
    case attribute(Int, String)
    case tuple([JinjaTarget])
}

struct JinjaStatement {
    indirect enum Kind {
        case text(MarkedText)
        case output(JinjaExpression)
        case conditional([(condition: JinjaExpression, body: [JinjaStatement])], [JinjaStatement])
        case loop(JinjaLoop)
        case set(JinjaTarget, JinjaExpression)
        case setBlock(JinjaTarget, [JinjaFilterCall], [JinjaStatement])
        case macro(JinjaMacro)
        case callBlock(JinjaMacro, JinjaExpression)
        case filterBlock([JinjaFilterCall], [JinjaStatement])
        case with([(JinjaTarget, JinjaExpression)], [JinjaStatement])
        case breakLoop
        case continueLoop
    }

    let kind: Kind
    let offset: Int
}

struct JinjaFilterCall {
    let name: String
    let arguments: JinjaCallArguments
    let offset: Int
}

struct JinjaLoop {
    let target: JinjaTarget
    let iterated: JinjaExpression
    let condition: JinjaExpression?
    let body: [JinjaStatement]
    let otherwise: [JinjaStatement]
}

struct JinjaMacro {
    let name: Int
    let parameters: [(name: Int, initial: JinjaExpression?)]
    let body: [JinjaStatement]
}
