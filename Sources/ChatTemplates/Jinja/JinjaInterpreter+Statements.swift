// Runs a template's statements.

extension JinjaInterpreter {
    enum Flow { case normal, breakLoop, continueLoop }

    /// The text that `body` makes of `variables`.
    func render(
        _ body: [JinjaStatement], _ variables: [(name: String, value: JinjaValue)]
    ) throws(JinjaFault) -> MarkedText {
        let scope = JinjaScope(parent: nil)
        for (name, value) in variables {
            if let number = names.firstIndex(of: name) { scope.set(number, value) }
        }
        _ = try run(body, JinjaScope(parent: scope))
        return output
    }

    // MARK: statements

    func run(_ body: [JinjaStatement], _ scope: JinjaScope) throws(JinjaFault) -> Flow {
        for statement in body {
            position = statement.offset
            try step()
            let flow = try nested { () throws(JinjaFault) in try run(statement, scope) }
            if flow != .normal { return flow }
        }
        return .normal
    }

    private func run(
        _ statement: JinjaStatement, _ scope: JinjaScope
    ) throws(JinjaFault) -> Flow {
        switch statement.kind {
        case .text(let text): try write(text)
        case .output(let expression): try write(try printed(try evaluate(expression, scope)))
        case .conditional(let branches, let otherwise):
            for branch in branches where try evaluate(branch.condition, scope).isTrue {
                return try run(branch.body, scope)
            }
            return try run(otherwise, scope)
        case .loop(let loop): try run(loop, scope)
        case .set(let target, let expression):
            try assign(target, try evaluate(expression, scope), scope)
        case .setBlock(let target, let filters, let body):
            let text = try captured(body, JinjaScope(parent: scope))
            try assign(target, try apply(filters, .string(text), scope), scope)
        case .macro(let macro):
            macros.append((macro, scope))
            try charge(64)
            scope.set(macro.name, .macro(macros.count - 1))
        case .callBlock(let body, let call): try runCallBlock(body, call, scope)
        case .filterBlock(let filters, let body):
            let text = try captured(body, JinjaScope(parent: scope))
            try write(try printed(try apply(filters, .string(text), scope)))
        case .with(let assignments, let body):
            let inner = JinjaScope(parent: scope)
            for (target, expression) in assignments {
                try assign(target, try evaluate(expression, scope), inner)
            }
            return try run(body, inner)
        case .breakLoop: return .breakLoop
        case .continueLoop: return .continueLoop
        }
        return .normal
    }

    func write(_ text: MarkedText) throws(JinjaFault) {
        guard text.count <= limits.outputBytesMax - output.count else {
            throw JinjaFault(.output, "more than \(limits.outputBytesMax) bytes of output")
        }
        try charge(text.count)
        output.append(text)
    }

    /// The text that `body` writes.
    func captured(
        _ body: [JinjaStatement], _ scope: JinjaScope
    ) throws(JinjaFault) -> MarkedText {
        let outer = output
        output = MarkedText()
        let flow = try run(body, scope)
        let text = output
        output = outer
        guard flow == .normal else {
            throw .failed("'break' or 'continue' does not leave a block that makes a text")
        }
        return text
    }

    private func apply(
        _ filters: [JinjaFilterCall], _ value: JinjaValue, _ scope: JinjaScope
    ) throws(JinjaFault) -> JinjaValue {
        var value = value
        for filter in filters {
            let arguments = try evaluate(filter.arguments, scope)
            position = filter.offset
            value = try charged(try self.filter(filter.name, value, arguments))
        }
        return value
    }

    func assign(
        _ target: JinjaTarget, _ value: JinjaValue, _ scope: JinjaScope
    ) throws(JinjaFault) {
        switch target {
        case .name(let name): scope.set(name, value)
        case .attribute(let name, let attribute):
            guard case .namespace(let number)? = scope.find(name) else {
                throw .failed("cannot assign attribute on non-namespace object")
            }
            namespaces[number].set(attribute, value)
            try charge(64)
        case .tuple(let targets):
            let elements = try elements(of: value)
            guard elements.count == targets.count else {
                throw .failed(
                    "expected \(targets.count) values to unpack, found \(elements.count)")
            }
            for (target, element) in zip(targets, elements) {
                try assign(target, element, scope)
            }
        }
    }

    // MARK: loops

    private func run(_ loop: JinjaLoop, _ scope: JinjaScope) throws(JinjaFault) {
        let elements = try elements(of: try evaluate(loop.iterated, scope))
        let number = loops.count
        loops.append(
            JinjaLoopState(
                elements: elements, condition: loop.condition, target: loop.target, scope: scope))
        defer { loops.removeLast(loops.count - number) }
        var isEmpty = true
        while let element = try takeNext(number) {
            isEmpty = false
            try step()
            let inner = JinjaScope(parent: scope)
            inner.set(0, .loop(number))
            try assign(loop.target, element, inner)
            if try run(loop.body, inner) == .breakLoop { break }
        }
        if isEmpty, try run(loop.otherwise, JinjaScope(parent: scope)) != .normal {
            throw .failed("'break' or 'continue' in the 'else' of a loop")
        }
    }

    /// Looks for one more element that fulfils the loop's condition.
    private func lookAhead(_ number: Int) throws(JinjaFault) -> Bool {
        let loop = loops[number]
        while loops[number].cursor < loop.elements.count {
            let element = loop.elements[loops[number].cursor]
            loops[number].cursor += 1
            if let condition = loop.condition {
                try step()
                let inner = JinjaScope(parent: loop.scope)
                try assign(loop.target, element, inner)
                guard try evaluate(condition, inner).isTrue else { continue }
            }
            loops[number].upcoming.append(element)
            return true
        }
        return false
    }

    private func takeNext(_ number: Int) throws(JinjaFault) -> JinjaValue? {
        if loops[number].upcoming.isEmpty { _ = try lookAhead(number) }
        guard !loops[number].upcoming.isEmpty else { return nil }
        let element = loops[number].upcoming.removeFirst()
        loops[number].previous = loops[number].current
        loops[number].current = element
        loops[number].index += 1
        return element
    }

    /// What comes after a loop's element.
    private func peek(_ number: Int) throws(JinjaFault) -> JinjaValue? {
        if loops[number].upcoming.isEmpty { _ = try lookAhead(number) }
        return loops[number].upcoming.first
    }

    private func length(_ number: Int) throws(JinjaFault) -> Int {
        guard loops[number].condition != nil else { return loops[number].elements.count }
        while try lookAhead(number) {}
        return loops[number].index + 1 + loops[number].upcoming.count
    }

    /// An attribute of `loop`.
    func loopAttribute(_ number: Int, _ name: String) throws(JinjaFault) -> JinjaValue {
        guard number < loops.count else { return .undefined("the loop is over") }
        let index = loops[number].index
        switch name {
        case "index": return .integer(index + 1)
        case "index0": return .integer(index)
        case "first": return .boolean(index == 0)
        case "last": return .boolean(try peek(number) == nil)
        case "length": return .integer(try length(number))
        case "revindex": return .integer(try length(number) - index)
        case "revindex0": return .integer(try length(number) - index - 1)
        case "previtem": return loops[number].previous ?? .undefined("there is no previous item")
        case "nextitem": return try peek(number) ?? .undefined("there is no next item")
        case "depth": return .integer(1)
        case "depth0": return .integer(0)
        case "cycle", "changed":
            return .method(JinjaMethod(receiver: .loop(number), name: name))
        default: return .undefined("the loop has no attribute '\(name)'")
        }
    }
}
