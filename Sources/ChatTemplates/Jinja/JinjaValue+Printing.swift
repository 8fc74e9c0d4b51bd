// Values as text: Python's `str` and `repr`, and JSON.

extension JinjaValue {
    /// What a template prints of the value.
    var printed: MarkedText {
        switch self {
        case .undefined: MarkedText()
        case .string(let text): text
        default: represented
        }
    }

    /// Python's `repr`.
    var represented: MarkedText {
        var text = MarkedText()
        represent(into: &text)
        return text
    }

    private func represent(into result: inout MarkedText) {
        switch self {
        case .undefined: result.append("Undefined")
        case .none: result.append("None")
        case .boolean(let flag): result.append(flag ? "True" : "False")
        case .integer(let value): result.append("\(value)")
        case .float(let value): result.append(pythonText(value))
        case .string(let text): text.represent(into: &result)
        case .list(let list) where list.isGenerator: result.append("<generator object>")
        case .list(let list):
            result.append("[")
            Self.represent(list.elements, into: &result)
            result.append("]")
        case .tuple(let list):
            result.append("(")
            Self.represent(list.elements, into: &result)
            result.append(list.elements.count == 1 ? ",)" : ")")
        case .dictionary(let dictionary):
            result.append("{")
            for (index, member) in dictionary.members.enumerated() {
                if index > 0 { result.append(", ") }
                member.key.represent(into: &result)
                result.append(": ")
                member.value.represent(into: &result)
            }
            result.append("}")
        case .namespace: result.append("<Namespace>")
        case .macro: result.append("<Macro>")
        case .loop: result.append("<LoopContext>")
        case .function(let name): result.append("<function \(name)>")
        case .method(let method): result.append("<built-in method \(method.name)>")
        }
    }

    private static func represent(_ elements: [JinjaValue], into result: inout MarkedText) {
        for (index, element) in elements.enumerated() {
            if index > 0 { result.append(", ") }
            element.represent(into: &result)
        }
    }
}

extension MarkedText {
    /// As Python writes it in a program.
    fileprivate func represent(into result: inout MarkedText) {
        let hasApostrophe = bytes.contains(UInt8(ascii: "'"))
        let quote = hasApostrophe && !bytes.contains(UInt8(ascii: "\"")) ? "\"" : "'"
        result.append(quote)
        result.append(
            mapped { scalar, _ in
                switch scalar {
                case "\\": return "\\\\"
                case "\n": return "\\n"
                case "\r": return "\\r"
                case "\t": return "\\t"
                default: break
                }
                if String(scalar) == quote { return "\\" + quote }
                if scalar.isPrintable { return String(scalar) }
                let value = scalar.value
                if value < 0x100 { return "\\x" + hexadecimal(value, 2) }
                return value < 0x10000
                    ? "\\u" + hexadecimal(value, 4) : "\\U" + hexadecimal(value, 8)
            })
        result.append(quote)
    }
}

extension Unicode.Scalar {
    /// Python's `str.isprintable`.
    fileprivate var isPrintable: Bool {
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
            .paragraphSeparator:
            false
        case .spaceSeparator: self == " "
        default: true
        }
    }
}

private func hexadecimal(_ value: UInt32, _ digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
}

/// A float as Python prints it: the shortest digits, with an exponent below 1e-4 and from 1e16.
func pythonText(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    let sign = value.sign == .minus ? "-" : ""
    let parts = "\(value.magnitude)".split(separator: "e")
    let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
    var digits = String(mantissa[0]) + (mantissa.count > 1 ? String(mantissa[1]) : "")
    var point = mantissa[0].utf8.count + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
    while digits.hasPrefix("0"), digits.utf8.count > 1 {
        digits.removeFirst()
        point -= 1
    }
    while digits.hasSuffix("0"), digits.utf8.count > 1 { digits.removeLast() }
    if digits == "0" { return sign + "0.0" }
    if point > 16 || point < -3 {
        let rest = digits.dropFirst()
        let exponent = point - 1
        let power =
            (exponent < 0 ? "-" : "+") + (abs(exponent) < 10 ? "0" : "") + "\(abs(exponent))"
        return sign + digits.prefix(1) + (rest.isEmpty ? "" : "." + rest) + "e" + power
    }
    if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + digits }
    let count = digits.utf8.count
    if count <= point {
        return sign + digits + String(repeating: "0", count: point - count) + ".0"
    }
    return sign + digits.prefix(point) + "." + digits.dropFirst(point)
}

// MARK: - JSON

