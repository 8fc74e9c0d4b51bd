// The daemon as a program.

internal import GenerationAPI
internal import Glibc
internal import Knobs
internal import LinuxSystem
internal import Service

@main enum Sluiced {
    static func main() {
        let status: ExitStatus.RawValue
        do throws(ArgumentError) {
            status = run(try DaemonArguments.parse(Array(CommandLine.arguments.dropFirst())))
        } catch {
            write("\(error)\n", to: STDERR_FILENO)
            status = ExitStatus.usage.rawValue
        }
        exit(status)
    }

    private static func run(_ order: DaemonArguments.Order) -> ExitStatus.RawValue {
        switch order {
        case .help:
            write(DaemonArguments.help, to: STDOUT_FILENO)
            return ExitStatus.success.rawValue
        case .version:
            write(SluiceVersion.current + "\n", to: STDOUT_FILENO)
            return ExitStatus.success.rawValue
        case .run(let arguments): return run(arguments)
        }
    }

    private static func run(_ arguments: DaemonArguments) -> ExitStatus.RawValue {
        let configuration: DaemonConfiguration
        do throws(ConfigurationError) {
            configuration = try DaemonConfiguration(
                profilePath: arguments.profile, memoryBytes: arguments.memory,
                socket: arguments.socket, library: arguments.library)
        } catch {
            return arguments.isCheck ? report(error) : failStart(error)
        }
        guard !arguments.isCheck else {
            report(configuration)
            return ExitStatus.success.rawValue
        }
        return runDaemon(configuration: configuration) { try makeEngine($0, log: $1) }
    }

    private static func report(_ error: ConfigurationError) -> ExitStatus.RawValue {
        Log.standardError(level: .info).log(.error, "\(error)")
        return ExitStatus(error).rawValue
    }

    private static func report(_ configuration: DaemonConfiguration) {
        let log = Log.standardError(level: .info)
        for notice in configuration.notices { log.log(.warning, notice) }
        log.log(
            .info, "\(configuration.profilePath ?? "no profile, the defaults"): nothing is wrong")
    }

    /// Where nobody reads, there is nobody to tell.
    private static func write(_ text: String, to descriptor: CInt) {
        let bytes = Array(text.utf8)
        _ = unsafe Glibc.write(descriptor, bytes, bytes.count)
    }
}
