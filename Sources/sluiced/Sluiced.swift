// The daemon's command line. Everything else is DaemonCore's.

internal import ArgumentParser
internal import DaemonCore
internal import Scheduling

@main struct Sluiced: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluiced",
        abstract: "Serves language models over a Unix socket, within a memory budget.")

    @Option(help: ArgumentHelp("Profile to read.", valueName: "file"))
    var profile: String?

    @Option(
        help: ArgumentHelp("Memory budget, such as 1536M or 2G.", valueName: "size"),
        transform: { text in
            guard let bytes = ByteSize.parse(text) else {
                throw ValidationError("'\(text)' is not a size such as 1536M or 2G")
            }
            return bytes
        })
    var memory: UInt64?

    @Option(help: ArgumentHelp("Socket to listen on.", valueName: "path"))
    var socket: String?

    @Option(help: ArgumentHelp("Directory of packed models.", valueName: "dir"))
    var library: String?

    func run() throws {
        let configuration: DaemonConfiguration
        do throws(ConfigurationError) {
            configuration = try DaemonConfiguration(
                profilePath: profile, memoryBytes: memory, socket: socket, library: library)
        } catch {
            Log.standardError(level: .info).log(.error, "\(error)")
            throw ExitCode(ExitStatus.badConfiguration.rawValue)
        }
        let status = runDaemon(configuration: configuration) { try makeEngine($0) }
        throw ExitCode(status)
    }
}