/// Python's `json.dumps`.
struct JinjaJSONWriter {
    var isASCII = false
    /// What a level is indented by; nil is one line.
    var indent: MarkedText?
    var itemSeparator = MarkedText(", ")
    var keySeparator = MarkedText(": ")
    var sortsKeys = false
    private var result = MarkedText()

    init() {}

    mutating func write(_ value: JinjaValue) throws(JinjaFault) -> MarkedText {
        try write(value, 0)
        return result
    }

    private mutating func write(_ value: JinjaValue, _ level: Int) throws(JinjaFault) {
        switch value {
        case .none: result.append("null")
        case .boolean(let flag): result.append(flag ? "true" : "false")
        case .integer(let number): result.append("\(number)")
        case .float(let number): result.append(Self.text(number))
        case .string(let text): write(text)
        case .list(let list), .tuple(let list):
            guard !list.isGenerator else { throw Self.notJSON(value) }
            guard !list.elements.isEmpty else { return result.append("[]") }
            result.append("[")
            for (index, element) in list.elements.enumerated() {
                if index > 0 { result.append(itemSeparator) }
                breakLine(level + 1)
                try write(element, level + 1)
            }
            breakLine(level)
            result.append("]")
        case .dictionary(let dictionary): try write(dictionary, level)
        default: throw Self.notJSON(value)
        }
    }

    private static func notJSON(_ value: JinjaValue) -> JinjaFault {
        .failed("Object of type \(value.kind) is not JSON serializable")
    }

    private mutating func write(
        _ dictionary: JinjaDictionary, _ level: Int
    ) throws(JinjaFault) {
        guard dictionary.count > 0 else { return result.append("{}") }
        var members = dictionary.members
        if sortsKeys { members = try jinjaSorted(members) { $0.key } }
        result.append("{")
        for (index, member) in members.enumerated() {
            if index > 0 { result.append(itemSeparator) }
            breakLine(level + 1)
            write(try Self.name(member.key))
            result.append(keySeparator)
            try write(member.value, level + 1)
        }
        breakLine(level)
        result.append("}")
    }

    private static func name(_ key: JinjaValue) throws(JinjaFault) -> MarkedText {
        switch key {
        case .string(let text): text
        case .integer(let value): MarkedText("\(value)")
        case .float(let value): MarkedText(text(value))
        case .boolean(let flag): MarkedText(flag ? "true" : "false")
        case .none: MarkedText("null")
        default: throw .failed("keys must be str, int, float, bool or None, not \(key.kind)")
        }
    }

    private static func text(_ value: Double) -> String {
        if value.isFinite { return pythonText(value) }
        return value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity"
    }

    private mutating func breakLine(_ level: Int) {
        guard let indent else { return }
        result.append("\n")
        for _ in 0..<level { result.append(indent) }
    }

    private mutating func write(_ text: MarkedText) {
        let isASCII = isASCII
        result.append("\"")
        for run in text.runs() {
            var escaped = ""
            let part = String(decoding: text.bytes[run.range], as: UTF8.self)
            for scalar in part.unicodeScalars { Self.escape(scalar, isASCII, into: &escaped) }
            result.append(escaped, isOutside: run.isOutside)
        }
        result.append("\"")
    }

    private static func escape(
        _ scalar: Unicode.Scalar, _ isASCII: Bool, into text: inout String
    ) {
        switch scalar {
        case "\"": text += "\\\""
        case "\\": text += "\\\\"
        case "\n": text += "\\n"
        case "\r": text += "\\r"
        case "\t": text += "\\t"
        case "\u{8}": text += "\\b"
        case "\u{C}": text += "\\f"
        case "\u{0}"..."\u{1F}": text += "\\u" + hexadecimal(scalar.value, 4)
        case _ where isASCII && scalar.value > 0x7F:
            for unit in String(scalar).utf16 { text += "\\u" + hexadecimal(UInt32(unit), 4) }
        default: text.unicodeScalars.append(scalar)
        }
    }
}

/// Python's stable `sorted`.
func jinjaSorted<Element>(
    _ elements: [Element], reversed: Bool = false,
    by key: (Element) throws(JinjaFault) -> JinjaValue
) throws(JinjaFault) -> [Element] {
    var keys: [JinjaValue] = []
    for element in elements { keys.append(try key(element)) }
    var order = Array(elements.indices)
    var fault: JinjaFault?
    order.sort { left, right in
        if fault != nil { return false }
        do throws(JinjaFault) {
            let (first, second) = reversed ? (right, left) : (left, right)
            return try keys[first].isLess(than: keys[second])
        } catch {
            fault = error
            return false
        }
    }
    if let fault { throw fault }
    return order.map { elements[$0] }
}
