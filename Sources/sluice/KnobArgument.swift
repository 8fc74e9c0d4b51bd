// Options that are knobs: name, help, range and default are those of the table.

internal import ArgumentParser
internal import Knobs

/// What an option says of a knob, as it was written.
struct KnobArgument {
    let knob: Knob
    let text: String

    /// Takes it over.
    ///
    /// - Throws: `ValidationError` when it cannot be the knob's value, in the words of profiles.
    func apply(to profile: inout Profile) throws {
        do throws(KnobError) {
            try knob.set(option: text, in: &profile)
        } catch {
            throw ValidationError("\(error)")
        }
    }
}

extension Option where Value == KnobArgument? {
    /// An option under the names of the knob with this key.
    init(knob key: String) {
        let knob = KnobTable.knob(key)
        self.init(
            name: NameSpecification(knob.optionNames.map { .customLong($0) }),
            parsing: .unconditional,
            help: ArgumentHelp(knob.help, valueName: knob.placeholder),
            transform: { KnobArgument(knob: knob, text: $0) })
    }
}
