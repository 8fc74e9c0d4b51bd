// What answers are held to by `constraint-benchmark`, and answers that a model might give.

enum BenchmarkSchemas {
    /// A record, a list of records, any object, and strings whose lengths are counted, so that no
    /// two places within them are alike.
    static let all: [(name: String, schema: String, texts: [String])] = [
        (
            "record",
            """
            {"type": "object", "properties": {"name": {"type": "string"},
             "age": {"type": "integer"}, "city": {"type": "string"},
             "tags": {"type": "array", "items": {"type": "string"}}},
             "required": ["name", "age", "city", "tags"], "additionalProperties": false}
            """,
            [
                #"{"name": "Ada Lovelace", "age": 36, "city": "London", "tags": ["poet", "x"]}"#,
                #"{"name": "Alan Turing", "age": 41, "city": "Wilmslow", "tags": []}"#
            ]
        ),
        (
            "list",
            """
            {"type": "array", "minItems": 2, "maxItems": 4, "items": {"anyOf": [
             {"type": "object", "properties": {"kind": {"const": "file"},
              "path": {"type": "string"}, "bytes": {"type": "integer", "minimum": 0}},
              "required": ["kind", "path"]},
             {"type": "object", "properties": {"kind": {"const": "link"},
              "to": {"type": "string"}}, "required": ["kind", "to"]}]}}
            """,
            [
                #"[{"kind": "file", "path": "/etc/fstab", "bytes": 512}, "#
                    + #"{"kind": "link", "to": "/proc/self/mounts"}]"#
            ]
        ),
        (
            "any object", #"{"type": "object"}"#,
            [#"{"title": "A day", "hours": [1, 2.5, {"open": true}], "note": "caf\u00e9"}"#]
        ),
        (
            "counted strings",
            """
            {"type": "object", "properties": {"summary": {"type": "string", "maxLength": 300},
             "code": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"}},
             "required": ["summary", "code"], "additionalProperties": false}
            """,
            [
                #"{"summary": "The quick brown fox jumps over the lazy dog, and over the "#
                    + #"fence behind it, without so much as a look back.", "code": "FOX-0042"}"#
            ]
        )
    ]
}
