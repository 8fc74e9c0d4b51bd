// Takes a profile's entries one by one, each checked for kind and range; every complaint names its
// line.

internal import GenerationAPI
internal import ModelFormat

/// Takes entries out of a document one by one; what is left at the end is unknown.
struct ProfileReader {
    private var entries: [String: ConfigurationDocument.Entry]
    private let tables: [String: Int]
    private let file: String
    /// Every name that was asked for: what a profile may hold.
    private var known: [String] = []

    init(_ document: ConfigurationDocument, file: String) {
        entries = document.entries
        tables = document.tables
        self.file = file
    }

    private mutating func take(_ name: String) -> ConfigurationDocument.Entry? {
        known.append(name)
        return entries.removeValue(forKey: name)
    }

    /// Takes the entry away if it says `"auto"`.
    private mutating func takeAuto(_ name: String) -> Bool {
        guard entries[name]?.value == .string("auto") else { return false }
        return take(name) != nil
    }

    private func error(
        _ name: String, _ entry: ConfigurationDocument.Entry, _ problem: String
    ) -> ConfigurationError {
        ConfigurationError(file: file, line: entry.line, "\(name): \(problem)")
    }

    /// Refuses what nobody asked for, the first such line, with the nearest name that there is.
    func requireEmpty() throws(ConfigurationError) {
        if let (name, entry) = entries.min(by: { $0.value.line < $1.value.line }) {
            throw ConfigurationError(
                file: file, line: entry.line, "unknown key '\(name)'\(hint(name))")
        }
        let names = Set(known.compactMap { $0.split(separator: ".").first.map(String.init) })
        let strangers = tables.filter { !names.contains($0.key) }
        if let (name, line) = strangers.min(by: { $0.value < $1.value }) {
            throw ConfigurationError(
                file: file, line: line,
                "unknown table [\(name)]\(NearestName.hint(names.sorted(), to: name))")
        }
    }

    /// The same key in its own table, else the nearest name.
    private func hint(_ name: String) -> String {
        let key = name.split(separator: ".").last.map(String.init) ?? name
        if let own = known.first(where: { $0.hasSuffix(".\(key)") }) {
            return "; did you mean '\(own)'?"
        }
        let table = name.dropLast(key.count)
        let siblings = known.filter { $0.hasPrefix(table) && !table.isEmpty }
        let keys = siblings.map { String($0.dropFirst(table.count)) }
        if let near = NearestName.among(keys, to: key) {
            return "; did you mean '\(table)\(near)'?"
        }
        return NearestName.hint(known, to: name)
    }

    mutating func integer(
        _ name: String, in range: ClosedRange<Int>, _ target: inout Int
    ) throws(ConfigurationError) {
        guard let entry = take(name) else { return }
        guard case .integer(let integer) = entry.value, let value = Int(exactly: integer),
            range.contains(value)
        else {
            let most = range.upperBound == .max ? "" : "\(range.upperBound)"
            throw error(
                name, entry, "expected a whole number within \(range.lowerBound)...\(most)")
        }
        target = value
    }

    /// As `integer`, and `"auto"` for nil.
    mutating func integer(
        _ name: String, in range: ClosedRange<Int>, orAuto target: inout Int?
    ) throws(ConfigurationError) {
        if takeAuto(name) {
            target = nil
            return
        }
        var value = target ?? Int.min
        try integer(name, in: range, &value)
        if value > Int.min { target = value }
    }

    /// One of some whole numbers.
    mutating func integer(
        _ name: String, of values: [Int], _ target: inout Int
    ) throws(ConfigurationError) {
        guard let entry = take(name) else { return }
        guard case .integer(let value) = entry.value, values.contains(Int(clamping: value)) else {
            let list = values.map { "\($0)" }.joined(separator: ", ")
            throw error(name, entry, "expected one of \(list)")
        }
        target = Int(value)
    }

    /// A number between 0 and 1, neither of them; `"off"` is nil.
    mutating func share(
        _ name: String, orOff target: inout Float?
    ) throws(ConfigurationError) {
        guard let entry = take(name) else { return }
        switch entry.value {
        case .string("off"): target = nil
        case .number(let number) where number > 0 && number < 1: target = Float(number)
        default:
            throw error(name, entry, "expected \"off\" or a number between 0 and 1")
        }
    }

