// `sluice import`: a GGUF file into the library, with a bar on a terminal, a line for each type
// that is stored in another format, and one line at the end.

internal import ArgumentParser
internal import Glibc
internal import Knobs
internal import Library
internal import LinuxSystem
internal import ModelFormat
internal import Packing
internal import Synchronization

struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Packs a GGUF model into the library.",
        discussion: """
            A model of several parts is named by its first part. The source is not changed and not \
            needed afterwards; --consume deletes it.

            With - the model comes through standard input and is packed while it arrives: only the \
            packed file is ever on the drive. --name says what it is called then.
            """)

    @Argument(help: ArgumentHelp("The model, or - for standard input.", valueName: "file.gguf"))
    var file: String

    @OptionGroup var options: ImportOptions

    @Flag(
        help: ArgumentHelp(
            "Free each part of the source once it is packed and safe, and delete the source at the "
                + "end: for drives that cannot hold both. Ended half-way, the source is no model "
                + "any more; the same command goes on."))
    var consume = false

    func validate() throws {
        guard file == "-" else { return }
        if consume { throw ValidationError("--consume is for files: a pipe leaves nothing behind") }
        if options.name == nil {
            throw ValidationError("standard input has no name: --name gives one")
        }
        if Terminal.isTerminal(STDIN_FILENO) {
            throw ValidationError("standard input is a terminal: - imports what a pipe brings")
        }
    }

    func run() throws {
        let isPiped = file == "-"
        let job = try options.job(isPiped ? "\(options.name ?? "").gguf" : file)
        if consume {
            return try Self.run(job.name) { try job.runConsuming(observer: $0) }
        }
        guard isPiped else { return try Self.run(job) }
        try Self.run(job.name) { observer in
            let pipe = try PipeStream(
                descriptor: STDIN_FILENO, name: "standard input",
                isCancelled: observer.isCancelled)
            return try job.run(pipe, openPart: nil, processID: getpid(), observer: observer)
        }
    }

    /// Imports a file.
    static func run(_ job: ImportJob) throws {
        try run(job.name) { try job.run(processID: getpid(), observer: $0) }
    }

    /// Imports with a bar, and ends on standard error with a line for each type that was
    /// re-quantised and one for the model.
    static func run(
        _ name: String, _ body: (PackingObserver) throws -> ImportJob.Result
    ) throws {
        let stopped = StopFlag()
        // Before the first thread that would take Ctrl-C's signal, and end the program there.
        let interrupts = Interrupts.shared
        let progress = Progress("\(name): packing")
        do {
            let result = try interrupts.with(action: { stopped.raise() }) {
                try body(
                    PackingObserver(
                        progress: { progress.show($0.share) },
                        isCancelled: { stopped.isRaised }))
            }
            progress.clear()
            for entry in result.requantizations {
                Terminal.write("\(name): \(entry.sentence)\n", to: STDERR_FILENO)
            }
            if let leftOut = result.leftOut {
                Terminal.write(
                    "\(name): left out: \(leftOut.sentence(ByteSize.format))\n",
                    to: STDERR_FILENO)
            }
            for repair in result.repairs {
                Terminal.write("\(name): repaired: \(repair)\n", to: STDERR_FILENO)
            }
            if let notice = result.chatNotice {
                Terminal.write("\(name): \(notice)\n", to: STDERR_FILENO)
            }
            Terminal.write(
                "\(name): imported, \(ByteSize.format(result.packedBytes))\n",
                to: STDERR_FILENO)
        } catch {
            // One line for it, and the status, are the root command's work.
            progress.clear()
            throw error
        }
    }

    /// The exit status of a failed import (sysexits.h; 130 for Ctrl-C).
    static func status(_ error: PackingError) -> Int32 {
        let cannotCreate: Int32 = 73
        switch error {
        case .format, .tokenizer, .sourceChanged, .unconsumable: return ExitStatus.badData.rawValue
        case .name, .pipedPart: return ExitStatus.usage.rawValue
        case .exists: return cannotCreate
        case .cancelled: return ExitStatus.interrupted.rawValue
        case .transfer(_, _, let status): return status.rawValue
        case .unfinished(let cause), .paused(let cause, _): return Self.status(cause)
        case .source(let cause): return ExitStatus(cause).rawValue
        case .destination(let cause):
            switch cause.errorNumber {
            case ENOENT, ENOTDIR, EEXIST, EISDIR, ENAMETOOLONG: return cannotCreate
            default: return ExitStatus(cause).rawValue
            }
        }
    }
}

extension NeuronPacking: ExpressibleByArgument {}

/// `--activation`.
struct ActivationArgument: ExpressibleByArgument {
    let value: Activation

    init?(argument: String) {
        guard let value = Activation.ofAnyNetwork.first(where: { $0.rawValue == argument })
        else { return nil }
        self.value = value
    }

    static var allValueStrings: [String] { Activation.ofAnyNetwork.map(\.rawValue) }
}

/// Raised once, from another thread.
final class StopFlag: Sendable {
    private let raised = Atomic<Bool>(false)

    var isRaised: Bool { raised.load(ordering: .relaxed) }
    func raise() { raised.store(true, ordering: .relaxed) }
}

extension PackingProgress {
    /// 0...1.
    var share: Double { Double(bytesDone) / Double(max(1, bytesTotal)) }
}
