// Jinja's filters that chat templates use, and those that cost little beside them.

extension JinjaInterpreter {
    func filter(
        _ name: String, _ value: JinjaValue, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        switch name {
        case "default", "d":
            let given = try arguments.bound(to: "default_value", "boolean", in: name)
            let isMissing =
                value.isUndefined || (given[1]?.isTrue ?? false) && !value.isTrue
            return isMissing ? given[0] ?? .text("") : value
        case "tojson": return try toJSON(value, arguments)
        case "from_json":
            _ = try arguments.bound(in: name)
            guard case .string(let text) = value else {
                throw .failed("the JSON object must be str, not \(value.kind)")
            }
            try charge(16 * text.count)
            return try JinjaJSONReader.read(text)
        case "length", "count":
            _ = try arguments.bound(in: name)
            return .integer(try length(of: value))
        case "string":
            _ = try arguments.bound(in: name)
            return .string(try printed(value))
        case "safe":
            _ = try arguments.bound(in: name)
            var text = try printed(value)
            text.isMarkup = true
            return .string(text)
        case "items", "list", "first", "last", "reverse":
            _ = try arguments.bound(in: name)
            return try sequence(name, value)
        case "int", "float", "abs", "round": return try numeric(name, value, arguments)
        case "join", "sort", "unique", "min", "max", "sum", "map", "dictsort":
            return try collection(name, value, arguments)
        case "select", "reject", "selectattr", "rejectattr":
            return try selected(name, value, arguments)
        default: return try textFilter(name, value, arguments)
        }
    }

    private func textFilter(
        _ name: String, _ value: JinjaValue, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        let text = try printed(value)
        try charge(4 * text.count)
        switch name {
        case "trim":
            let given = try arguments.bound(to: "chars", in: name)
            var set: MarkedText?
            if let chars = given[0]?.text { set = chars }
            return .string(text.trimmed(set))
        case "upper", "lower", "title", "capitalize", "escape", "e", "wordcount":
            _ = try arguments.bound(in: name)
            switch name {
            case "upper": return .string(text.uppercased)
            case "lower": return .string(text.lowercased)
            case "title": return .string(text.titledByWords)
            case "capitalize": return .string(text.capitalized)
            case "wordcount": return .integer(text.words().count)
            default: return .string(text.escapedForHTML)
            }
        case "replace":
            let given = try arguments.bound(to: "old", "new", "count", in: name)
            guard let old = given[0], let new = given[1] else {
                throw .failed("replace takes two arguments or three")
            }
            let (oldText, newText) = (try printed(old), try printed(new))
            return .string(try replaced(text, oldText, newText, given[2]?.whole ?? -1))
        case "indent":
            guard case .string = value else {
                if case .undefined(let problem) = value { throw .failed(problem) }
                throw .failed("unsupported operand type for +=: '\(value.kind)' and 'str'")
            }
            return .string(try indented(text, arguments))
        default: throw .failed("there is no filter '\(name.prefix(60))'")
        }
    }