    /// `"auto"`, `"off"`, or a number of drafts.
    mutating func speculation(
        _ name: String, _ target: inout SpeculationPolicy
    ) throws(ConfigurationError) {
        guard let entry = take(name) else { return }
        let text =
            switch entry.value {
            case .integer(let count): "\(count)"
            case .string(let text): Int(text) == nil ? text : ""
            default: ""
            }
        guard let policy = SpeculationPolicy(text) else {
            throw error(
                name, entry,
                "expected \"auto\", \"off\" or a number within 1...\(SpeculationPolicy.draftsMax)")
        }
        target = policy
    }

    mutating func number(
        _ name: String, in range: ClosedRange<Float>, _ target: inout Float
    ) throws(ConfigurationError) {
        guard let entry = take(name) else { return }
        let value: Double =
            switch entry.value {
            case .integer(let integer): Double(integer)
            case .number(let number): number
            default: .nan
            }
        guard range.contains(Float(value)) else {
            throw error(
                name, entry, "expected a number within \(range.lowerBound)...\(range.upperBound)")
        }
        target = Float(value)
    }

    mutating func size(
        _ name: String, in range: ClosedRange<UInt64>, multipleOf unit: UInt64 = 1,
        _ target: inout UInt64?
    ) throws(ConfigurationError) {
        guard let entry = take(name) else { return }
        guard case .string(let text) = entry.value, let bytes = ByteSize.parse(text),
            range.contains(bytes), bytes % unit == 0
        else {
            let (least, most) = (
                ByteSize.format(range.lowerBound), ByteSize.format(range.upperBound)
            )
            let steps = unit > 1 ? ", a multiple of \(ByteSize.format(unit))" : ""
            throw error(
                name, entry, "expected a size such as \"512M\", \(least) to \(most)\(steps)")
        }
        target = bytes
    }

    /// As `size`, and `"auto"` for nil.
    mutating func size(
        _ name: String, in range: ClosedRange<UInt64>, multipleOf unit: UInt64 = 1,
        orAuto target: inout UInt64?
    ) throws(ConfigurationError) {
        if takeAuto(name) {
            target = nil
            return
        }
        try size(name, in: range, multipleOf: unit, &target)
    }

    /// One of a few sizes, and `"auto"` for nil.
    mutating func size(
        _ name: String, of choices: [UInt64], orAuto target: inout UInt64?
    ) throws(ConfigurationError) {
        if takeAuto(name) {
            target = nil
            return
        }
        guard let entry = take(name) else { return }
        guard case .string(let text) = entry.value, let bytes = ByteSize.parse(text),
            choices.contains(bytes)
        else {
            let list = choices.map { "\"\(ByteSize.format($0))\"" }.joined(separator: ", ")
            throw error(name, entry, "expected \"auto\" or one of \(list)")
        }
        target = bytes
    }

    /// A string; an empty one is nil.
    mutating func text(_ name: String, _ target: inout String?) throws(ConfigurationError) {
        guard let entry = take(name) else { return }
        guard case .string(let text) = entry.value, !text.contains("\0") else {
            throw error(name, entry, "expected a string")
        }
        target = text.isEmpty ? nil : text
    }

    /// The name of a model of the library; an empty one is nil.
    mutating func modelName(
        _ name: String, _ target: inout String?
    ) throws(ConfigurationError) {
        let entry = entries[name]
        try text(name, &target)
        guard let entry, let text = target, !ModelName.isValid(text) else { return }
        throw error(name, entry, "cannot be a model's name: \(ModelName.rule)")
    }

    mutating func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, _ target: inout Choice
    ) throws(ConfigurationError) where Choice.RawValue == String {
        guard let entry = take(name) else { return }
        guard case .string(let text) = entry.value, let choice = Choice(rawValue: text) else {
            let choices = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
            throw error(name, entry, "expected one of \(choices)")
        }
        target = choice
    }

    /// A file mode in octal, as a string: TOML has no such number with a leading zero.
    mutating func mode(_ name: String, _ target: inout UInt32) throws(ConfigurationError) {
        guard let entry = take(name) else { return }
        guard case .string(let text) = entry.value, let mode = UInt32(text, radix: 8), mode <= 0o777
        else { throw error(name, entry, "expected a mode such as \"0660\"") }
        target = mode
    }
}
