// What the table's rows make of profiles/generic.toml and docs/PROFILES.md. A test compares; with
// SLUICE_RECORD_KNOBS set it writes both files anew.

extension KnobTable {
    private static let columnsMax = 100

    /// `text` in comment lines.
    private static func comment(_ text: String) -> [String] {
        var lines: [String] = []
        var line = "#"
        for word in text.split(separator: " ") {
            if line.count + 1 + word.count > columnsMax {
                lines.append(line)
                line = "#"
            }
            line += " \(word)"
        }
        return lines + [line]
    }

    private static func sentence(_ words: String) -> String {
        words.prefix(1).uppercased() + words.dropFirst() + "."
    }

    /// A profile with every knob at its default, explained.
    package static var genericProfile: String {
        var lines = comment(
            """
            A profile says what Sluice may use of a device. This one holds the defaults, with \
            every knob explained. Copy it to /etc/sluice/sluice.toml and change what you need; \
            whatever you leave out keeps the value written here. `systemctl reload sluiced` takes \
            over what is marked so; the rest needs a restart. This file is made from the table in \
            Sources/Knobs, and docs/PROFILES.md too.
            """)
        for section in sections {
            lines += ["", "[\(section.name)]"]
            for knob in section.knobs {
                let unit = knob.unit == "-" ? "" : " Unit: \(knob.unit)."
                let reload =
                    switch knob.takeover {
                    case .reload: " A reload takes it over."
                    case .opening: " A reload takes it over when a model is opened next."
                    case .restart: ""
                    }
                let text = [knob.summary, knob.details].filter { !$0.isEmpty }
                lines += comment(text.joined(separator: " "))
                lines += comment("\(sentence(knob.expectation))\(unit)\(reload)")
                lines.append("\(knob.name) = \(knob.text(in: Profile()))")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// docs/PROFILES.md.
    package static var documentation: String {
        var lines = [introduction]
        for section in sections {
            lines += [
                "", "## [\(section.name)]", "",
                "| key | default | range | unit | option | reload | effect |",
                "|---|---|---|---|---|---|---|"
            ]
            lines += section.knobs.map(row)
        }
        lines += ["", "## What no profile says", "", refusals, "", "| option | of | why |"]
        lines.append("|---|---|---|")
        lines += commandOptions.map { option in
            "| `--\(option.name)` | \(option.commands) | \(option.reason) |"
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func row(_ knob: Knob) -> String {
        let options = knob.optionNames.map { "`--\($0)`" }.joined(separator: ", ")
        let cells = [
            "`\(knob.name)`", "`\(knob.text(in: Profile()))`", knob.expectation, knob.unit,
            options.isEmpty ? "-" : options, knob.takeover.word,
            [knob.summary, knob.details].filter { !$0.isEmpty }.joined(separator: " ")
        ]
        return "| " + cells.joined(separator: " | ") + " |"
    }

    private static let introduction = """
        # Profiles

        A profile is a TOML file of tables, each with keys that have one string or number; \
        `sluiced --profile FILE` reads it (without the option, /etc/sluice/sluice.toml where there \
        is one), and so does `--profile` of the commands that run a model in their own process. \
        What a file leaves out keeps its default. `sluiced --check` says what is wrong with a \
        profile, by line; nothing unknown is skipped in silence.

        An option wins over the profile. It has the same range, and says the same when it refuses: \
        sizes and words go without quotes there. Two options reach further than the key, because \
        a command that measures may ask for what no service can use: `--memory` may be less than \
        the daemon needs, and `--context` is neither more nor less than it says, or an error. Keys \
        that say "yes" under reload are taken over by `systemctl reload sluiced` at once, those \
        that say "model" from the next request on: a model that is loaded is loaded anew for it, \
        when answers that are under way have ended. The log names those that changed and wait for \
        a restart.

        This page, profiles/generic.toml, the profile's reader and the options are made from one \
        table, in Sources/Knobs. `SLUICE_RECORD_KNOBS=1 swift test --filter KnobTableTests` writes \
        both files anew.
        """

    private static let refusals = """
        What else a command in its own process can be told is not for a service, and why:
        """
}
