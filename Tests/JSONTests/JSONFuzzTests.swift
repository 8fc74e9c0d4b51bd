// JSON that nobody meant: what is read is what a reader written apart from ours takes, what is
// written is read again, and what is refused is refused for a reason.

import JSON
import TestSupport
import Testing

/// Whether bytes are JSON (RFC 8259), by a reader that keeps nothing.
private struct Checker {
    private let bytes: [UInt8]
    private var place = 0

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    static func isJSON(_ bytes: [UInt8]) -> Bool {
        var checker = Checker(bytes)
        guard String(validating: bytes, as: UTF8.self) != nil, checker.value() else { return false }
        checker.space()
        return checker.place == bytes.count
    }

    private var next: UInt8? { place < bytes.count ? bytes[place] : nil }

    private mutating func take(_ text: String) -> Bool {
        guard bytes[place...].starts(with: text.utf8) else { return false }
        place += text.utf8.count
        return true
    }

    private mutating func space() {
        while let byte = next, [0x20, 9, 10, 13].contains(byte) { place += 1 }
    }

    private mutating func value() -> Bool {
        space()
        return switch next {
        case UInt8(ascii: "{"): list("}") { $0.member() }
        case UInt8(ascii: "["): list("]") { $0.value() }
        case UInt8(ascii: "\""): string()
        case UInt8(ascii: "t"): take("true")
        case UInt8(ascii: "f"): take("false")
        case UInt8(ascii: "n"): take("null")
        default: number()
        }
    }

    private mutating func list(_ end: String, _ element: (inout Checker) -> Bool) -> Bool {
        place += 1
        space()
        if take(end) { return true }
        repeat {
            guard element(&self) else { return false }
            space()
        } while take(",")
        return take(end)
    }

    private mutating func member() -> Bool {
        space()
        guard next == UInt8(ascii: "\""), string() else { return false }
        space()
        return take(":") && value()
    }

    private mutating func string() -> Bool {
        place += 1
        while let byte = next {
            place += 1
            if byte == UInt8(ascii: "\"") { return true }
            guard byte >= 0x20 else { return false }
            guard byte == UInt8(ascii: "\\") else { continue }
            guard let escape = next else { return false }
            place += 1
            if escape == UInt8(ascii: "u") {
                let digits = bytes[place...].prefix(4).prefix {
                    "0123456789abcdefABCDEF".utf8.contains($0)
                }
                guard digits.count == 4 else { return false }
                place += 4
            } else if !"\"\\/bfnrt".utf8.contains(escape) {
                return false
            }
        }
        return false
    }

    private mutating func digits() -> Int {
        let count = bytes[place...].prefix { (48...57).contains($0) }.count
        place += count
        return count
    }

    private mutating func number() -> Bool {
        _ = take("-")
        let isZero = next == UInt8(ascii: "0")
        let count = digits()
        guard count > 0, !isZero || count == 1 else { return false }
        if take("."), digits() == 0 { return false }
        if take("e") || take("E") {
            _ = take("+") || take("-")
            return digits() > 0
        }
        return true
    }
}

/// Makes values and texts, and damages them.
private struct JSONFuzzer {
    private static let texts = [
        "", "a", "é", "e\u{301}", "中", "\u{1F600}", "\0", "\u{7F}", "\u{85}", "\u{2028}", "\"",
        "\\",
        "\n\r\t", "\u{FFFD}", "key", String(repeating: "x", count: 5000)
    ]
    private static let pieces = [
        "{", "}", "[", "]", "\"", ",", ":", "\\", "\\u", "\\ud800", "\\udc00", "\\ud83d\\ude00",
        "\\u00", "1e999", "-", "0", "00", ".5", "1.", "1e", "E+5", "true", "nul", "NaN", "Infinity",
        "\u{1}", "\n", "\t", "\u{FEFF}", "//", "{\"a\":", "[[[[[[[[", "18446744073709551616",
        "-9223372036854775809", String(repeating: "9", count: 130),
        String(repeating: "[", count: 70), "\"a\":1,\"a\":2", "'a'"
    ]
    var random: SplitMix

    private mutating func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

    private mutating func text() -> String {
        (0..<below(3)).reduce("") { text, _ in text + Self.texts[below(Self.texts.count)] }
    }

    mutating func value(_ depth: Int = 0) -> JSONValue {
        switch below(depth > 5 ? 7 : 10) {
        case 0: return .null
        case 1: return .boolean(below(2) == 0)
        case 2: return .integer(Int64(truncatingIfNeeded: random.next()) >> Int64(below(64)))
        case 3: return .unsigned(random.next() | 1 << 63)
        case 4:
            let number = Double(bitPattern: random.next())
            return .number(number.isFinite ? number : 0.5)
        case 5, 6: return .string(text())
        case 7, 8: return .array((0..<below(5)).map { _ in value(depth + 1) })
        default:
            let members = (0..<below(5)).map { _ in (text(), value(depth + 1)) }
            return .object(Dictionary(members) { first, _ in first })
        }
    }

    /// White space where it may be: around what begins and ends values, outside of strings.
    mutating func spaced(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var (isText, isEscaped) = (false, false)
        for byte in bytes {
            let isMark = !isText && "{}[],:".utf8.contains(byte)
            if isMark, below(4) == 0 { result.append([0x20, 9, 10, 13][below(4)]) }
            result.append(byte)
            if isMark, below(4) == 0 { result.append([0x20, 9, 10, 13][below(4)]) }
            if byte == UInt8(ascii: "\""), !isEscaped { isText.toggle() }
            isEscaped = byte == UInt8(ascii: "\\") && !isEscaped
        }
        return result
    }

    mutating func damaged(_ sound: [UInt8]) -> [UInt8] {
        FileMutator.edited(sound, with: Self.pieces, editsMax: 3, lengthMax: 3, &random)
    }
}

@Suite struct JSONFuzzTests {
    /// What JSON is and we refuse all the same.
    private static let limits = [
        "nested deeper", "appears twice", "out of range", "number too long"
    ]

    @Test(.timeLimit(.minutes(FuzzRun.minutesMax))) func whatNobodyMeantEnds() throws {
        var (read, refused, limited) = (0, 0, 0)
        try FuzzRun("JSON").each { random, place in
            var fuzzer = JSONFuzzer(random: SplitMix(seed: random.next()))
            let value = fuzzer.value()
            let text = value.text()
            let spaced = try JSONParser.parse(fuzzer.spaced(text))
            let pretty = try JSONParser.parse(value.text(isPretty: true))
            // A whole double has no fraction in text: texts are compared, which tell all else.
            #expect(spaced.text() == text && pretty.text() == text, "\(place)")
            let bytes = fuzzer.damaged(text)
            do throws(JSONError) {
                let other = try JSONParser.parse(bytes)
                read += 1
                #expect(Checker.isJSON(bytes), "\(place)")
                let again = try? JSONParser.parse(other.text())
                #expect(again?.text() == other.text(), "\(place)")
            } catch {
                #expect((0...bytes.count).contains(error.offset), "\(place)")
                guard Checker.isJSON(bytes) else {
                    refused += 1
                    return
                }
                limited += 1
                #expect(Self.limits.contains { error.problem.contains($0) }, "\(place): \(error)")
            }
        }
        #expect(read > 0 && refused > 0 && limited >= 0)
    }
}
