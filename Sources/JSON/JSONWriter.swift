// JSON values as text. Keys are sorted by their bytes: equal values give equal bytes. Numbers are
// exact: the shortest digits that read back as the same.

extension JSONValue {
    /// The value as JSON text (RFC 8259), without a newline at its end.
    ///
    /// - Parameter isPretty: one member or element per line, indented by two spaces for each level.
    /// - Precondition: numbers are finite.
    package func text(isPretty: Bool = false) -> [UInt8] {
        var writer = JSONWriter(isPretty: isPretty)
        writer.write(self)
        return writer.bytes
    }
}

private struct JSONWriter {
    let isPretty: Bool
    var bytes: [UInt8] = []
    private var depth = 0

    init(isPretty: Bool) { self.isPretty = isPretty }

    mutating func write(_ value: JSONValue) {
        switch value {
        case .null: bytes += "null".utf8
        case .boolean(let flag): bytes += (flag ? "true" : "false").utf8
        case .integer(let value): bytes += "\(value)".utf8
        case .unsigned(let value): bytes += "\(value)".utf8
        case .number(let value): write(value)
        case .string(let text): bytes.writeJSON(text)
        case .array(let elements):
            writeList(elements, "[", "]") { writer, element in writer.write(element) }
        case .object(let members):
            // By bytes: "e\u{301}" is neither before, after nor equal to "\u{E9}a" by Swift's `<`.
            let sorted = members.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            writeList(sorted, "{", "}") { writer, member in
                writer.bytes.writeJSON(member.key)
                writer.bytes += (writer.isPretty ? ": " : ":").utf8
                writer.write(member.value)
            }
        }
    }

    /// Whole numbers without a fraction, except for minus zero, which would lose its sign.
    private mutating func write(_ value: Double) {
        precondition(value.isFinite, "JSON has no infinities")
        let text = "\(value)"
        let isShort = text.hasSuffix(".0") && text != "-0.0"
        bytes += text.utf8.dropLast(isShort ? 2 : 0)
    }

    private mutating func writeList<Element>(
        _ elements: [Element], _ opening: String, _ closing: String,
        _ write: (inout JSONWriter, Element) -> Void
    ) {
        bytes += opening.utf8
        depth += 1
        for (index, element) in elements.enumerated() {
            if index > 0 { bytes += ",".utf8 }
            breakLine()
            write(&self, element)
        }
        depth -= 1
        if !elements.isEmpty { breakLine() }
        bytes += closing.utf8
    }

    private mutating func breakLine() {
        guard isPretty else { return }
        bytes.append(0x0A)
        bytes += [UInt8](repeating: 0x20, count: 2 * depth)
    }
}