    private func indented(
        _ text: MarkedText, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> MarkedText {
        let given = try arguments.bound(to: "width", "first", "blank", in: "indent")
        let indent = try indentation(given[0] ?? .integer(4))
        let indentsBlank = given[2]?.isTrue ?? false
        var closed = text
        closed.append("\n")
        let lines = closed.lines()
        try charge(indent.count + 16, times: lines.count)
        var result = MarkedText()
        if given[1]?.isTrue ?? false { result.append(indent) }
        for (index, line) in lines.enumerated() {
            if index > 0 {
                result.append("\n")
                if !line.isEmpty || indentsBlank { result.append(indent) }
            }
            result.append(line)
        }
        return result
    }

    private func indentation(_ value: JinjaValue) throws(JinjaFault) -> MarkedText {
        if case .string(let text) = value { return text }
        guard let width = value.whole else {
            throw .failed("expected a width, found '\(value.kind)'")
        }
        try charge(max(0, width))
        return MarkedText(String(repeating: " ", count: max(0, width)))
    }

    private func toJSON(
        _ value: JinjaValue, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        let given = try arguments.bound(
            to: "ensure_ascii", "indent", "separators", "sort_keys", in: "tojson")
        var writer = JinjaJSONWriter()
        writer.isASCII = given[0]?.isTrue ?? false
        writer.sortsKeys = given[3]?.isTrue ?? false
        if let indent = given[1], indent.number != nil || indent.text != nil {
            writer.indent = try indentation(indent)
            writer.itemSeparator = MarkedText(",")
        }
        if let separators = given[2], separators.depth > 0 {
            let parts = try elements(of: separators)
            guard parts.count == 2, let item = parts[0].text, let key = parts[1].text else {
                throw .failed("expected two separators")
            }
            writer.itemSeparator = item
            writer.keySeparator = key
        }
        let level = (writer.indent?.count ?? 0) * (1 + value.depth)
        let unit = 6 + writer.itemSeparator.count + writer.keySeparator.count + level
        try charge(unit, times: value.weight)
        return .string(try writer.write(value))
    }

    // MARK: sequences

    func length(of value: JinjaValue) throws(JinjaFault) -> Int {
        switch value {
        case .undefined: return 0
        case .string(let text):
            try step(text.count >> 6)
            return text.scalarCount
        case .list(let list) where !list.isGenerator: return list.elements.count
        case .tuple(let list): return list.elements.count
        case .dictionary(let dictionary): return dictionary.count
        default: throw .failed("object of type '\(value.kind)' has no len()")
        }
    }

    private func sequence(_ name: String, _ value: JinjaValue) throws(JinjaFault) -> JinjaValue {
        if name == "items" {
            if value.isUndefined { return .list([]) }
            guard case .dictionary(let dictionary) = value else {
                throw .failed("Can only get item pairs from a mapping.")
            }
            try charge(128, times: dictionary.count)
            return .list(dictionary.members.map { .tuple([$0.key, $0.value]) })
        }
        if name == "reverse", case .string(let text) = value {
            try charge(8 * text.count)
            return .string(text.picked(JinjaSlice(start: nil, stop: nil, step: -1)))
        }
        let elements = try elements(of: value)
        switch name {
        case "list": return .list(elements)
        case "reverse": return .generator(elements.reversed())
        case "first": return elements.first ?? .undefined("No first item, sequence was empty.")
        default:
            return elements.last ?? .undefined("No last item, sequence was empty.")
        }
    }

    private func numeric(
        _ name: String, _ value: JinjaValue, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        switch name {
        case "int":
            let given = try arguments.bound(to: "default", "base", in: name)
            if let whole = value.whole { return .integer(whole) }
            var number = value.number
            if let text = value.text?.trimmed().string, text.utf8.count < 400 {
                let digits = text.replacing("_", with: "")
                let base = min(max(given[1]?.whole ?? 10, 2), 36)
                if let whole = Int(digits, radix: base) { return .integer(whole) }
                number = Double(digits)
            }
            if let number, let whole = Int(exactly: number.rounded(.towardZero)) {
                return .integer(whole)
            }
            return given[0] ?? .integer(0)
        case "float":
            let given = try arguments.bound(to: "default", in: name)
            if let number = value.number { return .float(number) }
            if let text = value.text?.trimmed().string, text.utf8.count < 400,
                let number = Double(text)
            {
                return .float(number)
            }
            return given[0] ?? .float(0)
        case "abs":
            _ = try arguments.bound(in: name)
            if let whole = value.whole, whole != .min { return .integer(abs(whole)) }
            guard let number = value.number else {
                throw .failed("bad operand type for abs(): '\(value.kind)'")
            }
            return .float(abs(number))
        default:
            let given = try arguments.bound(to: "precision", "method", in: name)
            guard let number = value.number, let digits = given[0] == nil ? 0 : given[0]?.whole,
                (0...15).contains(digits)
            else { throw .failed("round takes a number, and 0 to 15 digits") }
            let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
            let rule: FloatingPointRoundingRule =
                switch given[1]?.text?.string {
                case "ceil": .up
                case "floor": .down
                default: .toNearestOrEven
                }
            return .float((number * scale).rounded(rule) / scale)
        }
    }
}

extension MarkedText {
    /// Jinja's `title`: a capital after white space, `-` and brackets, small letters elsewhere.
    fileprivate var titledByWords: MarkedText {
        var begins = true
        return mapped { scalar, _ in
            let isFirst = begins
            begins = Self.isSpace(scalar) || "-([{<".unicodeScalars.contains(scalar)
            return isFirst
                ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
        }
    }
}
