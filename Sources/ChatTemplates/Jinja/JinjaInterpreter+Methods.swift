// Methods of texts, lists and dictionaries, as Python has them.

extension JinjaInterpreter {
    func callMethod(
        _ method: JinjaMethod, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        switch method.receiver {
        case .string(let text):
            try step(text.count >> 4)
            return try callText(text, method.name, arguments)
        case .list(let list), .tuple(let list):
            return try callList(list.elements, method.name, arguments)
        case .dictionary(let dictionary):
            return try callDictionary(dictionary, method.name, arguments)
        case .loop(let number): return try callLoop(number, method.name, arguments)
        default: throw .failed("'\(method.name)' is not callable")
        }
    }

    private func callLoop(
        _ number: Int, _ name: String, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        guard number < loops.count else { throw .failed("the loop is over") }
        let values = arguments.positional
        if name == "cycle" {
            guard !values.isEmpty else { throw .failed("no items for cycling given") }
            return values[loops[number].index % values.count]
        }
        let last = loops[number].lastChecked
        loops[number].lastChecked = values
        guard let last, last.count == values.count else { return .boolean(true) }
        for (old, new) in zip(last, values) where !(try equal(old, new)) { return .boolean(true) }
        return .boolean(false)
    }

    private func callDictionary(
        _ dictionary: JinjaDictionary, _ name: String, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        try charge(64, times: name == "get" ? 0 : dictionary.count)
        if name == "get" {
            guard arguments.keywords.isEmpty, (1...2).contains(arguments.positional.count) else {
                throw .failed("get takes one or two arguments")
            }
            let key = arguments.positional[0]
            try step(key.weight >> 4)
            let fallback = arguments.positional.count > 1 ? arguments.positional[1] : .none
            return dictionary[try key.key()] ?? fallback
        }
        guard arguments.positional.isEmpty, arguments.keywords.isEmpty else {
            throw .failed("\(name) takes no arguments")
        }
        switch name {
        case "items": return .list(dictionary.members.map { .tuple([$0.key, $0.value]) })
        case "keys": return .list(dictionary.members.map(\.key))
        case "values": return .list(dictionary.members.map(\.value))
        default: return .dictionary(dictionary)
        }
    }

    private func callList(
        _ elements: [JinjaValue], _ name: String, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        guard arguments.positional.count == 1, arguments.keywords.isEmpty else {
            throw .failed("\(name) takes one argument")
        }
        var count = 0
        for (place, element) in elements.enumerated() {
            guard try equal(element, arguments.positional[0]) else { continue }
            if name == "index" { return .integer(place) }
            count += 1
        }
        guard name == "count" else { throw .failed("the list has no such element") }
        return .integer(count)
    }

    // MARK: texts

    private func callText(
        _ text: MarkedText, _ name: String, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        switch name {
        case "format": return .string(try format(text, arguments))
        case "split", "rsplit": return try split(text, name, arguments)
        case "strip", "lstrip", "rstrip":
            let values = try arguments.bound(to: "chars", in: name)
            let side: MarkedText.Side =
                name == "strip" ? .both : name == "lstrip" ? .start : .end
            return .string(text.trimmed(try optionalText(values[0]), side))
        case "startswith", "endswith":
            guard (1...3).contains(arguments.positional.count) else {
                throw .failed("\(name) takes one to three arguments")
            }
            let searched = try part(of: text, arguments.positional)
            return .boolean(
                try isAt(name == "startswith", searched, arguments.positional[0]))
        case "replace":
            let values = try arguments.bound(to: "old", "new", "count", in: name)
            return .string(
                try replaced(
                    text, try requiredText(values[0]), try requiredText(values[1]),
                    values[2]?.whole ?? -1))
        case "find", "rfind", "index", "count": return try search(text, name, arguments)
        case "join":
            let values = try arguments.bound(to: "iterable", in: name)
            return .string(try joined(try elements(of: values[0] ?? .none), text, isStrict: true))
        case "splitlines":
            let values = try arguments.bound(to: "keepends", in: name)
            return .list(
                text.lines(keepingEnds: values[0]?.isTrue ?? false).map { .string($0) })
        case "removeprefix", "removesuffix":
            let values = try arguments.bound(to: "part", in: name)
            let part = try requiredText(values[0])
            if name == "removeprefix" {
                return .string(text.hasPrefix(part) ? text.slice(part.count..<text.count) : text)
            }
            return .string(
                text.hasSuffix(part) ? text.slice(0..<text.count - part.count) : text)
        default: break
        }
        guard arguments.positional.isEmpty, arguments.keywords.isEmpty else {
            throw .failed("\(name) takes no arguments")
        }
        return try plain(text, name)
    }

