// `sluice pull`: a model from the network into the library, packed while it arrives.

internal import ArgumentParser
internal import Fetching
internal import Glibc
internal import Packing
internal import Synchronization

struct PullCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull",
        abstract: "Fetches a GGUF model and packs it while it arrives.",
        discussion: """
            Only the packed file is ever on the drive. Of a model in several parts the first is \
            named. A connection that breaks is taken up where it broke; a pull that is ended \
            leaves nothing. What the hub gives a checksum for is compared with it.

            hf:OWNER/REPO/FILE.gguf is a file on Hugging Face: $HF_TOKEN opens private \
            repositories, $HF_ENDPOINT names another hub. Needs curl(1).
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

    func validate() throws {
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
            @Sendable func part(_ address: ModelAddress) -> DownloadStream {
                let stream = DownloadStream(
                    address, patience: DownloadPatience(stallSeconds: stallSeconds),
                    isCancelled: observer.isCancelled)
                parts.withLock { $0.append(stream) }
                return stream
            }
            return try job.run(
                part(address), openPart: { part(address.sibling($0)) }, processID: getpid(),
                observer: observer
            ) { () throws(PackingError) in
                var isChecked = true
                for stream in parts.withLock({ $0 }) {
                    if try !stream.verify() { isChecked = false }
                }
                if isChecked { checked.store(true, ordering: .relaxed) }
            }
        }
        if checked.load(ordering: .relaxed) {
            Terminal.write("\(job.name): the SHA-256 is the hub's\n", to: STDERR_FILENO)
        }
    }
}
