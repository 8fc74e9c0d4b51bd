// One knob: its name, what it may be, and what it does. Whoever reads, offers or documents knobs
// loops over KnobTable; nobody keeps a list of their own.

/// What takes the new value of a knob over, of a profile that changed while the daemon runs.
package enum KnobTakeover: Sendable {
    /// `systemctl reload`, at once.
    case reload
    /// The same, from the next request on: a model that is open is opened anew for it.
    case opening
    /// The daemon's next start.
    case restart

    /// As docs/PROFILES.md has it.
    var word: String {
        switch self {
        case .reload: "yes"
        case .opening: "model"
        case .restart: "no"
        }
    }
}

/// A knob of the table: a key of profiles and, where it has a name there, an option of commands.
package struct Knob: Sendable {
    /// `table.name`, as profiles write it.
    package let key: String
    /// What it counts, such as "tokens"; "-" for what is no quantity.
    package let unit: String
    /// What it does, in a sentence: an option's help.
    package let summary: String
    /// More sentences, for whoever reads a profile; may be empty.
    package let details: String
    /// What takes it over where a profile is read again.
    package private(set) var takeover = KnobTakeover.restart
    /// The option's names without dashes; none for what only a profile says.
    package private(set) var optionNames: [String] = []
    /// What it may be, in words: `a whole number between 1 and 64, or "auto"`.
    package let expectation: String
    /// What follows a key's name where the value is refused.
    let refusal: String
    /// What stands for the value in an option's usage, such as `auto|n`.
    package private(set) var placeholder: String
    /// `expectation` as an option says it: no quotes, and no kind, as all that it has is text.
    private var optionExpectation: String

    /// Takes a profile's value over; false, and no change, when it cannot be one.
    private let write: @Sendable (ConfigurationDocument.Value, inout Profile) -> Bool
    /// As `write`, for an option's value.
    private var writeOption: @Sendable (ConfigurationDocument.Value, inout Profile) -> Bool
    private let read: @Sendable (Profile) -> ConfigurationDocument.Value

    /// - Parameters:
    ///   - target: where in a profile its value is.
    ///   - form: what it may be, and how that is written.
    ///   - effect: a sentence, and further ones in lines after the first.
    init<Value>(
        _ key: String, _ target: any WritableKeyPath<Profile, Value> & Sendable,
        _ form: KnobForm<Value>, unit: String = "-", effect: String
    ) {
        self.key = key
        self.unit = unit
        let lines = effect.split(separator: "\n", maxSplits: 1)
        summary = lines.first.map(String.init) ?? ""
        details = lines.count > 1 ? lines[1].split(separator: "\n").joined(separator: " ") : ""
        expectation = form.expectation
        refusal = form.refusal ?? "expected \(form.expectation)"
        optionExpectation = form.optionExpectation
        placeholder = form.placeholder
        write = { value, profile in form.set(value, in: &profile, target) }
        writeOption = write
        read = { form.write($0[keyPath: target]) }
    }

    /// The same, as an option too.
    func option(_ names: String...) -> Knob {
        var knob = self
        knob.optionNames = names
        return knob
    }

    /// The same, where commands, which measure, may be told what a service is not.
    func option<Value>(
        _ names: String..., as form: KnobForm<Value>,
        of target: any WritableKeyPath<Profile, Value> & Sendable
    ) -> Knob {
        var knob = self
        knob.optionNames = names
        knob.optionExpectation = form.optionExpectation
        knob.placeholder = form.placeholder
        knob.writeOption = { value, profile in form.set(value, in: &profile, target) }
        return knob
    }

    /// The same, taken over when a profile is read again.
    var reloaded: Knob { takenOver(by: .reload) }

    /// The same, taken over where a model is opened.
    var ofModels: Knob { takenOver(by: .opening) }

    private func takenOver(by takeover: KnobTakeover) -> Knob {
        var knob = self
        knob.takeover = takeover
        return knob
    }

    /// The name before the point.
    package var table: Substring { key.prefix { $0 != "." } }
    /// The name after the point.
    package var name: Substring { key.dropFirst(table.count + 1) }

    /// The value that `profile` holds, as a profile writes it.
    package func text(in profile: Profile) -> String { read(profile).text }

    /// Whether two profiles agree about it.
    func differs(_ one: Profile, _ other: Profile) -> Bool { read(one) != read(other) }

    /// Takes a profile's value over; false, and no change, when it cannot be one.
    func set(_ value: ConfigurationDocument.Value, in profile: inout Profile) -> Bool {
        write(value, &profile)
    }

    // MARK: as an option

    /// What the help says of the option.
    package var help: String {
        let fallback = text(in: Profile()).filter { $0 != "\"" }
        let value = fallback.isEmpty ? "" : "; default: \(fallback)"
        return "\(summary) (\(optionExpectation)\(value))"
    }

    /// Takes over what an option says: the words that a profile would hold, without quotes.
    ///
    /// - Throws: ``KnobError`` when it cannot be the knob's value.
    package func set(option text: String, in profile: inout Profile) throws(KnobError) {
        var values = [ConfigurationDocument.Value.string(text)]
        if let integer = Int64(text) { values.append(.integer(integer)) }
        if let number = Double(text) { values.append(.number(number)) }
        for value in values where writeOption(value, &profile) { return }
        throw KnobError(
            description: "--\(optionNames.first ?? key) is \(optionExpectation), not '\(text)'")
    }
}

/// A value that a knob cannot have, as an option gave it.
package struct KnobError: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String
}

extension ConfigurationDocument.Value {
    /// As a profile writes it.
    var text: String {
        switch self {
        case .string(let text):
            "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
        case .integer(let integer): "\(integer)"
        case .number(let number): "\(number)"
        case .boolean(let flag): "\(flag)"
        }
    }
}
