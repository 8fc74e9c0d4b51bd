// Calls in braces: `call:NAME{key:<|"|>text<|"|>,other:[1,{a:true}]}`. Keys are bare, texts are
// between markers for quotes.

enum BraceCalls {
    /// The calls that `text` is; nil where it is anything else.
    static func read(_ text: [UInt8], quote: [UInt8]) -> [WholeCall]? {
        var reader = Reader(scanner: TextScanner(text), quote: quote)
        return reader.calls()
    }

    private struct Reader {
        var scanner: TextScanner
        let quote: [UInt8]

        mutating func calls() -> [WholeCall]? {
            var calls: [WholeCall] = []
            while true {
                scanner.skipSpace()
                guard scanner.byte != nil else { return calls }
                guard scanner.take(Array("call:".utf8)),
                    let name = CallName.read(scanner.take(until: [UInt8(ascii: "{")])),
                    let arguments = value(0)
                else { return nil }
                calls.append(WholeCall(name: name, arguments: arguments))
            }
        }

        /// The JSON of the value that is next.
        private mutating func value(_ depth: Int) -> [UInt8]? {
            guard depth <= TextScanner.depthMax else { return nil }
            scanner.skipSpace()
            if let text = quoted() { return JSONText.quoted(text) }
            switch scanner.byte {
            case UInt8(ascii: "{"): return list("{", "}", depth)
            case UInt8(ascii: "["): return list("[", "]", depth)
            default: break
            }
            let text = scanner.take(until: Set(",}]".utf8))
            return text.isEmpty ? nil : ToolSchemas.json(ToolSchemas.trimmed(text), as: .any)
        }

        /// A text between markers; nil where none begins.
        private mutating func quoted() -> [UInt8]? {
            guard scanner.take(quote) else { return nil }
            let rest = scanner.bytes[scanner.position...]
            guard let end = rest.firstRange(of: quote) else { return nil }
            scanner.position = end.upperBound
            return Array(rest[..<end.lowerBound])
        }

        private mutating func list(
            _ opening: Character, _ closing: Character, _ depth: Int
        ) -> [UInt8]? {
            var json = Array(String(opening).utf8)
            guard scanner.take(opening) else { return nil }
            scanner.skipSpace()
            while !scanner.take(closing) {
                if json.count > 1 {
                    guard scanner.take(",") else { return nil }
                    json += ", ".utf8
                    scanner.skipSpace()
                }
                if opening == "{" {
                    let key = quoted() ?? scanner.take(until: Set(":,}".utf8))
                    scanner.skipSpace()
                    guard scanner.take(":") else { return nil }
                    json += JSONText.quoted(ToolSchemas.trimmed(key)) + Array(": ".utf8)
                }
                guard let value = value(depth + 1) else { return nil }
                json += value
                scanner.skipSpace()
            }
            return json + Array(String(closing).utf8)
        }
    }
}
