// Evaluates a template's expressions, as Python would.

extension JinjaInterpreter {
    func evaluate(
        _ expression: JinjaExpression, _ scope: JinjaScope
    ) throws(JinjaFault) -> JinjaValue {
        switch expression.kind {
        case .constant(let value): return value
        case .name(let name): return lookUp(name, scope)
        default: break
        }
        try step()
        position = expression.offset
        return try nested { () throws(JinjaFault) in
            try evaluateDeep(expression, scope)
        }
    }

    private func lookUp(_ name: Int, _ scope: JinjaScope) -> JinjaValue {
        if let value = scope.find(name) { return value }
        let text = names[name]
        if Self.functions.contains(text) { return .function(text) }
        return .undefined("'\(text.prefix(60))' is undefined")
    }

    private func evaluateDeep(
        _ expression: JinjaExpression, _ scope: JinjaScope
    ) throws(JinjaFault) -> JinjaValue {
        switch expression.kind {
        case .constant(let value): return value
        case .name(let name): return lookUp(name, scope)
        case .list(let elements): return try charged(.list(try evaluate(elements, scope)))
        case .tuple(let elements): return try charged(.tuple(try evaluate(elements, scope)))
        case .dictionary(let members): return try evaluate(dictionary: members, scope)
        case .attribute(let value, let name):
            let value = try evaluate(value, scope)
            position = expression.offset
            return try attribute(of: value, name)
        case .subscripted(let value, let key):
            let value = try evaluate(value, scope)
            let key = try evaluate(key, scope)
            position = expression.offset
            return try element(of: value, key)
        case .slice(let value, let start, let stop, let step):
            let value = try evaluate(value, scope)
            let indices = try evaluate(start, stop, step, scope)
            position = expression.offset
            return try slice(value, indices)
        case .call(let called, let arguments):
            return try evaluate(call: called, arguments, expression.offset, scope)
        case .filter(let value, let name, let arguments):
            let value = try value.map { value throws(JinjaFault) in try evaluate(value, scope) }
            let evaluated = try evaluate(arguments, scope)
            position = expression.offset
            return try charged(try filter(name, value ?? .none, evaluated))
        case .test(let value, let name, let arguments):
            let value = try evaluate(value, scope)
            let evaluated = try evaluate(arguments, scope)
            position = expression.offset
            return .boolean(try test(name, value, evaluated))
        default: return try evaluateOperator(expression, scope)
        }
    }

    private func evaluateOperator(
        _ expression: JinjaExpression, _ scope: JinjaScope
    ) throws(JinjaFault) -> JinjaValue {
        switch expression.kind {
        case .negative(let operand), .positive(let operand):
            var isNegative = false
            if case .negative = expression.kind { isNegative = true }
            return try signed(try evaluate(operand, scope), isNegative)
        case .not(let operand): return .boolean(!(try evaluate(operand, scope).isTrue))
        case .and(let left, let right):
            let value = try evaluate(left, scope)
            return value.isTrue ? try evaluate(right, scope) : value
        case .or(let left, let right):
            let value = try evaluate(left, scope)
            return value.isTrue ? value : try evaluate(right, scope)
        case .conditional(let condition, let then, let otherwise):
            if try evaluate(condition, scope).isTrue { return try evaluate(then, scope) }
            guard let otherwise else {
                return .undefined("the inline if-expression was false and has no 'else'")
            }
            return try evaluate(otherwise, scope)
        case .concat(let parts):
            var text = MarkedText()
            for part in parts { text.append(try printed(try evaluate(part, scope))) }
            return try charged(.string(text))
        case .binary(let operation, let left, let right):
            let left = try evaluate(left, scope)
            let right = try evaluate(right, scope)
            position = expression.offset
            return try charged(try combine(operation, left, right))
        case .compare(let first, let comparisons):
            return try evaluate(first, comparisons, expression.offset, scope)
        default: return .none
        }
    }

    private func evaluate(
        _ first: JinjaExpression, _ comparisons: [(JinjaComparison, JinjaExpression)],
        _ offset: Int, _ scope: JinjaScope
    ) throws(JinjaFault) -> JinjaValue {
        var left = try evaluate(first, scope)
        for (comparison, operand) in comparisons {
            let right = try evaluate(operand, scope)
            position = offset
            guard try compare(left, comparison, right) else { return .boolean(false) }
            left = right
        }
        return .boolean(true)
    }

    func evaluate(
        _ elements: [JinjaExpression], _ scope: JinjaScope
    ) throws(JinjaFault) -> [JinjaValue] {
        var values: [JinjaValue] = []
        for element in elements { values.append(try evaluate(element, scope)) }
        return values
    }

    private func evaluate(
        dictionary members: [(key: JinjaExpression, value: JinjaExpression)], _ scope: JinjaScope
    ) throws(JinjaFault) -> JinjaValue {
        var dictionary = JinjaDictionary()
        for member in members {
            let key = try evaluate(member.key, scope)
            try step(key.weight >> 4)
            dictionary.set(try key.key(), key, try evaluate(member.value, scope))
        }
        return try charged(.dictionary(dictionary))
    }
}
