// Where values of a JSON text are, for those that exchange them.

import TestSupport

enum JSONFields {
    /// Places of the numbers and short texts of a JSON text, with the key before each.
    static func find(_ json: [UInt8]) -> [FileField] {
        var fields: [FileField] = []
        var key = ""
        var index = 0
        while index < json.count {
            if json[index] == UInt8(ascii: "\"") {
                let end = json[(index + 1)...].firstIndex(of: UInt8(ascii: "\"")) ?? json.count - 1
                if end + 1 < json.count, json[end + 1] == UInt8(ascii: ":") {
                    key = String(decoding: json[(index + 1)..<end], as: UTF8.self)
                } else {
                    fields.append(
                        FileField(
                            name: key, offset: index, byteCount: end + 1 - index, isText: true))
                }
                index = end + 1
            } else if (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(json[index]) {
                let digits = json[index...].prefix { "0123456789.e-+".utf8.contains($0) }
                fields.append(
                    FileField(name: key, offset: index, byteCount: digits.count, isText: true))
                index += digits.count
            } else {
                index += 1
            }
        }
        return fields
    }
}
