// Tokens to statements, with Jinja's grammar.

struct JinjaParser {
    private let tokens: [JinjaToken]
    private var index = 0
    private var depth = 0
    private var numbers: [String: Int] = [:]
    /// The names that the template uses, by number.
    private(set) var names: [String] = []

    /// Names with a meaning of their own.
    static let fixedNames = ["loop", "caller", "varargs", "kwargs"]

    init(tokens: [JinjaToken]) {
        self.tokens = tokens
        for name in Self.fixedNames { _ = number(of: name) }
    }

    /// Where reading is, also of errors.
    var position: Int { current.offset }

    mutating func parse() throws(JinjaFault) -> [JinjaStatement] {
        let body = try parseBody(until: [])
        guard current.kind == .end else { throw unexpected() }
        return body
    }

    // MARK: tokens

    var current: JinjaToken { tokens[min(index, tokens.count - 1)] }
    var next: JinjaToken { tokens[min(index + 1, tokens.count - 1)] }

    mutating func advance(_ count: Int = 1) { index += count }

    mutating func skip(name: String) -> Bool {
        guard current.isName(name) else { return false }
        advance()
        return true
    }

    mutating func skip(_ symbol: String) -> Bool {
        guard current.isSymbol(symbol) else { return false }
        advance()
        return true
    }

    mutating func expect(_ symbol: String) throws(JinjaFault) {
        guard skip(symbol) else { throw unexpected("'\(symbol)'") }
    }

    mutating func expectName() throws(JinjaFault) -> String {
        guard case .name(let name) = current.kind else { throw unexpected("a name") }
        advance()
        return name
    }

    mutating func number(of name: String) -> Int {
        if let number = numbers[name] { return number }
        numbers[name] = names.count
        names.append(name)
        return names.count - 1
    }

    func unexpected(_ expected: String? = nil) -> JinjaFault {
        let found =
            switch current.kind {
            case .text: "text"
            case .blockBegin: "'{%'"
            case .blockEnd: "'%}'"
            case .variableBegin: "'{{'"
            case .variableEnd: "'}}'"
            case .name(let name): "'\(name.prefix(40))'"
            case .string: "a string"
            case .integer, .float: "a number"
            case .symbol(let symbol): "'\(symbol)'"
            case .end: "the end of the template"
            }
        guard let expected else { return JinjaFault(.syntax, "unexpected \(found)") }
        return JinjaFault(.syntax, "expected \(expected), found \(found)")
    }

    /// Counts a level of nesting for as long as `body` reads.
    mutating func nested<Value>(
        _ body: (inout JinjaParser) throws(JinjaFault) -> Value
    ) throws(JinjaFault) -> Value {
        depth += 1
        defer { depth -= 1 }
        guard depth <= JinjaLimits.depthMax else {
            throw JinjaFault(.limit, "nested deeper than \(JinjaLimits.depthMax)")
        }
        return try body(&self)
    }

    // MARK: statements

    /// Statements up to a tag that one of `ends` names, whose name is the current token.
    private mutating func parseBody(until ends: Set<String>) throws(JinjaFault) -> [JinjaStatement]
    {
        var body: [JinjaStatement] = []
        while true {
            let offset = current.offset
            switch current.kind {
            case .text(let text):
                advance()
                body.append(JinjaStatement(kind: .text(text), offset: offset))
            case .variableBegin:
                advance()
                let value = try parseTuple()
                guard current.kind == .variableEnd else { throw unexpected("'}}'") }
                advance()
                body.append(JinjaStatement(kind: .output(value), offset: offset))
            case .blockBegin:
                advance()
                if case .name(let name) = current.kind, ends.contains(name) { return body }
                let kinds = try nested { parser throws(JinjaFault) in try parser.parseTag() }
                body += kinds.map { JinjaStatement(kind: $0, offset: offset) }
            default:
                guard ends.isEmpty else {
                    throw unexpected(ends.sorted().map { "'\($0)'" }.joined(separator: " or "))
                }
                return body
            }
        }
    }

    private mutating func endTag() throws(JinjaFault) {
        guard current.kind == .blockEnd else { throw unexpected("'%}'") }
        advance()
    }

    /// A tag's body and the tag that ends it.
    private mutating func block(_ end: String) throws(JinjaFault) -> [JinjaStatement] {
        try endTag()
        let body = try parseBody(until: [end])
        advance()
        try endTag()
        return body
    }

    private mutating func parseTag() throws(JinjaFault) -> [JinjaStatement.Kind] {
        guard case .name(let tag) = current.kind else { throw unexpected("a tag's name") }
        advance()
        switch tag {
        case "if": return [try parseIf()]
        case "for": return [try parseFor()]
        case "set": return [try parseSet()]
        case "macro": return [.macro(try parseMacro(name: try expectName(), end: "endmacro"))]
        case "call": return [try parseCallBlock()]
        case "filter":
            let filters = try parseFilters(isFirst: true)
            return [.filterBlock(filters, try block("endfilter"))]
        case "with": return [try parseWith()]
        // Which parts a model is trained on does not matter here; names stay inside.
        case "generation": return [.with([], try block("endgeneration"))]
        case "break", "continue":
            try endTag()
            return [tag == "break" ? .breakLoop : .continueLoop]
        case "print":
            let value = try parseTuple()
            try endTag()
            return [.output(value)]
        default:
            index -= 1
            throw JinjaFault(.syntax, "the tag '\(tag.prefix(40))' is unknown here")
        }
    }

