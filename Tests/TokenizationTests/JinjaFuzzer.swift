// Templates that nobody meant, made of parts of those that are: whatever they are, rendering ends
// within its limits, and what came from outside stays marked.

import ChatTemplates
import TestSupport

/// Makes templates out of pieces of others.
struct JinjaFuzzer {
    /// A character that only users write.
    static let usersOwn: Unicode.Scalar = "\u{10FFFD}"
    /// As the fixture's; `§` stands for that character.
    private static let variables = #"""
        {"messages": [{"role": "system", "content": "  Be§ <b>brief</b>.\n"},
         {"role": "user", "content": "Grüß\u3000d§ich, 'you' & \"me\" §"},
         {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f§",
          "arguments": {"b§": 1, "a": [1.5, null, true, "§"]}}}]},
         {"role": "tool", "content": "{\"t§\": 1}"}],
         "words": ["pear§", "App§le", "§fig", "§"], "numbers": [3, 1, 2],
         "text": " a-b§--c§ \n", "table": {"b": 2, "A": "§", "items": "m§", "§": {"d": ["§"]}},
         "zero": 0, "none": null, "lines": "one§\n\n §two\r\nthree\n", "yes": true,
         "float": 1e20, "empty": []}
        """#
    var random = SplitMix(seed: 0)
    private let templates: [String]
    private let pieces: [String]
    private let variables: [(name: String, value: JinjaValue)]
    /// Templates that rendered, and those that ended in an error.
    private(set) var rendered = 0
    private(set) var refused = 0

    init(templates: [String]) {
        // Words, spaces and marks of the templates.
        var pieces: Set<String> = []
        for template in templates {
            var word = ""
            for character in template {
                if character.isLetter || character.isNumber || character == "_" {
                    word.append(character)
                } else {
                    if !word.isEmpty { pieces.insert(word) }
                    word = ""
                    pieces.insert(String(character))
                }
            }
            pieces.insert(template)
        }
        let more = ["{{ ", " }}", "{% ", " %}", "{%- ", " -%}", "9223372036854775807", "-1", "0"]
        self.pieces = pieces.sorted() + more
        variables = jinjaVariables(
            Self.variables.replacing("§", with: String(Self.usersOwn)))
        self.templates = templates
    }

    private mutating func below(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }

    private mutating func template() -> String {
        var text = templates[below(templates.count)]
        for _ in 0...below(6) {
            var scalars = Array(text.unicodeScalars)
            guard !scalars.isEmpty else { break }
            let place = below(scalars.count)
            switch below(5) {
            case 0: scalars.remove(at: place)
            case 1:
                scalars.insert(contentsOf: pieces[below(pieces.count)].unicodeScalars, at: place)
            case 2:
                let end = min(scalars.count, place + below(12))
                scalars.replaceSubrange(
                    place..<end, with: pieces[below(pieces.count)].unicodeScalars)
            case 3:
                let other = Array(templates[below(templates.count)].unicodeScalars)
                scalars.insert(contentsOf: other[below(other.count)...], at: place)
            default:
                let end = min(scalars.count, place + 1 + below(30))
                scalars.insert(contentsOf: Array(scalars[place..<end]), at: below(scalars.count))
            }
            text = ""
            text.unicodeScalars.append(contentsOf: scalars)
        }
        return text
    }

    /// One template; nil where all is well, or else what is wrong and with which.
    mutating func step() -> String? {
        let text = template()
        let limits = JinjaLimits(
            stepsMax: 200_000, workBytesMax: 4 << 20, outputBytesMax: 1 << 20)
        do throws(JinjaError) {
            let made = try JinjaTemplate(text).render(variables, limits: limits)
            rendered += 1
            guard made.bytes.count <= limits.outputBytesMax else { return "too long: \(text)" }
            for run in made.runs() where !run.isOutside {
                let part = String(decoding: made.bytes[run.range], as: UTF8.self)
                if part.unicodeScalars.contains(Self.usersOwn) { return "lost a mark: \(text)" }
            }
        } catch {
            refused += 1
            if error.line < 1 || error.column < 1 { return "no place: \(text)" }
        }
        return nil
    }
}

/// The members of a JSON object, as a template's variables.
func jinjaVariables(_ json: String) -> [(name: String, value: JinjaValue)] {
    guard let value = try? JinjaValue(json: Array(json.utf8)), case .dictionary(let all) = value
    else { return [] }
    return all.members.map { key, value in
        if case .string(let name) = key { (name.string, value) } else { ("", value) }
    }
}
