// Calls as Python writes them: `[f(a='x', b=[1, None]), g()]`. Literals become JSON; there is
// nothing else that would have a value.

internal import JSON

enum PythonCalls {
    /// The calls that `text` is; nil where it is anything else.
    static func read(_ text: [UInt8]) -> [WholeCall]? {
        var reader = Reader(scanner: TextScanner(text))
        return reader.calls()
    }

    private struct Reader {
        var scanner: TextScanner

        mutating func calls() -> [WholeCall]? {
            scanner.skipSpace()
            let isList = scanner.take("[")
            var calls: [WholeCall] = []
            while true {
                scanner.skipSpace()
                if calls.isEmpty || scanner.take(",") {
                    scanner.skipSpace()
                    guard let call = call() else { return nil }
                    calls.append(call)
                    continue
                }
                if isList, !scanner.take("]") { return nil }
                scanner.skipSpace()
                return scanner.byte == nil ? calls : nil
            }
        }

        private mutating func call() -> WholeCall? {
            guard let name = CallName.read(scanner.take(until: [UInt8(ascii: "(")])),
                scanner.take("(")
            else { return nil }
            var json = Array("{".utf8)
            scanner.skipSpace()
            while !scanner.take(")") {
                if json.count > 1 {
                    guard scanner.take(",") else { return nil }
                    scanner.skipSpace()
                    // Python allows a comma at the end.
                    if scanner.take(")") { break }
                    json += ", ".utf8
                }
                let key = ToolSchemas.trimmed(scanner.take(until: Set("=,)".utf8)))
                guard !key.isEmpty, scanner.take("="), let value = value(0) else { return nil }
                json += JSONText.quoted(key) + Array(": ".utf8) + value
                scanner.skipSpace()
            }
            return WholeCall(name: name, arguments: json + Array("}".utf8))
        }

        /// The JSON of the literal that is next.
        private mutating func value(_ depth: Int) -> [UInt8]? {
            guard depth <= TextScanner.depthMax else { return nil }
            scanner.skipSpace()
            switch scanner.byte {
            case UInt8(ascii: "'"), UInt8(ascii: "\""): return string().map { JSONText.quoted($0) }
            case UInt8(ascii: "["): return list("[", "]", depth)
            case UInt8(ascii: "("): return list("(", ")", depth)
            case UInt8(ascii: "{"): return list("{", "}", depth)
            default: break
            }
            let word = ToolSchemas.trimmed(scanner.take(until: Set(",)]}:\n".utf8)))
            let words = [
                "True": "true", "False": "false", "None": "null", "true": "true",
                "false": "false", "null": "null"
            ]
            if let known = words[String(decoding: word, as: UTF8.self)] { return Array(known.utf8) }
            return (try? JSONParser.parse(word))?.double == nil ? nil : word
        }

        private mutating func list(
            _ opening: Character, _ closing: Character, _ depth: Int
        ) -> [UInt8]? {
            let isDictionary = opening == "{"
            var json = Array((isDictionary ? "{" : "[").utf8)
            guard scanner.take(opening) else { return nil }
            scanner.skipSpace()
            while !scanner.take(closing) {
                if json.count > 1 {
                    guard scanner.take(",") else { return nil }
                    scanner.skipSpace()
                    if scanner.take(closing) { break }
                    json += ", ".utf8
                }
                guard let value = value(depth + 1) else { return nil }
                scanner.skipSpace()
                if isDictionary {
                    // Keys of JSON are texts.
                    json += value.first == UInt8(ascii: "\"") ? value : JSONText.quoted(value)
                    guard scanner.take(":"), let member = self.value(depth + 1) else { return nil }
                    json += Array(": ".utf8) + member
                    scanner.skipSpace()
                } else {
                    json += value
                }
            }
            return json + Array((isDictionary ? "}" : "]").utf8)
        }

        /// The text of a string, with its escapes undone.
        private mutating func string() -> [UInt8]? {
            guard let quote = scanner.byte else { return nil }
            scanner.position += 1
            var text: [UInt8] = []
            while let byte = scanner.byte {
                scanner.position += 1
                if byte == quote { return text }
                guard byte == UInt8(ascii: "\\") else {
                    text.append(byte)
                    continue
                }
                guard let escaped = escape() else { return nil }
                text += escaped
            }
            return nil
        }

        private mutating func escape() -> [UInt8]? {
            guard let letter = scanner.byte else { return nil }
            scanner.position += 1
            let simple: [UInt8: UInt8] = [
                UInt8(ascii: "n"): 0x0A, UInt8(ascii: "t"): 0x09, UInt8(ascii: "r"): 0x0D,
                UInt8(ascii: "b"): 0x08, UInt8(ascii: "f"): 0x0C, UInt8(ascii: "\\"): 0x5C,
                UInt8(ascii: "'"): 0x27, UInt8(ascii: "\""): 0x22, UInt8(ascii: "/"): 0x2F
            ]
            if let byte = simple[letter] { return [byte] }
            let lengths: [UInt8: Int] = [
                UInt8(ascii: "x"): 2, UInt8(ascii: "u"): 4, UInt8(ascii: "U"): 8
            ]
            // Python leaves what is no escape as it is.
            guard let length = lengths[letter] else { return [UInt8(ascii: "\\"), letter] }
            guard var value = hexadecimal(length) else { return nil }
            if (0xD800..<0xDC00).contains(value), scanner.take(Array("\\u".utf8)),
                let low = hexadecimal(4), (0xDC00..<0xE000).contains(low)
            {
                value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
            }
            let scalar = Unicode.Scalar(value) ?? "\u{FFFD}"
            return Array(String(scalar).utf8)
        }

        private mutating func hexadecimal(_ length: Int) -> UInt32? {
            var value: UInt32 = 0
            for _ in 0..<length {
                guard let byte = scanner.byte,
                    let digit = Character(Unicode.Scalar(byte)).hexDigitValue
                else { return nil }
                value = value << 4 | UInt32(digit)
                scanner.position += 1
            }
            return value
        }
    }
}
