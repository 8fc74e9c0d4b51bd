// JSON Schema: which answers are allowed, which are not, and what is refused by name.

import Constraints
import Testing

@Suite struct SchemaTests {
    @Test func objectsInTheirOrder() throws {
        let grammar = try schema(
            """
            {"type": "object", "title": "T", "properties": {
              "z": {"type": "integer"}, "a": {"type": "string"}, "m": {"type": "boolean"}},
              "required": ["z", "m"], "additionalProperties": false}
            """)
        try check(
            grammar,
            accepts: [
                #"{"z": 1, "a": "x", "m": true}"#, #"{"z":-12,"m":false}"#,
                "{\n  \"z\": 0,\n  \"m\": true\n}"
            ],
            refuses: [
                #"{"a": "x", "z": 1, "m": true}"#, #"{"z": 1}"#, #"{"z": 01, "m": true}"#,
                #"{"z": 1, "m": true, "b": 1}"#, #"{"z": 1.5, "m": true}"#,
                #"{"z": 1, "m": true,}"#,
                #"{"z": 1 , "m": true}"#, #"{}"#
            ])
    }

    @Test func optionalMembers() throws {
        let grammar = try schema(
            #"{"properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}}"#)
        try check(
            grammar,
            accepts: [
                "{}", #"{"a": 1}"#, #"{"b": 2}"#, #"{"c": 3}"#, #"{"a": 1, "c": 3}"#,
                #"{"a": 1, "b": 2, "c": 3}"#
            ],
            refuses: [#"{"b": 2, "a": 1}"#, #"{, "b": 2}"#, #"{"a": 1 "b": 2}"#, #"{"a": 2}"#])
    }

    @Test func otherMembersHaveOtherNames() throws {
        let grammar = try schema(
            """
            {"type": "object", "properties": {"ab": {"const": 1}, "a": {"const": 2}},
             "additionalProperties": {"type": "null"}}
            """)
        try check(
            grammar,
            accepts: [
                #"{"ab": 1, "x": null, "abc": null}"#, #"{"b": null}"#, #"{"": null}"#, "{}",
                #"{"é中": null}"#, #"{"aé": null}"#
            ],
            refuses: [
                #"{"x": 1}"#, #"{"ab": null}"#, #"{"a": 2, "ab": 1}"#, #"{"\u0061": null}"#,
                #"{"x": null, "a": null}"#
            ])
        let open = try schema(
            #"{"type": "object", "required": ["n"], "additionalProperties": true}"#)
        try check(open, accepts: [#"{"n": [1], "o": {}}"#], refuses: ["{}", #"{"o": 1, "n": 1}"#])
    }

    @Test func arrays() throws {
        try check(
            try schema(
                #"{"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3}"#),
            accepts: ["[1]", "[1, 2]", "[1,2,3]"], refuses: ["[]", "[1,2,3,4]", "[1,]", "[\"a\"]"])
        try check(
            try schema(
                """
                {"type": "array", "prefixItems": [{"const": "x"}, {"type": "boolean"}],
                 "items": {"type": "null"}, "minItems": 1}
                """),
            accepts: [#"["x"]"#, #"["x", true]"#, #"["x", true, null, null]"#],
            refuses: ["[]", #"["y"]"#, #"["x", null]"#, #"["x", true, 1]"#])
        try check(
            try schema(#"{"prefixItems": [{"const": 1}], "items": false}"#),
            accepts: ["[]", "[1]"], refuses: ["[1, 1]"])
        try check(
            try schema(#"{"items": [{"const": 1}], "additionalItems": {"const": 2}}"#),
            accepts: ["[]", "[1]", "[1, 2, 2]"], refuses: ["[2]", "[1, 1]"])
        try check(
            try schema(#"{"type": "array", "maxItems": 0}"#), accepts: ["[]"], refuses: ["[1]"])
    }

    @Test func strings() throws {
        try check(
            try schema(#"{"type": "string", "minLength": 1, "maxLength": 3}"#),
            accepts: [#""a""#, #""\n\"\\""#, #""\ud83d\ude00é中""#, #""\u0041b""#],
            refuses: [
                #""""#, #""abcd""#, #""\ud83d""#, #""\ude00""#, #""\x""#, #""\ud83da""#, "\"\n\"",
                #""\u00g0""#
            ])
        try check(
            try schema(#"{"type": "string", "pattern": "^[A-Z]{2}-\\d+(\\.[a-c\"]|x?)$"}"#),
            accepts: [#""AB-12""#, #""AB-1.a""#, #""AB-1.\"""#, #""XY-0x""#],
            refuses: [#""A-1""#, #""AB-""#, #""AB-1.d""#, #""AB-1.""#])
        for (format, good, bad) in [
            ("date", "2024-02-28", "2024-02-30"), ("date", "1999-12-31", "1999-13-01"),
            ("time", "23:59:59Z", "24:00:00Z"), ("time", "00:00:00.5+01:30", "00:00:00"),
            ("date-time", "2024-06-30T12:00:00-08:00", "2024-06-31T12:00:00Z"),
            (
                "uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000"
            )
        ] {
            try check(
                try schema(#"{"type": "string", "format": "\#(format)"}"#),
                accepts: ["\"\(good)\""], refuses: ["\"\(bad)\""])
        }
    }

    @Test func numbersWithinBounds() throws {
        for (least, most) in [
            (0, 9), (-5, 5), (10, 120), (-100, -7), (95, 1234), (0, 0), (-1, 100_000), (199, 203)
        ] {
            let grammar = try schema(
                #"{"type": "integer", "minimum": \#(least), "maximum": \#(most)}"#)
            let samples = Set(
                [least, most, 0, (least + most) / 2] + (-130...130) + [999, 1000, 1233, 1235])
            for value in samples {
                #expect(
                    try grammar.accepts("\(value)") == (least...most ~= value),
                    "\(value) within \(least)...\(most)")
            }
            #expect(try !grammar.accepts("-0"))
        }
        try check(
            try schema(#"{"type": "number", "minimum": -1.5, "maximum": 2}"#),
            accepts: ["-1", "-0.25", "0", "0.5", "1.999", "2"],
            refuses: ["-1.5", "-2", "2.5", "3", "1e3"])
        try check(
            try schema(#"{"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5}"#),
            accepts: ["4"], refuses: ["3", "5"])
        try check(
            try schema(#"{"type": "integer", "minimum": 8}"#), accepts: ["8", "10", "999999"],
            refuses: ["7", "-9", "08"])
        try check(
            try schema(#"{"type": "number"}"#), accepts: ["-1.5e-10", "0", "12E+5"],
            refuses: [".5", "1.", "+1", "1e999", "NaN"])
    }

    @Test func choices() throws {
        try check(
            try schema(#"{"enum": ["a", 1, null, {"k": [true]}]}"#),
            accepts: ["\"a\"", "1", "null", #"{"k": [true]}"#], refuses: ["\"b\"", "2"])
        try check(
            try schema(#"{"type": "string", "enum": ["x", 1]}"#), accepts: ["\"x\""],
            refuses: ["1"])
        try check(
            try schema(#"{"anyOf": [{"type": "integer"}, {"type": "null"}]}"#),
            accepts: ["5", "null"], refuses: ["true"])
        try check(
            try schema(#"{"type": ["boolean", "null"]}"#), accepts: ["true", "null"],
            refuses: ["0"])
        try check(
            try schema(#"{"type": "integer", "nullable": true}"#), accepts: ["3", "null"],
            refuses: ["\"\""])
        try check(
            try schema(
                """
                {"oneOf": [
                  {"properties": {"k": {"const": "a"}, "v": {"type": "integer"}},
                   "type": "object", "required": ["k", "v"]},
                  {"properties": {"k": {"const": "b"}}, "type": "object", "required": ["k"]}]}
                """),
            accepts: [#"{"k": "a", "v": 1}"#, #"{"k": "b"}"#], refuses: [#"{"k": "a"}"#])
        try check(
            try schema(
                """
                {"allOf": [{"properties": {"a": {"type": "integer", "minimum": 3}}},
                  {"properties": {"a": {"maximum": 5, "type": "integer"}, "b": {"const": 1}},
                   "required": ["a"]}]}
                """),
            accepts: [#"{"a": 4}"#, #"{"a": 5, "b": 1}"#], refuses: [#"{"a": 6}"#, #"{"b": 1}"#])
    }

    @Test func references() throws {
        let grammar = try schema(
            """
            {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object",
              "properties": {"v": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
              "required": ["v", "next"], "additionalProperties": false}}}
            """)
        try check(
            grammar, accepts: [#"{"v": 1, "next": {"v": 2, "next": null}}"#],
            refuses: [#"{"v": 1}"#, #"{"v": 1, "next": {}}"#])
        try check(
            try schema(
                ##"{"properties": {"c": {"type": "array", "items": {"$ref": "#"}}}}"##
            ), accepts: [#"{"c": [{}, {"c": []}]}"#], refuses: [#"{"c": [1]}"#])
    }

    @Test func anyValue() throws {
        for text in ["{}", "true", #"{"description": "anything"}"#] {
            try check(
                try schema(text),
                accepts: [#"{"a": [1, {"b": null}], "c": "\u00e9"}"#, "[]", "\"x\"", "-0.5"],
                refuses: ["{a: 1}", "[1 2]", "tru"])
        }
        let objects = try TestVocabulary.library().grammar(.object)
        try check(objects, accepts: ["{}", #"{"a": [{}]}"#], refuses: ["[]", "1", "{} "])
    }

    /// Schemas, and how their refusals begin.
    private static let refused = #"""
        {"type": "string", "format": "email"} @ #/format: 'email' is not supported: date, time,
        {"type": "string", "pattern": "a+"} @ #/pattern: only patterns from ^ to $ are supported
        {"type": "string", "pattern": "^a|b$"} @ #/pattern: alternatives beside ^ and $ have
        {"type": "string", "pattern": "^(?=a)b$"} @ #/pattern: groups with (? are not supported
        {"type": "string", "pattern": "^(a)\\1$"} @ #/pattern: \1 is not supported
        {"not": {"type": "string"}} @ #/not: not supported here
        {"properties": {"a/b": {"if": {}}}} @ #/properties/a~1b/if: not supported here
        {"type": "array", "uniqueItems": true} @ #/uniqueItems: not supported here
        {"type": "object", "patternProperties": {}} @ #/patternProperties: not supported here
        {"type": "number", "exclusiveMinimum": 0} @ #/exclusiveMinimum: of numbers that need not be
        {"type": "number", "minimum": 0.5, "maximum": 0.7} @ #/minimum: no whole number is within
        {"type": "integer", "multipleOf": 5} @ #/multipleOf: not supported here
        {"$ref": "https://example.com/s"} @ #/$ref: only references within the schema (#/...)
        {"$ref": "#/$defs/x"} @ #/$ref: there is no #/$defs/x
        {"$ref": "#"} @ #: there is no text that it allows
        {"anyOf": [{"$ref": "#"}, {"type": "null"}]} @ #: begins with itself (left recursion)
        {"type": "thing"} @ #/type: 'thing' is no type
        {"oneOf": [{"type": "integer"}, {"type": "number"}]} @ #/oneOf: a value may be valid by two
        {"type": "object", "required": ["a"], "additionalProperties": false} @ #/required: 'a'
        {"type": "string", "minLength": 3, "maxLength": 2} @ #/maxLength: less than minLength
        {"enum": []} @ #/enum: expected a list of values
        {"type": "string", "maxLength": 99999} @ #/maxLength: at most 10000 is supported
        [] @ #: expected a schema: an object, or true or false
        { @ #: invalid JSON at byte 1: the text ends early
        false @ #: there is no text that it allows
        """#

    @Test func refusedByName() throws {
        for line in Self.refused.split(separator: "\n") {
            let parts = line.split(separator: " @ ")
            let told = refusal(.schema(String(parts[0])))
            #expect(told?.hasPrefix(parts[1]) == true, "\(parts[0]): \(told ?? "taken")")
        }
    }

    @Test func tooMuchIsRefused() throws {
        var deep = #"{"type": "integer"}"#
        for _ in 0..<30 { deep = #"{"type": "array", "items": \#(deep)}"# }
        #expect(refusal(.schema(deep)) == nil)
        let chain = (0..<300).map { ##""d\##($0)": {"$ref": "#/$defs/d\##($0 + 1)"}"## }
            .joined(separator: ", ")
        let text = ##"{"$ref": "#/$defs/d0", "$defs": {\##(chain), "d300": {}}}"##
        #expect(refusal(.schema(text))?.contains("nest deeper") == true)
        let wide = (0..<60).map {
            #""p\#($0)": {"type": "array", "maxItems": 10000, "items": {"type": "integer"}}"#
        }
        let all = #"{"properties": {\#(wide.joined(separator: ", "))}}"#
        #expect(refusal(.schema(all)) != nil)
        let long = #"{"type": "string", "maxLength": 10000}"#
        #expect(refusal(.schema(long)) == nil)
    }
}
