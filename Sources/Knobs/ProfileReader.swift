// Takes a profile's entries knob by knob, each checked by its row of the table; every complaint
// names its line.

internal import GenerationAPI

/// Takes entries out of a document one by one; what is left at the end is unknown.
struct ProfileReader {
    private var entries: [String: ConfigurationDocument.Entry]
    private let tables: [String: Int]
    private let file: String

    init(_ document: ConfigurationDocument, file: String) {
        entries = document.entries
        tables = document.tables
        self.file = file
    }

    /// What the document says, on top of the defaults.
    mutating func profile() throws(ConfigurationError) -> Profile {
        var profile = Profile()
        for knob in KnobTable.all {
            guard let entry = entries.removeValue(forKey: knob.key) else { continue }
            guard knob.set(entry.value, in: &profile) else {
                throw ConfigurationError(
                    file: file, line: entry.line, "\(knob.key): \(knob.refusal)")
            }
        }
        try requireEmpty()
        return profile
    }

    /// Refuses what no knob is called, the first such line, with the nearest name that there is.
    private func requireEmpty() throws(ConfigurationError) {
        if let (name, entry) = entries.min(by: { $0.value.line < $1.value.line }) {
            throw ConfigurationError(
                file: file, line: entry.line, "unknown key '\(name)'\(hint(name))")
        }
        let names = KnobTable.sections.map(\.name)
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
        if let own = KnobTable.all.first(where: { $0.name == key }) {
            return "; did you mean '\(own.key)'?"
        }
        let table = name.dropLast(key.count)
        let siblings = KnobTable.all.filter { $0.table + "." == table }
        if let near = NearestName.among(siblings.map { String($0.name) }, to: key) {
            return "; did you mean '\(table)\(near)'?"
        }
        return NearestName.hint(KnobTable.all.map(\.key), to: name)
    }
}
