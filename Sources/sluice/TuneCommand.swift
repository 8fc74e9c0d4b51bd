// `sluice tune`: measures the drive that holds the models, and keeps what streaming should make of
// it.

internal import ArgumentParser
internal import Compute
internal import FlashStorage
internal import Knobs
internal import Library
internal import LinuxSystem
internal import Memory

struct TuneCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tune",
        abstract: "Measures the drive that models are on, and chooses how to read it.",
        discussion: """
            Reads of several sizes, several at a time, front to back, scattered, and across the \
            library's files; under fifteen seconds. What is found is kept for the next start of \
            any command and, for a daemon that runs as another user, written as a profile with \
            --out.
            """)

    @Option(
        help: ArgumentHelp(
            "Measure with this model's file; else the library's largest.", valueName: "model"))
    var model: String?

    @Option(help: ArgumentHelp("Write a profile, a TOML file.", valueName: "file"))
    var out: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Memory for everything, such as 256M. With little of it, caches serve a part of what "
                + "is read, and what is found of memory's speed is not kept.", valueName: "size"),
        transform: { text in
            guard let bytes = ByteSize.parse(text), bytes >= TuneCommand.memoryBytesMin else {
                throw ValidationError("a size such as 256M, at least 22M")
            }
            return Int(clamping: bytes)
        })
    var memory: Int?

    /// The program itself, and enough to measure a drive with.
    private static let memoryBytesMin: UInt64 = 22 << 20

    private var ledger: MemoryLedger {
        MemoryLedger(limitBytes: memory ?? MemoryLedger.unlimitedBytes)
    }

    @OptionGroup var library: LibraryOptions

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        // Rather now than after measuring.
        if let out { try FileSystem.checkReplaceable(out) }
        let path =
            try model.map { try library.packedPath(of: $0) } ?? library.value.largest()
        let device = try BlockDevice.holding(path)
        if !json { Terminal.line("measuring \(device.name) with \(path)") }
        let paths = [path] + library.value.neighbours(of: path)
        let measured = try Progress.during("measuring") { _ in
            (profile: try measure(paths), speed: memorySpeed(), products: productSpeed())
        }
        let (speed, products) = (measured.speed, measured.products)
        guard let profile = measured.profile else { throw MeasurementError.tooSmall(file: path) }
        let report = TuneReport(
            device: device, profile: profile, memory: speed, multiplyAddsPerSecond: products,
            keptIn: keep(profile, of: device, speed, products))
        Terminal.line(json ? try report.json() : report.text())
        guard let out else { return }
        try FileSystem.replace(out, with: Array(report.profileText.utf8))
        if !json { Terminal.line("profile     \(out)") }
    }

    /// Buffered where direct reads turn out to lie.
    private func measure(_ paths: [String]) throws(FlashError) -> DriveProfile? {
        do throws(FlashError) {
            return try DriveProbe.measure(
                paths: paths, options: FlashOptions(), in: ledger,
                memoryBytes: MemoryLimits.leftBytes(of: ledger.limitBytes), effort: .thorough)
        } catch {
            guard case .read(let failure) = error, failure.cause == .directReadDiffers else {
                throw error
            }
            Terminal.complain("\(failure); reading through the page cache from now on")
        }
        var options = FlashOptions()
        options.mayReadDirectly = false
        return try DriveProbe.measure(
            paths: paths, options: options, in: ledger,
            memoryBytes: MemoryLimits.leftBytes(of: ledger.limitBytes), effort: .thorough)
    }

    private static let threads = max(1, Processors.allowed.count)

    /// Nil where there is no memory to measure with.
    private func memorySpeed() -> MemorySpeed? {
        try? MemoryBandwidth.measure(
            team: ComputeTeam(memberCount: Self.threads), in: ledger)
    }

    /// Nil where there is no memory to measure with.
    private func productSpeed() -> Double? {
        try? ProductProbe.multiplyAddsPerSecond(
            team: ComputeTeam(memberCount: Self.threads), in: ledger)
    }

    /// The file that keeps what was measured; nil, with a complaint, when none does.
    private func keep(
        _ profile: DriveProfile, of device: BlockDevice, _ speed: MemorySpeed?,
        _ products: Double?
    ) -> String? {
        let trusted = speed.flatMap { $0.isTrusted ? $0.bytesPerSecond : nil }
        let memory = trusted.map {
            Measurements.Memory(bytesPerSecond: $0, threads: Self.threads)
        }
        let file = MeasurementsFile(path: Places().measurements)
        do {
            try file.keep(profile, of: device, memory: memory)
            if let products {
                try file.keep(
                    Measurements.Products(
                        multiplyAddsPerSecond: products, threads: Self.threads))
            }
            return file.path
        } catch {
            Terminal.complain("measurements are not kept: \(error)")
            return nil
        }
    }
}
