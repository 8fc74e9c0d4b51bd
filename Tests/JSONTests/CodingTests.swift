// Values to text and back: nothing is lost, and what does not fit says where.

import JSON
import TestSupport
import Testing

@Suite struct CodingTests {
    @Test(arguments: [
        ("null", JSONValue.null), ("[]", .array([])), ("{}", .object([:])),
        ("18446744073709551615", .unsigned(.max)), ("-9223372036854775808", .integer(.min)),
        ("1e-05", .number(1e-5)), ("-0.0", .number(-0.0)), ("1e+300", .number(1e300)),
        ("0.1", .number(0.1)),
        (
            #"{"a":[1,true],"b":"x\ny\"\\/\u0000\u0085\u2028é"}"#,
            .object([
                "b": .string("x\ny\"\\/\0\u{85}\u{2028}é"),
                "a": .array([.integer(1), .boolean(true)])
            ])
        )
    ])
    func valuesAreWritten(_ text: String, _ value: JSONValue) throws {
        #expect(String(decoding: value.text(), as: UTF8.self) == text)
        #expect(try JSONParser.parse(value.text()) == value)
        #expect(try JSONParser.parse(value.text(isPretty: true)) == value)
    }

    @Test func prettyTextHasALineForEach() {
        let value = JSONValue.object(["a": .array([.integer(1), .object([:])]), "b": .null])
        let text = String(decoding: value.text(isPretty: true), as: UTF8.self)
        #expect(text == "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": null\n}")
    }

    /// Whatever order a dictionary has, also of keys that Swift's `<` does not put in one.
    @Test func keysAreInTheOrderOfTheirBytes() throws {
        let keys = ["e\u{301}", "e\u{301}b", "z", "\u{E9}a", "\u{E9}c", "\u{4E2D}"]
        let expected = "{" + keys.map { "\"\($0)\":0" }.joined(separator: ",") + "}"
        for _ in 0..<50 {
            var members: [String: JSONValue] = [:]
            for key in keys.shuffled() { members[key] = .integer(0) }
            #expect(JSONValue.object(members).text() == Array(expected.utf8))
        }
    }

    struct Numbers: Codable, Equatable {
        var double: Double
        var float: Float
        var unsigned: UInt64
        var signed: Int64
        var byte: UInt8
        var none: Int?
        var list: [Float]
    }

    @Test func numbersComeBackExactly() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        func float() -> Float {
            while true {
                let value = Float(bitPattern: UInt32.random(in: 0...UInt32.max, using: &random))
                if value.isFinite { return value }
            }
        }
        for _ in 0..<20_000 {
            let bits = UInt64.random(in: 0...UInt64.max, using: &random)
            let double = Double(bitPattern: bits)
            let numbers = Numbers(
                double: double.isFinite ? double : -0.0, float: float(), unsigned: bits,
                signed: Int64(bitPattern: bits), byte: UInt8(truncatingIfNeeded: bits),
                none: bits % 2 == 0 ? 7 : nil, list: [float(), float().rounded()])
            let text = try JSONValue(encoding: numbers).text()
            let read = try JSONParser.parse(text).decoded(as: Numbers.self)
            #expect(read == numbers, "seed \(seed)")
            #expect(read.double.sign == numbers.double.sign, "seed \(seed)")
        }
    }

    @Test func whatJSONHasNotIsRefused() {
        for value in [Double.infinity, -.infinity, .nan] {
            #expect(throws: EncodingError.self) { try JSONValue(encoding: ["a": value]) }
            #expect(throws: EncodingError.self) { try JSONValue(encoding: [Float(value)]) }
        }
    }

    struct Tree: Codable, Equatable {
        enum Kind: String, Codable { case leaf, branch }
        var kindOfNode: Kind
        var childNodes: [Tree] = []
        var byName: [String: Int] = [:]
        var pair: [[Int?]] = []
    }

    @Test func nestedTypesComeBack() throws {
        let tree = Tree(
            kindOfNode: .branch,
            childNodes: [Tree(kindOfNode: .leaf, byName: ["bigNumber": 1], pair: [[1, nil], []])])
        let value = try JSONValue(encoding: tree)
        #expect(try value.decoded(as: Tree.self) == tree)
        #expect(try JSONValue(encoding: [Tree]()).text() == Array("[]".utf8))
        let snake = try JSONValue(encoding: tree, namesAreSnakeCase: true)
        let child = try #require(snake["child_nodes"]?.array?.first)
        #expect(child["kind_of_node"] == .string("leaf"))
        // Keys of dictionaries are data.
        #expect(child["by_name"]?["bigNumber"] == .integer(1))
        #expect(child["pair"]?.array?.first == .array([.integer(1), .null]))
    }

    @Test(
        arguments: [
            (#"{"kindOfNode":"leaf","childNodes":[{"kindOfNode":"leaf"}]}"#, "childNodes.0"),
            (#"{"kindOfNode":"twig","childNodes":[],"byName":{},"pair":[]}"#, "kindOfNode"),
            (#"{"kindOfNode":"leaf","childNodes":{},"byName":{},"pair":[]}"#, "childNodes"),
            (#"{"kindOfNode":"leaf","childNodes":null,"byName":{},"pair":[]}"#, "childNodes"),
            (#"{"kindOfNode":"leaf","childNodes":[],"byName":{"x":"1"},"pair":[]}"#, "byName.x"),
            (#"{"kindOfNode":"leaf","childNodes":[],"byName":{"x":1.5},"pair":[]}"#, "byName.x"),
            (
                #"{"kindOfNode":"leaf","childNodes":[],"byName":{"x":9223372036854775808},"#
                    + #""pair":[]}"#, "byName.x"
            ),
            (#"{"kindOfNode":"leaf","childNodes":[],"byName":{},"pair":[[1],[true]]}"#, "pair.1.0"),
            ("[]", "")
        ])
    func errorsSayWhere(_ text: String, _ place: String) throws {
        let value = try JSONParser.parse(Array(text.utf8))
        let error = try #require(throws: DecodingError.self) { try value.decoded(as: Tree.self) }
        let context: DecodingError.Context
        switch error {
        case .typeMismatch(_, let found), .valueNotFound(_, let found), .keyNotFound(_, let found),
            .dataCorrupted(let found):
            context = found
        @unknown default: return
        }
        let path = context.codingPath.map(\.stringValue).joined(separator: ".")
        #expect(path == place, "\(context.debugDescription)")
    }

    @Test func smallNumbersAreNotCut() throws {
        let value = try JSONParser.parse(Array("[256]".utf8))
        #expect(throws: DecodingError.self) { try value.decoded(as: [UInt8].self) }
        #expect(try value.decoded(as: [UInt16].self) == [256])
        #expect(try JSONParser.parse(Array("[3.0]".utf8)).decoded(as: [Int].self) == [3])
        let large = try JSONParser.parse(Array("[1e39]".utf8))
        #expect(throws: DecodingError.self) { try large.decoded(as: [Float].self) }
    }
}
