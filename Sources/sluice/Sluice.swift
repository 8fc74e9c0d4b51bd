// The client's root command: its subcommands, and how every error becomes one line and a status.

internal import ArgumentParser
internal import Calibration
internal import Client
internal import GenerationAPI
internal import Glibc
internal import Library
internal import LinuxSystem
internal import Packing

@main struct Sluice: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluice",
        abstract: "Runs language models bigger than the memory they are given.",
        version: SluiceVersion.current,
        subcommands: [
            ImportCommand.self, PullCommand.self, ListCommand.self, ShowCommand.self,
            RemoveCommand.self, RunCommand.self, RunningCommand.self, StopCommand.self,
            EvalCommand.self, BenchCommand.self, CalibrateCommand.self, EncryptCommand.self,
            TokenizeCommand.self, TemplateCommand.self, TuneCommand.self
        ])

    /// Parses, runs, and exits with the status that fits (docs: sysexits).
    static func main() {
        Terminal.occupyStandardStreams()
        var command: any ParsableCommand
        do {
            command = try parseAsRoot()
        } catch {
            exit(withError: error)
        }
        do {
            try command.run()
        } catch let error as ExitCode {
            exit(withError: error)
        } catch let error as CleanExit {
            exit(withError: error)
        } catch let error as ValidationError {
            exit(withError: error)
        } catch  where Self.exitCode(for: error) == .success {
            exit(withError: error)  // Help that was asked for
        } catch let error as PackingError {
            Terminal.complain("\(error)")
            Glibc.exit(ImportCommand.status(error))
        } catch let error as CalibrationError {
            Terminal.complain("\(error)")
            Glibc.exit(CalibrateCommand.status(error))
        } catch let error as LadderError {
            Terminal.complain("\(error)")
            Glibc.exit(ExitStatus.badData.rawValue)
        } catch {
            let status = ExitStatus(error)
            // Whoever pressed Ctrl-C knows.
            if status != .interrupted { Terminal.complain("\(error)") }
            Glibc.exit(status.rawValue)
        }
        Glibc.exit(ExitStatus.success.rawValue)
    }
}

/// Where commands find the daemon.
struct DaemonOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The daemon's socket; else $SLUICE_HOST.", valueName: "path"))
    var socket: String?

    /// A client of the daemon. Throws when none answers.
    func connect(sampling: SamplingOverrides? = nil) throws -> DaemonClient {
        let paths = try socket.map { [$0] } ?? Places().clientSockets()
        return try DaemonClient.find(paths, sampling: sampling)
    }
}

/// Where commands find packed models.
struct LibraryOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Directory of packed models; else $SLUICE_LIBRARY, else your own.", valueName: "dir"))
    var library: String?

    /// Whether a library was named, by option or environment.
    var isNamed: Bool { library != nil || Places().namesLibrary }

    var value: ModelLibrary { ModelLibrary(directory: library ?? Places().library) }
}
