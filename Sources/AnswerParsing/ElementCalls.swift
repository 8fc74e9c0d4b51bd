// Calls as elements, whose tags begin with a separator, down to what is in lists and objects:
// `S<invoke name="f">S<list>S<item>1S</item>S</list>S</invoke>` for a separator S.

enum ElementCalls {
    /// The calls that `text` is; nil where it is anything else.
    static func read(_ text: [UInt8], separator: [UInt8], tools: ToolSchemas) -> [WholeCall]? {
        var reader = Reader(scanner: TextScanner(text), separator: separator, tools: tools)
        return reader.calls()
    }

    private struct Reader {
        var scanner: TextScanner
        let separator: [UInt8]
        let tools: ToolSchemas

        mutating func calls() -> [WholeCall]? {
            var calls: [WholeCall] = []
            while true {
                scanner.skipSpace()
                guard scanner.byte != nil else { return calls }
                guard scanner.take(separator + Array("<invoke name=\"".utf8)),
                    let name = CallName.read(scanner.take(until: [UInt8(ascii: "\"")])),
                    scanner.take(Array("\">".utf8)),
                    let arguments = members(of: "invoke", .object(tools.kinds(of: name)), 0)
                else { return nil }
                calls.append(WholeCall(name: name, arguments: arguments))
            }
        }

        /// The JSON of the elements up to the end of `tag`.
        private mutating func members(
            of tag: String, _ kind: ToolSchemas.Kind, _ depth: Int
        ) -> [UInt8]? {
            guard depth <= TextScanner.depthMax else { return nil }
            var members: [(key: String, value: [UInt8])] = []
            var keys: Set<String> = []
            while true {
                scanner.skipSpace()
                if scanner.take(end(of: tag)) { return Self.json(members, kind) }
                guard scanner.take(separator), scanner.take("<") else { return nil }
                let name = scanner.take(until: Set("<>/".utf8))
                guard !name.isEmpty, name.count <= CallLimits.nameBytesMax, scanner.take(">") else {
                    return nil
                }
                let key = String(decoding: name, as: UTF8.self)
                guard let value = value(of: key, kind.member(key), depth) else { return nil }
                // Of two values of one name the first counts.
                let isNew = keys.insert(key).inserted
                if isNew || key == "item" { members.append((key, value)) }
            }
        }

        private func end(of tag: String) -> [UInt8] { separator + Array("</\(tag)>".utf8) }

        private mutating func value(
            of tag: String, _ kind: ToolSchemas.Kind, _ depth: Int
        ) -> [UInt8]? {
            let start = scanner.position
            let rest = scanner.bytes[start...]
            guard let next = rest.firstRange(of: separator) else { return nil }
            scanner.position = next.lowerBound
            let text = Array(rest[..<next.lowerBound])
            if scanner.take(end(of: tag)) { return kind.json(text) }
            guard text.allSatisfy(\.isSpace) else { return nil }
            return members(of: tag, kind, depth + 1)
        }

        private static func json(
            _ members: [(key: String, value: [UInt8])], _ kind: ToolSchemas.Kind
        ) -> [UInt8] {
            let areItems = !members.isEmpty && members.allSatisfy { $0.key == "item" }
            let isList = kind.isList ?? areItems
            var json: [UInt8] = [UInt8(ascii: isList ? "[" : "{")]
            for (index, member) in members.enumerated() {
                if index > 0 { json += ", ".utf8 }
                if !isList { json += JSONText.quoted(member.key.utf8) + Array(": ".utf8) }
                json += member.value
            }
            return json + [UInt8(ascii: isList ? "]" : "}")]
        }
    }
}

extension ToolSchemas.Kind {
    /// Whether it is a list; nil where it is neither that nor an object.
    fileprivate var isList: Bool? {
        switch self {
        case .list: true
        case .object: false
        case .text, .textOrNull, .any: nil
        }
    }

    /// What an element within it is.
    fileprivate func member(_ name: String) -> ToolSchemas.Kind {
        switch self {
        case .list(let kind): kind
        case .object(let kinds): kinds[name] ?? .any
        case .text, .textOrNull, .any: .any
        }
    }

    /// The JSON of an element without elements.
    fileprivate func json(_ text: [UInt8]) -> [UInt8] {
        if let isList, text.allSatisfy(\.isSpace) { return Array((isList ? "[]" : "{}").utf8) }
        return ToolSchemas.json(text, as: self)
    }
}
