// The file that an import writes: hidden beside its destination until it is whole, gone when the
// import fails. Owns the temporary name; refuses to put anything unfinished under the final one.

internal import LinuxSystem
import Synchronization

/// `.NAME.sluice.partial-PID.N` in the destination's directory, removed unless ``commit`` gave it
/// its name. Threads may write to it together.
struct PartialFile: ~Copyable, Sendable {
    private let file: FileDescriptor
    /// The same file past the page cache, where its file system allows that.
    private let direct: FileDescriptor?
    private let path: String
    /// Whether it stays where it is when the import ends, under its name or another.
    private let isKept = Atomic<Bool>(false)

    private static let marker = ".partial-"
    /// What the name of a packed file whose source is consumed ends in, and its journal's.
    static let consuming = ".consuming"
    /// The same of one that arrives from where it can be asked for again.
    static let arriving = ".arriving"
    static let journal = ".journal"
    /// Tells apart imports of one name by one process.
    private static let number = Atomic<Int>(0)

    /// Creates the file and reserves `byteCount` bytes, so that a full disk is known now.
    init(
        destination: String, processID: Int32, byteCount: UInt64
    ) throws(SystemError) {
        let name = FileSystem.name(of: destination)
        let number = Self.number.add(1, ordering: .relaxed).newValue
        let path =
            "\(FileSystem.parent(of: destination))/.\(name)\(Self.marker)\(processID).\(number)"
        // A killed process of the same number may have left one.
        if FileSystem.exists(path) { try FileSystem.remove(path) }
        let file = try FileDescriptor(path: path, mode: .createNew)
        do {
            try file.reserve(byteCount: byteCount)
        } catch {
            try? FileSystem.remove(path)
            throw error
        }
        direct = try? FileDescriptor(path: path, mode: .readWriteDirect)
        self.path = path
        self.file = file
    }

    /// Goes on with the file `path`, or begins it where it is new.
    ///
    /// - Parameter byteCount: what is reserved; nil is nothing: room is made as it grows.
    init(
        resuming path: String, isNew: Bool, reserving byteCount: UInt64? = nil
    ) throws(SystemError) {
        let file = try FileDescriptor(
            path: path, mode: isNew && !FileSystem.exists(path) ? .createNew : .readWrite)
        // So that others know it from one that was left, and leave it alone.
        guard try file.lockForThisProcess() else {
            throw SystemError("lock", errorNumber: SystemError.busy, subject: path)
        }
        if isNew { try file.truncate(byteCount: 0) }
        do throws(SystemError) {
            if let byteCount { try file.reserve(byteCount: byteCount) }
        } catch {
            if isNew { try? FileSystem.remove(path) }
            throw error
        }
        self.file = file
        direct = try? FileDescriptor(path: path, mode: .readWriteDirect)
        self.path = path
    }

    deinit {
        if !isKept.load(ordering: .relaxed) { try? FileSystem.remove(path) }
    }

    /// From now on the file is more than a copy: it stays until it is whole.
    func keep() { isKept.store(true, ordering: .relaxed) }

    /// Makes what was written durable.
    func synchronize() throws(SystemError) { try file.synchronize() }

    /// Writes whole pages of page-aligned memory at a multiple of the page size, past the page
    /// cache where that works: without copying, and without pushing anything out of memory.
    func writePages(_ bytes: RawSpan, at offset: UInt64) throws(SystemError) {
        do throws(SystemError) {
            switch direct {
            case .some(let direct): return try direct.write(bytes, at: offset)
            case nil: break
            }
        } catch {
            guard error.isInvalidArgument else { throw error }
        }
        try file.write(bytes, at: offset)
        file.dropPages(offset: offset, byteCount: UInt64(bytes.byteCount), writesFirst: true)
    }

    /// Writes a few bytes anywhere.
    func write(_ bytes: RawSpan, at offset: UInt64) throws(SystemError) {
        try file.write(bytes, at: offset)
    }

    /// Writes out what ``write(_:at:)`` put into a range, and drops it from the page cache.
    func writeOut(at offset: UInt64, byteCount: Int) {
        file.dropPages(offset: offset, byteCount: UInt64(byteCount), writesFirst: true)
    }

    /// Cuts the file to `byteCount`, makes it durable and gives it its final name.
    ///
    /// - Throws: `SystemError` with `EEXIST` when the name is taken and not to be replaced.
    func commit(
        to destination: String, byteCount: UInt64, overwrite: Bool
    ) throws(SystemError) {
        try file.truncate(byteCount: byteCount)
        try file.synchronize()
        if overwrite {
            try FileSystem.rename(path, to: destination)
        } else {
            try FileSystem.renameWithoutReplacing(path, to: destination)
        }
        keep()
    }

    /// Removes what imports that were killed left in `directory`. Files whose process still runs
    /// are left alone, so is what a source was consumed for, and so is everything else.
    static func removeStale(in directory: String) throws(SystemError) {
        for name in try FileSystem.names(in: directory) where name.hasPrefix(".") {
            let path = "\(directory)/\(name)"
            if [consuming, arriving].contains(where: { name.hasSuffix(".sluice" + $0) }) {
                try removeUnlessNeeded(path)
            } else if name.hasSuffix(".sluice" + arriving + journal) {
                // Without the file it says nothing.
                if !FileSystem.exists(String(path.dropLast(journal.count))) {
                    try FileSystem.remove(path)
                }
            } else if isAbandoned(name, ".sluice" + marker)
                || isAbandoned(name, ".sluice" + consuming + journal + ".part-")
                || isAbandoned(name, ".sluice" + arriving + journal + ".part-")
            {
                try FileSystem.remove(path)
            }
        }
    }

    /// Whether a name goes on with `marker` and the number of a process that is no more.
    private static func isAbandoned(_ name: String, _ marker: String) -> Bool {
        guard let end = name.firstRange(of: marker)?.upperBound,
            let processID = Int32(name[end...].prefix { $0 != "." && $0 != "-" }), processID > 0
        else { return false }
        return !FileSystem.exists("/proc/\(processID)")
    }

    /// Removes the beginning of an import that has freed or recorded nothing yet.
    private static func removeUnlessNeeded(_ path: String) throws(SystemError) {
        guard !FileSystem.exists(path + journal) else { return }
        let file = try FileDescriptor(path: path, mode: .readWrite)
        if try file.lockForThisProcess(patienceMilliseconds: 0) { try FileSystem.remove(path) }
    }
}
