// The one table of knobs. A profile's reader, the options of commands, profiles/generic.toml and
// docs/PROFILES.md follow from it; a new knob is a field of Profile and a row here.

/// All knobs, in the order in which profiles are documented.
package enum KnobTable {
    /// A table of a profile's file.
    package struct Section: Sendable {
        /// As `[name]` opens it.
        package let name: String
        package let knobs: [Knob]
    }

    package static let sections = [
        Section(name: "memory", knobs: memory),
        Section(name: "flash", knobs: flash.map(\.ofModels)),
        Section(name: "weights", knobs: weights.map(\.ofModels)),
        Section(name: "kv", knobs: keyValues.map(\.ofModels)),
        Section(name: "compute", knobs: compute.map(\.ofModels)),
        Section(name: "generation", knobs: generation), Section(name: "service", knobs: service),
        Section(name: "access", knobs: access)
    ]

    package static let all = sections.flatMap(\.knobs)

    /// The knob with a key that the table has.
    package static func knob(_ key: String) -> Knob {
        guard let knob = all.first(where: { $0.key == key }) else {
            preconditionFailure("no knob \(key)")
        }
        return knob
    }
}
