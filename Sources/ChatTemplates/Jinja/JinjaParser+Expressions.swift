// Tokens to expressions, in the order of precedence that Jinja has: filters and tests bind most,
// then powers, products, `~`, sums, comparisons, `not`, `and`, `or`, and `if` least.

extension JinjaParser {
    private func node(
        _ kind: JinjaExpression.Kind, _ offset: Int, below depth: Int = 0
    ) throws(JinjaFault) -> JinjaExpression {
        guard depth < JinjaLimits.depthMax else {
            throw JinjaFault(.limit, "an expression deeper than \(JinjaLimits.depthMax)")
        }
        return JinjaExpression(kind: kind, offset: offset, depth: depth + 1)
    }

    /// Expressions, of which several, or one with a comma behind it, are a tuple.
    mutating func parseTuple(
        withConditional: Bool = true, end: String? = nil, isInParentheses: Bool = false
    ) throws(JinjaFault) -> JinjaExpression {
        let offset = current.offset
        var elements: [JinjaExpression] = []
        var isTuple = false
        while !isTupleEnd(end) {
            elements.append(
                withConditional ? try parseExpression() : try parseExpressionOnly())
            guard skip(",") else { break }
            isTuple = true
        }
        if !isTuple, let only = elements.first { return only }
        guard isTuple || isInParentheses else { throw unexpected("an expression") }
        return try node(.tuple(elements), offset, below: elements.map(\.depth).max() ?? 0)
    }

    private func isTupleEnd(_ end: String?) -> Bool {
        switch current.kind {
        case .variableEnd, .blockEnd, .symbol(")"): true
        default: end.map { current.isName($0) } ?? false
        }
    }

    mutating func parseExpression() throws(JinjaFault) -> JinjaExpression {
        try nested { parser throws(JinjaFault) in try parser.parseConditional() }
    }

    /// Without `a if b`, where an `if` of a loop may follow.
    private mutating func parseExpressionOnly() throws(JinjaFault) -> JinjaExpression {
        try nested { parser throws(JinjaFault) in try parser.parseOr() }
    }

    private mutating func parseConditional() throws(JinjaFault) -> JinjaExpression {
        let offset = current.offset
        var value = try parseOr()
        while skip(name: "if") {
            let condition = try parseOr()
            var otherwise: JinjaExpression?
            if skip(name: "else") { otherwise = try parseExpression() }
            value = try node(
                .conditional(condition, then: value, otherwise: otherwise), offset,
                below: max(value.depth, condition.depth, otherwise?.depth ?? 0))
        }
        return value
    }

    private mutating func parseOr() throws(JinjaFault) -> JinjaExpression {
        var left = try parseAnd()
        while skip(name: "or") {
            let right = try parseAnd()
            left = try node(.or(left, right), left.offset, below: max(left.depth, right.depth))
        }
        return left
    }

    private mutating func parseAnd() throws(JinjaFault) -> JinjaExpression {
        var left = try parseNot()
        while skip(name: "and") {
            let right = try parseNot()
            left = try node(.and(left, right), left.offset, below: max(left.depth, right.depth))
        }
        return left
    }

    private mutating func parseNot() throws(JinjaFault) -> JinjaExpression {
        let offset = current.offset
        guard skip(name: "not") else { return try parseCompare() }
        let value = try nested { parser throws(JinjaFault) in try parser.parseNot() }
        return try node(.not(value), offset, below: value.depth)
    }

    private mutating func parseCompare() throws(JinjaFault) -> JinjaExpression {
        let first = try parseBinary(0)
        var comparisons: [(JinjaComparison, JinjaExpression)] = []
        while let comparison = takeComparison() {
            comparisons.append((comparison, try parseBinary(0)))
        }
        guard !comparisons.isEmpty else { return first }
        return try node(
            .compare(first, comparisons), first.offset,
            below: max(first.depth, comparisons.map(\.1.depth).max() ?? 0))
    }

    private mutating func takeComparison() -> JinjaComparison? {
        switch current.kind {
        case .symbol(let symbol):
            guard let comparison = JinjaComparison(rawValue: symbol) else { return nil }
            advance()
            return comparison
        case .name("in"):
            advance()
            return .isIn
        case .name("not") where next.isName("in"):
            advance(2)
            return .isNotIn
        default: return nil
        }
    }

