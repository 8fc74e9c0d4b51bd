// The daemon's command line, read by hand: five options are not worth the megabyte of resident code
// that ArgumentParser takes for as long as the daemon runs. Messages are as `sluice`'s.

internal import GenerationAPI
internal import Knobs

/// What the command line asks for.
struct DaemonArguments: Equatable {
    enum Order {
        case run(DaemonArguments)
        case help
        case version
    }

    var profile: String?
    var memory: UInt64?
    var socket: String?
    var library: String?
    var isCheck = false

    private static let memoryKnob = KnobTable.knob("memory.budget")
    private static let values = [
        Option(name: "--profile", value: "file", help: "Profile to read."),
        Option(
            name: "--memory", value: memoryKnob.placeholder, help: memoryKnob.help,
            takesAnything: true),
        Option(
            name: "--socket", value: "path", help: KnobTable.knob("service.socket").summary),
        Option(
            name: "--library", value: "dir",
            help: KnobTable.knob("service.models_directory").summary)
    ]
    private static let flags = [
        Option(name: "--check", help: "Read the profile, say what is wrong with it, and end."),
        Option(name: "--version", help: "Show the version."),
        Option(name: "--help", short: "-h", help: "Show help information.")
    ]

    fileprivate static let usage =
        "sluiced " + values.map { "[\($0.usage)]" }.joined(separator: " ") + " [--check]"

    static var help: String {
        let options = (values + flags).map { option in
            let names = [option.short, option.usage].compactMap(\.self)
            let usage = "  " + names.joined(separator: ", ")
            let space = String(repeating: " ", count: max(1, 26 - usage.count))
            return usage + space + option.help
        }
        return """
            OVERVIEW: Serves language models over a Unix socket, within a memory budget.

            USAGE: \(usage)

            OPTIONS:
            \(options.joined(separator: "\n"))


            """
    }

    /// Reads the words after the program's name. Of an option that is given twice, the last counts.
    static func parse(_ words: [String]) throws(ArgumentError) -> Order {
        var arguments = DaemonArguments()
        var strays: [String] = []
        var failure: ArgumentError?
        var rest = words[...]
        var isVersion = false
        while let word = rest.popFirst() {
            if word == "--" {
                strays += rest
                break
            }
            guard word.hasPrefix("-"), word.count > 1 else {
                strays.append(word)
                continue
            }
            if word == "--help" || word == "-h" { return .help }
            if word == "--version" {
                isVersion = true
                continue
            }
            do throws(ArgumentError) {
                try arguments.take(word, &rest)
            } catch {
                // A later word may still ask for help.
                failure = failure ?? error
            }
        }
        if isVersion { return .version }
        if let failure { throw failure }
        guard strays.isEmpty else { throw .strays(strays) }
        return .run(arguments)
    }

    /// Takes an option and, from `rest`, its value.
    private mutating func take(
        _ word: String, _ rest: inout ArraySlice<String>
    ) throws(ArgumentError) {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        let attached = parts.count > 1 ? String(parts[1]) : nil
        if Self.flags.contains(where: { $0.name == name }) {
            if let attached { throw .needlessValue(name, attached) }
            isCheck = true
            return
        }
        guard let option = Self.values.first(where: { $0.name == name }) else {
            throw .unknown(name)
        }
        guard let value = attached ?? option.value(from: &rest), !value.isEmpty else {
            throw .missingValue(option)
        }
        switch name {
        case "--profile": profile = value
        case "--socket": socket = value
        case "--library": library = value
        default:
            var profile = Profile()
            do throws(KnobError) {
                try Self.memoryKnob.set(option: value, in: &profile)
            } catch {
                throw .refused(option, error)
            }
            memory = profile.memory.budgetBytes
        }
    }

    /// The option that `name` is the beginning of, else the nearest.
    fileprivate static func nearest(_ name: String) -> String? {
        let names = (values + flags).map(\.name)
        let begun = names.first { $0.hasPrefix(name) && name.count > 2 }
        return begun ?? NearestName.among(names, to: name)
    }
}

/// One option as help shows it.
struct Option {
    let name: String
    var short: String?
    /// What the value is called; nil for flags.
    var value: String?
    let help: String
    /// Whether what begins with a dash may be the value, too.
    var takesAnything = false

    init(
        name: String, short: String? = nil, value: String? = nil, help: String,
        takesAnything: Bool = false
    ) {
        self.name = name
        self.short = short
        self.value = value
        self.help = help
        self.takesAnything = takesAnything
    }

    var usage: String { value.map { "\(name) <\($0)>" } ?? name }

    func value(from rest: inout ArraySlice<String>) -> String? {
        guard let next = rest.first, takesAnything || !next.hasPrefix("-") || next == "-" else {
            return nil
        }
        return rest.popFirst()
    }
}

/// What is wrong with a command line, as it is shown.
struct ArgumentError: Error, CustomStringConvertible {
    private let problem: String
    /// The option it is about.
    private var option: Option?

    static func unknown(_ name: String) -> ArgumentError {
        let hint = DaemonArguments.nearest(name).map { ". Did you mean '\($0)'?" } ?? ""
        return ArgumentError(problem: "Unknown option '\(name)'\(hint)")
    }

    static func missingValue(_ option: Option) -> ArgumentError {
        ArgumentError(problem: "Missing value for '\(option.usage)'", option: option)
    }

    static func refused(_ option: Option, _ error: KnobError) -> ArgumentError {
        ArgumentError(problem: "\(error)", option: option)
    }

    static func needlessValue(_ name: String, _ value: String) -> ArgumentError {
        ArgumentError(
            problem: "The option '\(name)' does not take any value, but '\(value)' was specified.")
    }

    static func strays(_ words: [String]) -> ArgumentError {
        let list = words.map { "'\($0)'" }.joined(separator: ", ")
        return ArgumentError(
            problem: words.count == 1
                ? "Unexpected argument \(list)" : "\(words.count) unexpected arguments: \(list)")
    }

    var description: String {
        var lines = ["Error: \(problem)"]
        if let option { lines.append("Help:  \(option.usage)  \(option.help)") }
        lines.append("Usage: \(DaemonArguments.usage)")
        lines.append("  See 'sluiced --help' for more information.")
        return lines.joined(separator: "\n")
    }
}
