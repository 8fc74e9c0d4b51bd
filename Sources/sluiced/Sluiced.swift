// The daemon's command line. Everything else is DaemonCore's.

internal import ArgumentParser
internal import GenerationAPI
internal import Knobs
internal import LinuxSystem
internal import Service

@main struct Sluiced: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluiced",
        abstract: "Serves language models over a Unix socket, within a memory budget.",
        version: SluiceVersion.current)

    @Option(help: ArgumentHelp("Profile to read.", valueName: "file"))
    var profile: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Memory budget, such as 1536M or 1.5G.", valueName: "size"),
        transform: { text in
            guard let bytes = ByteSize.parse(text) else {
                throw ValidationError("'\(text)' is not a size such as 1536M or 1.5G")
            }
            return bytes
        })
    var memory: UInt64?

    @Option(help: ArgumentHelp("Socket to listen on.", valueName: "path"))
    var socket: String?

    @Option(help: ArgumentHelp("Directory of packed models.", valueName: "dir"))
    var library: String?

    @Flag(help: "Read the profile, say what is wrong with it, and end.")
    var check = false

    func run() throws {
        let configuration: DaemonConfiguration
        do throws(ConfigurationError) {
            configuration = try DaemonConfiguration(
                profilePath: profile, memoryBytes: memory, socket: socket, library: library)
        } catch {
            throw ExitCode(check ? Self.report(error) : failStart(error))
        }
        guard !check else { return Self.report(configuration) }
        let status = runDaemon(configuration: configuration) { try makeEngine($0, log: $1) }
        throw ExitCode(status)
    }

    private static func report(_ error: ConfigurationError) -> Int32 {
        Log.standardError(level: .info).log(.error, "\(error)")
        return ExitStatus(error).rawValue
    }

    private static func report(_ configuration: DaemonConfiguration) {
        let log = Log.standardError(level: .info)
        for notice in configuration.notices { log.log(.warning, notice) }
        log.log(
            .info, "\(configuration.profilePath ?? "no profile, the defaults"): nothing is wrong")
    }
}
