// `sluice encrypt`: a packed model that only a key opens.

internal import ArgumentParser
internal import Glibc
internal import Knobs
internal import Library
internal import LinuxSystem
internal import ModelFormat
internal import Packing

struct EncryptCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "encrypt",
        abstract: "Encrypts a packed model for machines whose drive others may read.",
        discussion: """
            AES-256-GCM. Who has the key runs the new file as any other (--model-keys, \
            $SLUICE_MODEL_KEYS, or the daemon's credential sluice-model-keys); nobody else can \
            read it, or change it unnoticed. Calibrate before: an encrypted model is not \
            changed. Make a key with 'umask 077; head -c 32 /dev/urandom > FILE', and keep it: \
            nothing replaces it.
            """)

    @Argument(help: "A name in the library, or a packed file.")
    var model: String

    @Argument(help: ArgumentHelp("The file to write.", valueName: "output.sluice"))
    var output: String

    @OptionGroup var library: LibraryOptions
    @OptionGroup var keys: ModelKeyOptions

    @Flag(help: "Replace a file of the same name.")
    var force = false

    func run() throws {
        let key = try keys.value.keys()[0]
        let path = try library.value.resolve(model)
        guard !GGUFFile.isGGUF(try FileByteSource(path: path, name: path)) else {
            throw ValidationError("\(path) is a GGUF file: import it first")
        }
        let encryption = try ModelEncryption(path: path)
        let stopped = StopFlag()
        let interrupts = Interrupts.shared
        let bytes = try Progress.during("encrypting") { progress in
            try interrupts.with(action: { stopped.raise() }) {
                try encryption.write(
                    to: output, key: key, overwrite: force, processID: getpid(),
                    observer: PackingObserver(
                        progress: { progress.show($0.share) },
                        isCancelled: { stopped.isRaised }))
            }
        }
        Terminal.write("\(output): encrypted, \(ByteSize.format(bytes))\n", to: STDERR_FILENO)
    }
}

/// Where the keys of encrypted models are, for commands without knobs.
struct ModelKeyOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "File of the keys of encrypted models, of which `encrypt` takes the first; else "
                + "$SLUICE_MODEL_KEYS.", valueName: "path"))
    var modelKeys: String?

    func validate() throws {
        if modelKeys?.isEmpty == true { throw ValidationError("--model-keys takes a path") }
    }

    var value: ModelKeySource { ModelKeySource(path: modelKeys) }
}
