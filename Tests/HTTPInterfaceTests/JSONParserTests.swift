// The JSON reader against what clients send and what attackers send.

import HTTPInterface
import JSON
import NIOCore
import TestSupport
import Testing

@Suite struct JSONParserTests {
    private func parse(_ text: String) throws -> JSONValue {
        try JSONParser.parse(Array(text.utf8))
    }

    @Test func readsEveryKindOfValue() throws {
        let text = #" {"a":[1,-2.5e1,true,false,null],"b":{"c":"x\n\u00e9\ud83d\ude00"}} "#
        let value = try parse(text)
        #expect(
            value["a"]
                == .array([
                    .integer(1), .number(-25), .boolean(true), .boolean(false), .null
                ]))
        #expect(value["b"]?["c"]?.string == "x\n\u{e9}\u{1F600}")
        #expect(try parse("9223372036854775807") == .integer(.max))
        #expect(try parse("9223372036854775808") == .unsigned(1 << 63))
        #expect(try parse("18446744073709551615") == .unsigned(.max))
        #expect(try parse("18446744073709551616") == .number(18_446_744_073_709_551_616))
        #expect(try parse("-0") == .integer(0))
        #expect(try parse(#""\u0000""#).string == "\0")
    }

    @Test(arguments: [
        "", " ", "{", "[", "[1", "[1,", "[1,]", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}",
        "{a:1}", "{1:1}", "'a'", "tru", "nul", "truex", "01", "-", "-a", "1.", ".5", "1e", "1e+",
        "+1", "0x10", "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "\"", "\"\\", "\"\\u12\"",
        "\"\\x\"", "\"\\ud800\\u\"", "\"\u{1}\"", "\"\n\"", "1 2", "[1]]", "{\"a\":1,\"a\":2}",
        "\0",
        "\u{FEFF}1"
    ])
    func refuses(_ text: String) {
        #expect(throws: JSONError.self) { try parse(text) }
    }

    /// Half a surrogate pair is a character that is not known, and what follows it stays.
    @Test(
        arguments: [
            ("\\ud800", "\u{FFFD}"), ("\\ud800x", "\u{FFFD}x"),
            ("\\ud800\\u0041", "\u{FFFD}A"), ("\\udc00", "\u{FFFD}"),
            ("\\ud800\\ud83d\\ude00", "\u{FFFD}\u{1F600}"), ("\\ud800\\n", "\u{FFFD}\n")
        ])
    func replacesHalfASurrogatePair(_ escaped: String, _ text: String) throws {
        #expect(try parse("\"\(escaped)\"").string == text)
    }

    @Test(
        arguments: [
            ("3.0", 3, 3), ("3e0", 3, 3), ("-3", -3, -3), ("3.5", nil, nil),
            ("9007199254740992.0", 1 << 53, 1 << 53), ("9223372036854775807", .max, .max),
            ("18446744073709551615", nil, .max), ("-9223372036854775809", nil, .min),
            ("1e300", nil, .max), ("\"3\"", nil, nil)
        ] as [(String, Int64?, Int64?)])
    func knowsWholeNumbers(_ text: String, _ whole: Int64?, _ clamped: Int64?) throws {
        #expect(try parse(text).whole == whole)
        #expect(try parse(text).clampedWhole == clamped)
    }

    @Test func refusesInvalidUTF8() {
        #expect(throws: JSONError.self) { try JSONParser.parse([0x22, 0xFF, 0x22]) }
        #expect(throws: JSONError.self) { try JSONParser.parse([0x22, 0xC0, 0x80, 0x22]) }
        #expect(throws: JSONError.self) { try JSONParser.parse([0x22, 0xED, 0xA0, 0x80, 0x22]) }
    }

    @Test func boundsDepthValuesAndNumbers() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try parse(nested(JSONParser.depthMax))
        #expect(throws: JSONError.self) { try parse(nested(JSONParser.depthMax + 1)) }
        #expect(throws: JSONError.self) { try parse(String(repeating: "[", count: 1_000_000)) }
        #expect(throws: JSONError.self) {
            try parse(String(repeating: "{\"a\":", count: 100_000))
        }
        let many = "[" + String(repeating: "0,", count: JSONParser.valuesMax) + "0]"
        #expect(throws: JSONError.self) { try parse(many) }
        #expect(throws: JSONError.self) { try parse(String(repeating: "1", count: 1000)) }
        #expect(throws: JSONError.self) { try parse("0." + String(repeating: "1", count: 1000)) }
    }

    @Test func namesThePlace() {
        #expect(throws: JSONError(offset: 3, problem: "unexpected character")) {
            try parse("[1,x]")
        }
    }

    /// Random edits of a good request: an error or a value, never a trap.
    @Test func survivesMutation() {
        let seed = UInt64.random(in: .min ... .max)
        print("JSONParserTests.survivesMutation seed \(seed)")
        var random = SplitMix(seed: seed)
        let good = Array(#"{"a":[1.5e3,"x\u00e9\ud83d\ude00",{"b":null}],"c":true,"d":-12}"#.utf8)
        for _ in 0..<20_000 {
            var bytes = good
            for _ in 0...Int.random(in: 0..<4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                default:
                    bytes.insert(good[Int.random(in: 0..<good.count, using: &random)], at: place)
                }
            }
            do {
                _ = try JSONParser.parse(bytes)
            } catch {
                #expect(error.offset <= bytes.count)
            }
        }
    }

    @Test func writesWhatItReads() throws {
        let text = "quote\" back\\slash\n\r\t\u{1}\u{7F} \u{e9}\u{1F600}"
        var buffer = ByteBuffer()
        buffer.writeJSON(text)
        #expect(try JSONParser.parse(buffer.readableBytesUInt8Span).string == text)
    }
}