    /// Operators from the ones that bind least; nil is `~`.
    private static let levels: [[JinjaOperator]?] = [
        [.add, .subtract], nil, [.multiply, .divide, .floorDivide, .remainder], [.power]
    ]

    private mutating func parseBinary(_ level: Int) throws(JinjaFault) -> JinjaExpression {
        guard level < Self.levels.count else { return try parseUnary(withFilter: true) }
        var left = try parseBinary(level + 1)
        guard let operators = Self.levels[level] else {
            var parts = [left]
            while skip("~") { parts.append(try parseBinary(level + 1)) }
            guard parts.count > 1 else { return left }
            return try node(
                .concat(parts), left.offset, below: parts.map(\.depth).max() ?? 0)
        }
        while case .symbol(let symbol) = current.kind, let found = JinjaOperator(rawValue: symbol),
            operators.contains(found)
        {
            let offset = current.offset
            advance()
            let right = try parseBinary(level + 1)
            left = try node(
                .binary(found, left, right), offset, below: max(left.depth, right.depth))
        }
        return left
    }

    private mutating func parseUnary(withFilter: Bool) throws(JinjaFault) -> JinjaExpression {
        let offset = current.offset
        var value: JinjaExpression
        if current.isSymbol("-") || current.isSymbol("+") {
            let isNegative = current.isSymbol("-")
            advance()
            let operand = try nested { parser throws(JinjaFault) in
                try parser.parseUnary(withFilter: false)
            }
            value = try node(
                isNegative ? .negative(operand) : .positive(operand), offset, below: operand.depth)
        } else {
            value = try parsePrimary()
        }
        value = try parsePostfix(value)
        return withFilter ? try parseFilterChain(value) : value
    }

    // MARK: primaries

