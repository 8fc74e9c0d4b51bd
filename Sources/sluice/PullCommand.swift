// `sluice pull`: a model from the network into the library, packed while it arrives.

internal import ArgumentParser
internal import Fetching
internal import GenerationAPI
internal import Glibc
internal import LinuxSystem
internal import Packing
internal import Synchronization

struct PullCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull",
        abstract: "Fetches a GGUF model and packs it while it arrives.",
        discussion: """
            Only the packed file is ever on the drive. Of a model in several parts the first is \
            named. A connection that breaks is taken up where it broke; a pull that is ended goes \
            on when it is given again, if the server still has the same file. What the hub gives a \
            checksum for, or --sha256, is compared with it.

            hf:OWNER/REPO/FILE.gguf is a file on Hugging Face, hf:OWNER/REPO@REVISION/FILE.gguf of \
            a branch, tag or commit: $HF_TOKEN opens private repositories, $HF_ENDPOINT names \
            another hub. Needs curl(1).
            """)

    @Argument(
        help: ArgumentHelp("Where the model is.", valueName: "hf:owner/repo/file.gguf|url"))
    var address: String

    @OptionGroup var options: ImportOptions

    @Option(
        help: ArgumentHelp(
            "How long nothing may come before the connection is given up and made anew.",
            valueName: "seconds"))
    var stallSeconds = 60

    @Option(
        help: ArgumentHelp(
            "What the file's SHA-256 is to be; of a model in several parts one for each, in order.",
            valueName: "hex"))
    var sha256: [String] = []

    func validate() throws {
        for digest in sha256 where digest.utf8.count != 64 || !digest.allSatisfy(\.isHexDigit) {
            throw ValidationError("--sha256: expected 64 hexadecimal digits, found '\(digest)'")
        }
        guard (1...3600).contains(stallSeconds) else {
            throw ValidationError("--stall-seconds is between 1 and 3600")
        }
    }

    func run() throws {
        let address = try ModelAddress(address)
        let job = try options.job(address.fileName)
        let parts = Mutex<[DownloadStream]>([])
        let checked = Atomic(false)
        try ImportCommand.run(job.name) { observer in
            @Sendable func part(_ address: ModelAddress) throws(PackingError) -> DownloadStream {
                let index = parts.withLock { $0.count }
                guard sha256.isEmpty || index < sha256.count else {
                    throw .transfer(
                        address: address.shown, reason: "--sha256 is not given for this part",
                        .usage)
                }
                let stream = DownloadStream(
                    address, patience: DownloadPatience(stallSeconds: stallSeconds),
                    expectedDigest: sha256.isEmpty ? nil : sha256[index].lowercased(),
                    isCancelled: observer.isCancelled
                ) { Terminal.complain("\(job.name): \($0)") }
                parts.withLock { $0.append(stream) }
                return stream
            }
            return try job.run(
                part(address),
                openPart: { (name) throws(PackingError) in try part(address.sibling(name)) },
                processID: getpid(), observer: observer, program: SluiceVersion.current
            ) { () throws(PackingError) in
                guard sha256.isEmpty || sha256.count == parts.withLock({ $0.count }) else {
                    throw .transfer(
                        address: address.shown, reason: "--sha256 is given for more parts", .usage)
                }
                var isChecked = true
                for stream in parts.withLock({ $0 }) {
                    if try !stream.verify() { isChecked = false }
                }
                if isChecked { checked.store(true, ordering: .relaxed) }
            }
        }
        if checked.load(ordering: .relaxed) {
            let whose = sha256.isEmpty ? "the hub's" : "the one that was given"
            Terminal.write("\(job.name): the SHA-256 is \(whose)\n", to: STDERR_FILENO)
        }
    }
}
