// Calls of macros, and of the functions that every template has.

extension JinjaInterpreter {
    static let functions: Set<String> = [
        "range", "namespace", "dict", "raise_exception", "strftime_now"
    ]

    func evaluate(
        _ arguments: JinjaCallArguments, _ scope: JinjaScope
    ) throws(JinjaFault) -> JinjaArguments {
        var result = JinjaArguments()
        guard
            !arguments.positional.isEmpty || !arguments.keywords.isEmpty
                || arguments.spread != nil
        else { return result }
        result.positional = try evaluate(arguments.positional, scope)
        if let spread = arguments.spread {
            result.positional += try elements(of: try evaluate(spread, scope))
        }
        for (name, value) in arguments.keywords {
            result.keywords.append((name, try evaluate(value, scope)))
        }
        return result
    }

    func evaluate(
        call called: JinjaExpression, _ arguments: JinjaCallArguments, _ offset: Int,
        _ scope: JinjaScope
    ) throws(JinjaFault) -> JinjaValue {
        let function = try evaluate(called, scope)
        let evaluated = try evaluate(arguments, scope)
        position = called.offset
        return try charged(try call(function, evaluated))
    }

    func call(
        _ function: JinjaValue, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        switch function {
        case .undefined(let problem): throw .failed(problem)
        case .macro(let number):
            return .string(try callMacro(macros[number].macro, macros[number].scope, arguments))
        case .function(let name): return try callFunction(name, arguments)
        case .method(let method): return try callMethod(method, arguments)
        default: throw .failed("'\(function.kind)' object is not callable")
        }
    }

    func runCallBlock(
        _ body: JinjaMacro, _ call: JinjaExpression, _ scope: JinjaScope
    ) throws(JinjaFault) {
        guard case .call(let called, let arguments) = call.kind else { return }
        macros.append((body, scope))
        try charge(64)
        let function = try evaluate(called, scope)
        var evaluated = try evaluate(arguments, scope)
        evaluated.keywords.append(("caller", .macro(macros.count - 1)))
        position = call.offset
        try write(try printed(try self.call(function, evaluated)))
    }

    private func callMacro(
        _ macro: JinjaMacro, _ definedIn: JinjaScope, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> MarkedText {
        let scope = JinjaScope(parent: definedIn)
        let name = names[macro.name].prefix(60)
        var rest = arguments.keywords
        for (place, parameter) in macro.parameters.enumerated() {
            let keyword = rest.firstIndex { $0.name == names[parameter.name] }
            if place < arguments.positional.count {
                guard keyword == nil else {
                    throw .failed("macro '\(name)' has an argument twice")
                }
                scope.set(parameter.name, arguments.positional[place])
            } else if let keyword {
                scope.set(parameter.name, rest.remove(at: keyword).value)
            } else if let initial = parameter.initial {
                scope.set(parameter.name, try evaluate(initial, scope))
            } else {
                scope.set(
                    parameter.name,
                    .undefined("parameter '\(names[parameter.name])' was not provided"))
            }
        }
        let extra = arguments.positional.dropFirst(macro.parameters.count)
        if let caller = rest.firstIndex(where: { $0.name == "caller" }) {
            scope.set(1, rest.remove(at: caller).value)
        }
        guard extra.isEmpty else {
            throw .failed(
                "macro '\(name)' takes not more than \(macro.parameters.count) arguments")
        }
        if let unknown = rest.first {
            throw .failed("macro '\(name)' takes no keyword argument '\(unknown.name)'")
        }
        return try captured(macro.body, scope)
    }

    private func callFunction(
        _ name: String, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        switch name {
        case "range": return try range(arguments)
        case "namespace", "dict":
            var dictionary = JinjaDictionary()
            guard arguments.positional.count <= 1 else {
                throw .failed("\(name) takes at most one argument")
            }
            if case .dictionary(let given)? = arguments.positional.first {
                dictionary = given
            } else if let given = arguments.positional.first {
                for pair in try elements(of: given) {
                    let parts = try elements(of: pair)
                    guard parts.count == 2 else { throw .failed("expected pairs") }
                    dictionary.set(try parts[0].key(), parts[0], parts[1])
                }
            }
            for (name, value) in arguments.keywords { dictionary.set(name, value) }
            if name == "dict" { return .dictionary(dictionary) }
            _ = try charged(.dictionary(dictionary))
            namespaces.append(dictionary)
            return .namespace(namespaces.count - 1)
        case "raise_exception":
            let values = try arguments.bound(to: "message", in: name)
            let message = try printed(values[0] ?? .text("")).string
            throw JinjaFault(.raised, String(message.prefix(1000)))
        default:
            let values = try arguments.bound(to: "format", in: name)
            guard let format = values[0]?.text else { throw .failed("expected a format") }
            try charge(64 * format.count)
            return .string(clock.formatted(format))
        }
    }

    private func range(_ arguments: JinjaArguments) throws(JinjaFault) -> JinjaValue {
        var numbers: [Int] = []
        for value in arguments.positional {
            guard let whole = value.whole else {
                throw .failed("'\(value.kind)' object cannot be interpreted as an integer")
            }
            numbers.append(whole)
        }
        guard (1...3).contains(numbers.count), arguments.keywords.isEmpty else {
            throw .failed("range takes one to three numbers")
        }
        let start = numbers.count == 1 ? 0 : numbers[0]
        let stop = numbers.count == 1 ? numbers[0] : numbers[1]
        let step = numbers.count == 3 ? numbers[2] : 1
        guard step != 0 else { throw .failed("range() arg 3 must not be zero") }
        var elements: [JinjaValue] = []
        for number in stride(from: start, to: stop, by: step) {
            guard elements.count < Self.rangeMax else {
                throw JinjaFault(.limit, "a range of more than \(Self.rangeMax) numbers")
            }
            elements.append(.integer(number))
        }
        return .list(elements)
    }

    /// As in Jinja's sandbox.
    private static let rangeMax = 100_000
}