    private mutating func parsePrimary() throws(JinjaFault) -> JinjaExpression {
        let offset = current.offset
        switch current.kind {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": return try node(.constant(.boolean(true)), offset)
            case "false", "False": return try node(.constant(.boolean(false)), offset)
            case "none", "None": return try node(.constant(.none), offset)
            default: return try node(.name(number(of: name)), offset)
            }
        case .string:
            var bytes: [UInt8] = []
            while case .string(let more) = current.kind {
                bytes += more
                advance()
            }
            return try node(
                .constant(.string(MarkedText(bytes: bytes, isOutside: false))), offset)
        case .integer(let value):
            advance()
            return try node(.constant(.integer(value)), offset)
        case .float(let value):
            advance()
            return try node(.constant(.float(value)), offset)
        case .symbol("("):
            advance()
            let value = try nested { parser throws(JinjaFault) in
                try parser.parseTuple(isInParentheses: true)
            }
            try expect(")")
            return value
        case .symbol("["): return try parseList()
        case .symbol("{"): return try parseDictionary()
        default: throw unexpected("an expression")
        }
    }

    private mutating func parseList() throws(JinjaFault) -> JinjaExpression {
        let offset = current.offset
        advance()
        var elements: [JinjaExpression] = []
        while !current.isSymbol("]") {
            if !elements.isEmpty {
                try expect(",")
                if current.isSymbol("]") { break }
            }
            elements.append(try parseExpression())
        }
        advance()
        return try node(.list(elements), offset, below: elements.map(\.depth).max() ?? 0)
    }

    private mutating func parseDictionary() throws(JinjaFault) -> JinjaExpression {
        let offset = current.offset
        advance()
        var members: [(key: JinjaExpression, value: JinjaExpression)] = []
        while !current.isSymbol("}") {
            if !members.isEmpty {
                try expect(",")
                if current.isSymbol("}") { break }
            }
            let key = try parseExpression()
            try expect(":")
            members.append((key, try parseExpression()))
        }
        advance()
        return try node(
            .dictionary(members), offset,
            below: members.map { max($0.key.depth, $0.value.depth) }.max() ?? 0)
    }

    // MARK: what follows a value

    private mutating func parsePostfix(
        _ value: JinjaExpression
    ) throws(JinjaFault) -> JinjaExpression {
        var value = value
        while case .symbol(let symbol) = current.kind {
            let offset = current.offset
            switch symbol {
            case ".":
                advance()
                if case .integer(let index) = current.kind {
                    let key = try node(.constant(.integer(index)), current.offset)
                    advance()
                    value = try node(.subscripted(value, key), offset, below: value.depth)
                } else {
                    value = try node(
                        .attribute(value, try expectName()), offset, below: value.depth)
                }
            case "[": value = try parseSubscript(value)
            case "(":
                let arguments = try parseCallArguments()
                value = try node(
                    .call(value, arguments), offset, below: max(value.depth, arguments.depth))
            default: return value
            }
        }
        return value
    }

    private mutating func parseSubscript(
        _ value: JinjaExpression
    ) throws(JinjaFault) -> JinjaExpression {
        let offset = current.offset
        advance()
        var parts: [JinjaExpression?] = [nil]
        var isSlice = false
        while !current.isSymbol("]") {
            if skip(":") {
                isSlice = true
                guard parts.count < 3 else { throw unexpected("']'") }
                parts.append(nil)
            } else {
                guard parts[parts.count - 1] == nil else { throw unexpected("']'") }
                parts[parts.count - 1] = try parseExpression()
            }
        }
        advance()
        let below = max(value.depth, parts.map { $0?.depth ?? 0 }.max() ?? 0)
        if isSlice {
            return try node(
                .slice(
                    value, start: parts[0], stop: parts[1], step: parts.count > 2 ? parts[2] : nil),
                offset, below: below)
        }
        guard let key = parts[0] else { throw unexpected("an expression") }
        return try node(.subscripted(value, key), offset, below: below)
    }

    mutating func parseCallArguments() throws(JinjaFault) -> JinjaCallArguments {
        var arguments = JinjaCallArguments()
        try expect("(")
        var isFirst = true
        while !current.isSymbol(")") {
            if !isFirst {
                try expect(",")
                if current.isSymbol(")") { break }
            }
            isFirst = false
            if skip("*") {
                guard arguments.spread == nil else { throw unexpected() }
                arguments.spread = try parseExpression()
            } else if case .name(let name) = current.kind, next.isSymbol("=") {
                advance(2)
                guard !arguments.keywords.contains(where: { $0.name == name }) else {
                    throw JinjaFault(.syntax, "an argument twice")
                }
                arguments.keywords.append((name, try parseExpression()))
            } else {
                guard arguments.keywords.isEmpty, arguments.spread == nil else {
                    throw unexpected("a keyword argument")
                }
                arguments.positional.append(try parseExpression())
            }
        }
        advance()
        return arguments
    }

    mutating func parseFilterCall() throws(JinjaFault) -> JinjaFilterCall {
        let offset = current.offset
        var name = try expectName()
        while skip(".") { name += "." + (try expectName()) }
        let arguments =
            current.isSymbol("(") ? try parseCallArguments() : JinjaCallArguments()
        return JinjaFilterCall(name: name, arguments: arguments, offset: offset)
    }

    private mutating func parseFilterChain(
        _ value: JinjaExpression
    ) throws(JinjaFault) -> JinjaExpression {
        var value = value
        while true {
            let offset = current.offset
            if skip("|") {
                let filter = try parseFilterCall()
                value = try node(
                    .filter(value, filter.name, filter.arguments), filter.offset,
                    below: max(value.depth, filter.arguments.depth))
            } else if skip(name: "is") {
                value = try parseTest(value, offset)
            } else if current.isSymbol("(") {
                let arguments = try parseCallArguments()
                value = try node(
                    .call(value, arguments), offset, below: max(value.depth, arguments.depth))
            } else {
                return value
            }
        }
    }

    private mutating func parseTest(
        _ value: JinjaExpression, _ offset: Int
    ) throws(JinjaFault) -> JinjaExpression {
        let isNegated = skip(name: "not")
        let name = try expectName()
        var arguments = JinjaCallArguments()
        switch current.kind {
        case .symbol("("): arguments = try parseCallArguments()
        case .name("else"), .name("or"), .name("and"): break
        case .name("is"): throw unexpected()
        case .name, .string, .integer, .float, .symbol("["), .symbol("{"):
            let operand = try nested { parser throws(JinjaFault) in
                try parser.parsePostfix(try parser.parsePrimary())
            }
            arguments.positional = [operand]
        default: break
        }
        let test = try node(
            .test(value, name, arguments), offset, below: max(value.depth, arguments.depth))
        return isNegated ? try node(.not(test), offset, below: test.depth) : test
    }
}
