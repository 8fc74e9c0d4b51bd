// read-benchmark: how fast records come from a drive, small ones too, through the queue and the
// reader that stream weights. For what bundling of neurons is worth at one depth
// (docs/NEURON-READS.md).

internal import ArgumentParser
internal import FlashStorage
internal import Knobs
internal import LinuxSystem

@main struct ReadBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "read-benchmark",
        abstract: "Measures reads of records at random places of a file.",
        discussion: """
            A kind of reading is BYTES[+BYTES...][/ALIGNMENT]: records of the first size in the \
            file's first part, of the second in its second and so on, back to back as a matrix's \
            rows are; each turn reads one of each, with the whole blocks of ALIGNMENT bytes (4096) \
            around it. Prints comma-separated values.
            """)

    @Argument(help: "A large file on the drive.")
    var file: String

    @Argument(help: ArgumentHelp("Kinds of reading.", valueName: "kind"))
    var kinds: [String]

    @Option(help: "Reads in flight, separated by commas.")
    var depths = "1,8,32"

    @Option(help: "Milliseconds for each kind and depth.")
    var milliseconds = 200

    @Option(help: "How reads are made: io_uring, pread or auto.")
    var reader = "auto"

    func validate() throws {
        guard (1...60_000).contains(milliseconds) else {
            throw ValidationError("--milliseconds is between 1 and 60000")
        }
        _ = try chosenReader()
        _ = try depthCounts()
        _ = try kinds.map(RecordKind.init)
    }

    func run() throws {
        let byteCount = try FileDescriptor(path: file, mode: .read).byteCount()
        try FileDescriptor(path: file, mode: .read).dropPages(
            offset: 0, byteCount: byteCount, writesFirst: true)
        print("kind,depth,through,turns_per_second,bytes_per_turn,bytes_per_second")
        for kind in try kinds.map(RecordKind.init) {
            for depth in try depthCounts() {
                let track = try RecordTrack(
                    path: file, kind: kind, depth: depth, reader: chosenReader())
                let speed = try track.measure(nanoseconds: UInt64(milliseconds) * 1_000_000)
                print(
                    "\(kind.text),\(depth),\(track.through),\(Int(speed.turnsPerSecond)),"
                        + "\(Int(speed.bytesPerTurn)),\(Int(speed.bytesPerSecond))")
            }
        }
    }

    private func chosenReader() throws -> ReaderChoice {
        guard let known = ReaderChoice(rawValue: reader) else {
            throw ValidationError("--reader is io_uring, pread or auto")
        }
        return known
    }

    private func depthCounts() throws -> [Int] {
        try depths.split(separator: ",").map { text in
            guard let depth = Int(text), (1...1024).contains(depth) else {
                throw ValidationError("--depths: \(text) is not between 1 and 1024")
            }
            return depth
        }
    }
}

/// Records that are read in turn, each from a part of the file of its own.
struct RecordKind {
    private static let recordBytesMax = 1 << 20
    private static let alignments = [512, 1024, 2048, 4096]

    let text: String
    let recordBytes: [Int]
    /// Reads begin and end at multiples of this.
    let alignment: Int

    init(_ text: String) throws {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let alignment = parts.count == 2 ? Int(parts[1]) ?? 0 : 4096
        let sizes = parts[0].split(separator: "+").map { Int($0) ?? 0 }
        guard parts.count <= 2, Self.alignments.contains(alignment), !sizes.isEmpty,
            sizes.allSatisfy({ (1...Self.recordBytesMax).contains($0) })
        else { throw ValidationError("'\(text)' is not BYTES[+BYTES...][/ALIGNMENT]") }
        self.text = text
        self.alignment = alignment
        recordBytes = sizes
    }

    /// Room for the longest read: a record that begins just before a block's end.
    var readBytesMax: Int {
        let longest = recordBytes.max() ?? 0
        return (longest + 2 * (alignment - 1)) / alignment * alignment
    }
}
