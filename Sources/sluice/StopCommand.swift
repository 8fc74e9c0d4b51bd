// `sluice stop`: gives the memory of a model back that nobody uses.

internal import ArgumentParser
internal import Client

struct StopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop",
        abstract: "Unloads models that the daemon has loaded.",
        discussion: """
            Answers that are under way are finished first. The daemon loads a model again when \
            somebody asks for it.
            """)

    @OptionGroup var daemon: DaemonOptions

    @Argument(help: "Names as `sluice ps` shows them.")
    var models: [String]

    func run() throws {
        let client = try daemon.connect()
        for model in models {
            let wasLoaded = try client.stop(model: model)
            if !wasLoaded { Terminal.complain("\(model) is not loaded") }
        }
    }
}
