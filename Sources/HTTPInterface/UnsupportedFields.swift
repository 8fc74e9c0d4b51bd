// Fields that would change what a request means and that we do not serve. They are refused by name:
// an answer that silently ignored them would be wrong.

internal import GenerationAPI
internal import JSON

/// Refuses unsupported fields unless they hold a value under which they do nothing.
enum UnsupportedFields {
    /// What a field may hold although we do not serve it.
    enum Neutral {
        /// Nothing but absent or null.
        case absentOnly
        /// Also an empty array, object or string.
        case empty
        /// Also one of these values.
        case values([JSONValue])
    }

    /// Of both completion routes (OpenAI's fields, then llama-server's).
    static let common: [(name: String, neutral: Neutral)] = [
        ("lora", .empty),
        ("samplers", .absentOnly),
        ("mirostat", .values([.integer(0)])),
        ("typical_p", .values([.integer(1)])),
        ("dynatemp_range", .values([.integer(0)])),
        ("xtc_probability", .values([.integer(0)])),
        ("dry_multiplier", .values([.integer(0)]))
    ]

    static let chat: [(name: String, neutral: Neutral)] = [
        ("functions", .empty),
        ("function_call", .values([.string("none"), .string("auto")])),
        ("modalities", .values([.array([.string("text")])])),
        ("audio", .absentOnly),
        ("web_search_options", .absentOnly)
    ]

    static let completion: [(name: String, neutral: Neutral)] = [
        ("suffix", .empty)
    ]

    /// Throws `invalidRequest` naming the first field of `list` that asks for something.
    static func refuse(
        _ list: [(name: String, neutral: Neutral)], in fields: RequestFields
    ) throws(GenerationError) {
        for (name, neutral) in list {
            guard let value = fields[name], !isNeutral(value, neutral) else { continue }
            throw fields.error(name, "not supported here")
        }
    }

    private static func isNeutral(_ value: JSONValue, _ neutral: Neutral) -> Bool {
        switch neutral {
        case .absentOnly: false
        case .empty: value == .array([]) || value == .object([:]) || value == .string("")
        case .values(let values):
            values.contains(value)
                || values.contains { $0.double != nil && $0.double == value.double }
        }
    }
}
