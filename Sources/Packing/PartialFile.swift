// The file that an import writes: hidden beside its destination until it is whole, gone when the
// import fails. Owns the temporary name; refuses to put anything unfinished under the final one.

import LinuxSystem
import ModelFormat

/// `.NAME.sluice.partial-PID` in the destination's directory, removed unless ``commit(to:)``
/// renamed it.
struct PartialFile: ~Copyable {
    private let file: FileDescriptor
    private let path: String
    private var committed = false
    /// Written pages before this offset were handed to the disk and dropped.
    private var droppedOffset: UInt64 = 0
    /// Pages up to here were handed to the disk.
    private var startedOffset: UInt64 = 0

    private static let marker = ".partial-"
    /// Dirty pages are written out and dropped in steps of this many bytes.
    private static let windowBytes: UInt64 = 8 << 20

    /// Creates the file and reserves `byteCount` bytes, so that a full disk is known now.
    init(
        destination: String, processID: Int32, byteCount: UInt64
    ) throws(SystemError) {
        let name = FileSystem.name(of: destination)
        let path = "\(FileSystem.parent(of: destination))/.\(name)\(Self.marker)\(processID)"
        if FileSystem.exists(path) { try FileSystem.remove(path) }
        let file = try FileDescriptor(path: path, mode: .createNew)
        do {
            try file.reserve(byteCount: byteCount)
        } catch {
            try? FileSystem.remove(path)
            throw error
        }
        self.path = path
        self.file = file
    }

    deinit {
        if !committed { try? FileSystem.remove(path) }
    }

    /// Writes `bytes` at `offset`; offsets ascend but for the header at the end.
    mutating func write(_ bytes: RawSpan, at offset: UInt64) throws(SystemError) {
        try file.write(bytes, at: offset)
        let end = offset + UInt64(bytes.byteCount)
        guard end >= startedOffset + Self.windowBytes else { return }
        // The advice starts writing the newest window and drops nothing that is still dirty; by the
        // time of the next window this one is mostly written and waiting for it costs little.
        file.dropPages(
            offset: startedOffset, byteCount: end - startedOffset, writesFirst: false)
        if startedOffset > droppedOffset {
            file.dropPages(
                offset: droppedOffset, byteCount: startedOffset - droppedOffset,
                writesFirst: true)
        }
        droppedOffset = startedOffset
        startedOffset = end / 4096 * 4096
    }

    /// Cuts the file to `byteCount`, makes it durable and gives it its final name.
    mutating func commit(
        to destination: String, byteCount: UInt64
    ) throws(SystemError) {
        try file.truncate(byteCount: byteCount)
        try file.synchronize()
        try FileSystem.rename(path, to: destination)
        committed = true
    }

    /// Removes what imports that were killed left in `directory`. Files whose process still runs
    /// are left alone, and so is everything else.
    static func removeStale(in directory: String) throws(SystemError) {
        for name in try FileSystem.names(in: directory) where name.hasPrefix(".") {
            guard let dash = name.lastIndex(of: "-"), name[...dash].hasSuffix(".sluice" + marker),
                let processID = Int32(name[name.index(after: dash)...]), processID > 0,
                !FileSystem.exists("/proc/\(processID)")
            else { continue }
            try FileSystem.remove("\(directory)/\(name)")
        }
    }
}
