// Schemas of many kinds whose answers end, for walks and for mutations.

let walkedSchemas = [
    #"""
    {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12},
     "age": {"type": "integer", "minimum": 0, "maximum": 130}}, "required": ["name", "age"],
     "additionalProperties": false}
    """#,
    #"""
    {"type": "array", "items": {"type": "number", "minimum": -3, "maximum": 3}, "minItems": 2,
     "maxItems": 5}
    """#,
    #"{"anyOf": [{"type": "boolean"}, {"enum": ["abc", "é中", "a\"b"]}, {"type": "null"}]}"#,
    #"""
    {"type": "object", "properties": {"a": {"type": "string", "minLength": 2, "maxLength": 4},
     "b": {"type": "array", "maxItems": 2, "items": {"type": "boolean"}}},
     "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 99}}
    """#,
    ##"""
    {"$ref": "#/$defs/t", "$defs": {"t": {"type": "object",
     "properties": {"v": {"type": "integer", "minimum": 0, "maximum": 9},
     "l": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/t"}]}}, "required": ["v", "l"],
     "additionalProperties": false}}}
    """##,
    #"""
    {"oneOf": [{"type": "string", "maxLength": 3},
     {"type": "integer", "minimum": -20, "maximum": 20},
     {"type": "array", "prefixItems": [{"const": "x"}, {"type": "null"}], "items": false,
      "minItems": 1}]}
    """#,
    #"""
    {"allOf": [{"type": "object", "properties": {"k": {"type": "integer", "minimum": 3}}},
     {"properties": {"k": {"type": "integer", "maximum": 7}}, "required": ["k"]}]}
    """#,
    #"""
    {"type": "object", "required": ["q"], "properties": {"q": {"type": "string", "maxLength": 2},
     "r": {"type": "object", "properties": {"s": {"const": {"t": [1, 2]}}}, "required": ["s"]}}}
    """#
]