    /// Methods without arguments.
    private func plain(_ text: MarkedText, _ name: String) throws(JinjaFault) -> JinjaValue {
        try charge(4 * text.count)
        func all(_ test: (Unicode.Scalar.Properties) -> Bool) -> JinjaValue {
            let scalars = text.string.unicodeScalars
            return .boolean(!scalars.isEmpty && scalars.allSatisfy { test($0.properties) })
        }
        func cased(_ test: (Unicode.Scalar.Properties) -> Bool) -> JinjaValue {
            let scalars = text.string.unicodeScalars.filter(\.properties.isCased)
            return .boolean(!scalars.isEmpty && scalars.allSatisfy { test($0.properties) })
        }
        switch name {
        case "upper": return .string(text.uppercased)
        case "lower": return .string(text.lowercased)
        case "title": return .string(text.titled)
        case "capitalize": return .string(text.capitalized)
        case "swapcase":
            return .string(
                text.mapped { scalar, _ in
                    scalar.properties.isUppercase
                        ? scalar.properties.lowercaseMapping : scalar.properties.uppercaseMapping
                })
        case "isdigit": return all { $0.numericType == .decimal || $0.numericType == .digit }
        case "isalpha": return all { $0.generalCategory.isLetter }
        case "isalnum": return all { $0.generalCategory.isLetter || $0.numericType != nil }
        case "isspace":
            let scalars = text.string.unicodeScalars
            return .boolean(!scalars.isEmpty && scalars.allSatisfy(MarkedText.isSpace))
        case "isupper": return cased { $0.isUppercase }
        default: return cased { $0.isLowercase }
        }
    }

    private func requiredText(_ value: JinjaValue?) throws(JinjaFault) -> MarkedText {
        guard let text = value?.text else {
            throw .failed("expected str, found \(value?.kind ?? "nothing")")
        }
        return text
    }

    private func optionalText(_ value: JinjaValue?) throws(JinjaFault) -> MarkedText? {
        guard let value else { return nil }
        if case .none = value { return nil }
        return try requiredText(value)
    }

    /// The part that a second and a third argument pick.
    private func part(
        of text: MarkedText, _ arguments: [JinjaValue]
    ) throws(JinjaFault) -> MarkedText {
        guard arguments.count > 1 else { return text }
        try charge(8 * text.count)
        return text.picked(
            JinjaSlice(
                start: arguments[1].whole, stop: arguments.count > 2 ? arguments[2].whole : nil,
                step: 1))
    }

    private func isAt(
        _ start: Bool, _ text: MarkedText, _ value: JinjaValue
    ) throws(JinjaFault) -> Bool {
        if case .tuple(let list) = value {
            for element in list.elements where try isAt(start, text, element) { return true }
            return false
        }
        let part = try requiredText(value)
        return start ? text.hasPrefix(part) : text.hasSuffix(part)
    }

    func replaced(
        _ text: MarkedText, _ old: MarkedText, _ new: MarkedText, _ count: Int
    ) throws(JinjaFault) -> MarkedText {
        // Room for what may be put in.
        var found = old.isEmpty ? text.count + 1 : 0
        if !old.isEmpty {
            var start = 0
            while let place = text.find(old, from: start) {
                found += 1
                start = place + old.count
            }
        }
        try charge(new.count + 16, times: found)
        return text.replacing(old, with: new, countMax: count)
    }