    private mutating func parseIf() throws(JinjaFault) -> JinjaStatement.Kind {
        var branches: [(condition: JinjaExpression, body: [JinjaStatement])] = []
        var otherwise: [JinjaStatement] = []
        while true {
            let condition = try parseTuple(withConditional: false)
            try endTag()
            branches.append((condition, try parseBody(until: ["elif", "else", "endif"])))
            if skip(name: "elif") { continue }
            if skip(name: "else") {
                try endTag()
                otherwise = try parseBody(until: ["endif"])
            }
            advance()
            try endTag()
            return .conditional(branches, otherwise)
        }
    }

    private mutating func parseFor() throws(JinjaFault) -> JinjaStatement.Kind {
        let target = try parseTarget(end: "in")
        guard skip(name: "in") else { throw unexpected("'in'") }
        let iterated = try parseTuple(withConditional: false, end: "recursive")
        var condition: JinjaExpression?
        if skip(name: "if") { condition = try parseExpression() }
        guard !current.isName("recursive") else {
            throw JinjaFault(.syntax, "recursive loops are not supported")
        }
        try endTag()
        let body = try parseBody(until: ["endfor", "else"])
        var otherwise: [JinjaStatement] = []
        if skip(name: "else") {
            try endTag()
            otherwise = try parseBody(until: ["endfor"])
        }
        advance()
        try endTag()
        return .loop(
            JinjaLoop(
                target: target, iterated: iterated, condition: condition, body: body,
                otherwise: otherwise))
    }

    private mutating func parseSet() throws(JinjaFault) -> JinjaStatement.Kind {
        let target = try parseTarget(allowsAttribute: true)
        if skip("=") {
            let value = try parseTuple()
            try endTag()
            return .set(target, value)
        }
        let filters = try parseFilters(isFirst: false)
        return .setBlock(target, filters, try block("endset"))
    }

    private mutating func parseWith() throws(JinjaFault) -> JinjaStatement.Kind {
        var assignments: [(JinjaTarget, JinjaExpression)] = []
        while current.kind != .blockEnd {
            if !assignments.isEmpty { try expect(",") }
            let target = try parseSingleTarget(allowsAttribute: false)
            try expect("=")
            assignments.append((target, try parseExpression()))
        }
        return .with(assignments, try block("endwith"))
    }

    private mutating func parseCallBlock() throws(JinjaFault) -> JinjaStatement.Kind {
        let parameters = current.isSymbol("(") ? try parseParameters() : []
        let call = try parseExpression()
        guard case .call = call.kind else { throw JinjaFault(.syntax, "expected a call") }
        let body = try block("endcall")
        return .callBlock(
            JinjaMacro(name: number(of: "caller"), parameters: parameters, body: body), call)
    }

    private mutating func parseMacro(
        name: String, end: String
    ) throws(JinjaFault) -> JinjaMacro {
        let parameters = try parseParameters()
        return JinjaMacro(
            name: number(of: name), parameters: parameters, body: try block(end))
    }

    private mutating func parseParameters() throws(JinjaFault) -> [(
        name: Int, initial: JinjaExpression?
    )] {
        var parameters: [(name: Int, initial: JinjaExpression?)] = []
        try expect("(")
        while !current.isSymbol(")") {
            if !parameters.isEmpty { try expect(",") }
            let name = number(of: try expectName())
            guard !parameters.contains(where: { $0.name == name }) else {
                throw JinjaFault(.syntax, "a parameter twice")
            }
            var initial: JinjaExpression?
            if skip("=") {
                initial = try parseExpression()
            } else if parameters.last?.initial != nil {
                throw JinjaFault(.syntax, "a parameter without a default follows one with it")
            }
            parameters.append((name, initial))
        }
        advance()
        return parameters
    }

    /// `name(arguments) | name ...`; before each but perhaps the first is a `|`.
    private mutating func parseFilters(isFirst: Bool) throws(JinjaFault) -> [JinjaFilterCall] {
        var filters: [JinjaFilterCall] = []
        while current.isSymbol("|") || isFirst && filters.isEmpty {
            if !(isFirst && filters.isEmpty) { advance() }
            filters.append(try parseFilterCall())
        }
        return filters
    }

    // MARK: targets

    private mutating func parseTarget(
        end: String? = nil, allowsAttribute: Bool = false
    ) throws(JinjaFault) -> JinjaTarget {
        var targets: [JinjaTarget] = []
        var isTuple = false
        while true {
            if isTuple,
                current.kind == .blockEnd || current.isSymbol("=")
                    || current.isSymbol(")") || end.map({ current.isName($0) }) == true
            {
                break
            }
            targets.append(try parseSingleTarget(allowsAttribute: allowsAttribute))
            guard skip(",") else { break }
            isTuple = true
        }
        return isTuple ? .tuple(targets) : targets[0]
    }

    private mutating func parseSingleTarget(
        allowsAttribute: Bool
    ) throws(JinjaFault) -> JinjaTarget {
        if skip("(") {
            let target = try nested { parser throws(JinjaFault) in
                try parser.parseTarget(allowsAttribute: allowsAttribute)
            }
            try expect(")")
            return target
        }
        let name = try expectName()
        guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
            throw JinjaFault(.syntax, "can't assign to '\(name)'")
        }
        guard allowsAttribute, skip(".") else { return .name(number(of: name)) }
        return .attribute(number(of: name), try expectName())
    }
}
