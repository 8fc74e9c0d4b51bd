// Python's operators and comparisons.

extension JinjaInterpreter {
    func signed(_ value: JinjaValue, _ isNegative: Bool) throws(JinjaFault) -> JinjaValue {
        if let whole = value.whole {
            guard isNegative else { return .integer(whole) }
            let (result, isOver) = (0).subtractingReportingOverflow(whole)
            guard !isOver else { throw Self.overflow }
            return .integer(result)
        }
        guard let number = value.number else {
            if case .undefined(let problem) = value { throw .failed(problem) }
            throw .failed("bad operand type for unary \(isNegative ? "-" : "+"): '\(value.kind)'")
        }
        return .float(isNegative ? -number : number)
    }

    static let overflow = JinjaFault.failed("a whole number beyond 64 bits")

    func combine(
        _ operation: JinjaOperator, _ left: JinjaValue, _ right: JinjaValue
    ) throws(JinjaFault) -> JinjaValue {
        for operand in [left, right] {
            if case .undefined(let problem) = operand { throw .failed(problem) }
        }
        switch (operation, left, right) {
        case (.add, .string(let left), .string(let right)):
            try charge(left.count + right.count)
            return .string(left + right)
        case (.add, .list(let left), .list(let right))
        where !left.isGenerator && !right.isGenerator:
            return .list(left.elements + right.elements)
        case (.add, .tuple(let left), .tuple(let right)):
            return .tuple(left.elements + right.elements)
        case (.multiply, .string, _), (.multiply, .list, _), (.multiply, .tuple, _):
            if let count = right.whole { return try repeated(left, count) }
        case (.multiply, _, .string), (.multiply, _, .list), (.multiply, _, .tuple):
            if let count = left.whole { return try repeated(right, count) }
        case (.remainder, .string, _):
            throw .failed("formatting by '%' is not supported")
        default: break
        }
        if let left = left.whole, let right = right.whole {
            return try combine(operation, left, right)
        }
        guard let leftNumber = left.number, let rightNumber = right.number else {
            throw .failed(
                "unsupported operand types for \(operation.rawValue): '\(left.kind)' and "
                    + "'\(right.kind)'")
        }
        return try combine(operation, leftNumber, rightNumber)
    }

    private func repeated(_ value: JinjaValue, _ count: Int) throws(JinjaFault) -> JinjaValue {
        let count = max(0, count)
        switch value {
        case .string(let text):
            try charge(text.count + 1, times: count)
            var result = MarkedText()
            for _ in 0..<count { result.append(text) }
            return .string(result)
        case .list(let list), .tuple(let list):
            try charge(64 * list.elements.count + 1, times: count)
            let elements = (0..<count).flatMap { _ in list.elements }
            if case .tuple = value { return .tuple(elements) }
            return .list(elements)
        default: return value
        }
    }

    private func combine(
        _ operation: JinjaOperator, _ left: Int, _ right: Int
    ) throws(JinjaFault) -> JinjaValue {
        let (result, isOver): (Int, Bool)
        switch operation {
        case .add: (result, isOver) = left.addingReportingOverflow(right)
        case .subtract: (result, isOver) = left.subtractingReportingOverflow(right)
        case .multiply: (result, isOver) = left.multipliedReportingOverflow(by: right)
        case .divide: return try combine(operation, Double(left), Double(right))
        case .floorDivide, .remainder:
            guard right != 0 else { throw .failed("division by zero") }
            guard right != -1 else {
                if operation == .remainder { return .integer(0) }
                return try combine(.subtract, 0, left)
            }
            let isInexact = left % right != 0 && (left % right < 0) != (right < 0)
            if operation == .floorDivide { return .integer(left / right - (isInexact ? 1 : 0)) }
            return .integer(left % right + (isInexact ? right : 0))
        case .power: return try power(left, right)
        }
        guard !isOver else { throw Self.overflow }
        return .integer(result)
    }

    private func power(_ base: Int, _ exponent: Int) throws(JinjaFault) -> JinjaValue {
        guard exponent >= 0 else { return try power(Double(base), Double(exponent)) }
        var result = 1
        guard ![-1, 0, 1].contains(base) else {
            return .integer(exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base)
        }
        for _ in 0..<min(exponent, 64) {
            let (product, isOver) = result.multipliedReportingOverflow(by: base)
            guard !isOver else { throw Self.overflow }
            result = product
        }
        return .integer(result)
    }

    private func power(_ base: Double, _ exponent: Double) throws(JinjaFault) -> JinjaValue {
        guard let count = Int(exactly: exponent), abs(count) <= 1024, base != 0 || count >= 0 else {
            throw .failed("a power that is not supported")
        }
        let product = (0..<abs(count)).reduce(1.0) { result, _ in result * base }
        return .float(count < 0 ? 1 / product : product)
    }

    private func combine(
        _ operation: JinjaOperator, _ left: Double, _ right: Double
    ) throws(JinjaFault) -> JinjaValue {
        switch operation {
        case .add: return .float(left + right)
        case .subtract: return .float(left - right)
        case .multiply: return .float(left * right)
        case .power: return try power(left, right)
        case .divide, .floorDivide, .remainder:
            guard right != 0 else { throw .failed("division by zero") }
            if operation == .divide { return .float(left / right) }
            var remainder = left.truncatingRemainder(dividingBy: right)
            if remainder != 0, (remainder < 0) != (right < 0) { remainder += right }
            if operation == .remainder { return .float(remainder) }
            return .float(((left - remainder) / right).rounded())
        }
    }

    // MARK: comparisons

    func equal(_ left: JinjaValue, _ right: JinjaValue) throws(JinjaFault) -> Bool {
        try step(min(left.weight, right.weight) >> 4)
        return left.equals(right)
    }

    func compare(
        _ left: JinjaValue, _ comparison: JinjaComparison, _ right: JinjaValue
    ) throws(JinjaFault) -> Bool {
        switch comparison {
        case .equal: return try equal(left, right)
        case .notEqual: return !(try equal(left, right))
        case .isIn: return try contains(right, left)
        case .isNotIn: return !(try contains(right, left))
        case .less, .greater, .lessOrEqual, .greaterOrEqual: break
        }
        try step(min(left.weight, right.weight) >> 4)
        for operand in [left, right] {
            if case .undefined(let problem) = operand { throw .failed(problem) }
        }
        switch comparison {
        case .less: return try left.isLess(than: right)
        case .greater: return try right.isLess(than: left)
        case .lessOrEqual: return try left.isLess(than: right) || left.equals(right)
        default: return try right.isLess(than: left) || left.equals(right)
        }
    }

    /// Python's `value in container`.
    func contains(_ container: JinjaValue, _ value: JinjaValue) throws(JinjaFault) -> Bool {
        switch container {
        case .undefined: return false
        case .string(let text):
            guard case .string(let part) = value else {
                throw .failed("'in <string>' requires string as left operand, not \(value.kind)")
            }
            try step(text.count >> 4)
            return text.find(part) != nil
        case .list(let list), .tuple(let list):
            for element in list.elements where try equal(element, value) { return true }
            try step(list.elements.count)
            return false
        case .dictionary(let dictionary):
            try step(value.weight >> 4)
            return dictionary[try value.key()] != nil
        default: throw .failed("argument of type '\(container.kind)' is not iterable")
        }
    }
}