    private func split(
        _ text: MarkedText, _ name: String, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        let values = try arguments.bound(to: "sep", "maxsplit", in: name)
        let splitsMax = values[1]?.whole ?? -1
        try charge(2 * text.count)
        guard let separator = try optionalText(values[0]) else {
            try charge(32, times: text.count)
            guard name == "split" || splitsMax < 0 else {
                throw .failed("rsplit at white space with a count is not supported")
            }
            return .list(text.words(splitsMax: splitsMax).map { .string($0) })
        }
        guard !separator.isEmpty else { throw .failed("empty separator") }
        try charge(64, times: text.count / separator.count)
        let parts = text.split(separator, splitsMax: splitsMax, fromEnd: name == "rsplit")
        return .list(parts.map { .string($0) })
    }

    private func search(
        _ text: MarkedText, _ name: String, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> JinjaValue {
        guard (1...3).contains(arguments.positional.count), arguments.keywords.isEmpty else {
            throw .failed("\(name) takes one to three arguments")
        }
        let needle = try requiredText(arguments.positional[0])
        let searched = try part(of: text, arguments.positional)
        if name == "count" {
            guard !needle.isEmpty else { return .integer(searched.scalarCount + 1) }
            return .integer(searched.split(needle).count - 1)
        }
        let place =
            name == "rfind"
            ? searched.findLast(needle, before: searched.count) : searched.find(needle)
        guard let place else {
            guard name != "index" else { throw .failed("substring not found") }
            return .integer(-1)
        }
        var start = 0
        if arguments.positional.count > 1, let first = arguments.positional[1].whole {
            let count = text.scalarCount
            start = min(max(first < 0 ? first + count : first, 0), count)
        }
        return .integer(start + searched.slice(0..<place).scalarCount)
    }

    /// - Parameter isStrict: texts only, as Python's own `join` has it.
    func joined(
        _ elements: [JinjaValue], _ separator: MarkedText, isStrict: Bool
    ) throws(JinjaFault) -> MarkedText {
        try charge(separator.count + 16, times: elements.count)
        var result = MarkedText()
        for (index, element) in elements.enumerated() {
            if index > 0 { result.append(separator) }
            if isStrict, element.text == nil {
                throw .failed(
                    "sequence item \(index): expected str instance, \(element.kind) found")
            }
            let text = try printed(element)
            try charge(text.count)
            result.append(text)
        }
        return result
    }

    /// Python's `str.format` with plain fields.
    private func format(
        _ text: MarkedText, _ arguments: JinjaArguments
    ) throws(JinjaFault) -> MarkedText {
        var result = MarkedText()
        var automatic = 0
        var offset = 0
        let bytes = text.bytes
        while offset < bytes.count {
            let byte = bytes[offset]
            let next = offset + 1 < bytes.count ? bytes[offset + 1] : 0
            guard byte == UInt8(ascii: "{") || byte == UInt8(ascii: "}") else {
                result.append(byte, isOutside: text.isOutside(at: offset))
                offset += 1
                continue
            }
            if next == byte {
                result.append(byte, isOutside: text.isOutside(at: offset))
                offset += 2
                continue
            }
            guard byte == UInt8(ascii: "{"),
                let end = bytes[offset...].firstIndex(of: UInt8(ascii: "}"))
            else { throw .failed("a single brace in a format string") }
            let field = String(decoding: bytes[offset + 1..<end], as: UTF8.self)
            let value: JinjaValue?
            if field.isEmpty || Int(field) != nil {
                let place = Int(field) ?? automatic
                if field.isEmpty { automatic += 1 }
                value =
                    arguments.positional.indices.contains(place)
                    ? arguments.positional[place] : nil
            } else {
                value = arguments.keywords.first { $0.name == field }?.value
            }
            guard let value else {
                throw .failed("the field '{\(field.prefix(40))}' is not supported or not given")
            }
            let printed = try printed(value)
            try charge(printed.count)
            result.append(printed)
            offset = end + 1
        }
        return result
    }
}

extension Unicode.GeneralCategory {
    fileprivate var isLetter: Bool {
        switch self {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
            true
        default: false
        }
    }
}
