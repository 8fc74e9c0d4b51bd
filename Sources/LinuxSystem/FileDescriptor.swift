// One owner for an open file. Every call retries EINTR and names its path when it fails.

internal import CLinux
package import Glibc

/// An open file, closed when its owner goes away.
package struct FileDescriptor: ~Copyable, Sendable {
    package let rawValue: Int32
    /// For messages.
    package let path: String

    package enum Mode: Sendable {
        case read
        /// O_DIRECT: transfers bypass the page cache and must be aligned to 4 KiB.
        case readDirect
        /// Read and write, created if absent, emptied if present.
        case create
        /// Read and write; fails when the file exists (O_EXCL).
        case createNew
        case readWrite
        /// Read and write with O_DIRECT.
        case readWriteDirect
    }

    /// Opens `path` (open(2), always with O_CLOEXEC).
    package init(path: String, mode: Mode, permissions: mode_t = 0o644) throws(SystemError) {
        let flags: Int32 =
            switch mode {
            // A pipe without a writer would else block here; regular files take no notice.
            case .read: O_RDONLY | O_NONBLOCK
            case .readDirect: O_RDONLY | clinux_o_direct()
            case .create: O_RDWR | O_CREAT | O_TRUNC
            case .createNew: O_RDWR | O_CREAT | O_EXCL
            case .readWrite: O_RDWR
            case .readWriteDirect: O_RDWR | clinux_o_direct()
            }
        rawValue = try Self.retrying("open", path) {
            unsafe Glibc.open(path, flags | O_CLOEXEC, permissions)
        }
        self.path = path
    }

    /// Owns an open descriptor from now on.
    init(taking descriptor: Int32, name: String) {
        rawValue = descriptor
        path = name
    }

    deinit { _ = Glibc.close(rawValue) }

    /// The file's length in bytes (fstat(2)); refuses what is not a regular file.
    package func byteCount() throws(SystemError) -> UInt64 {
        var status = stat()
        _ = try Self.retrying("fstat", path) { unsafe fstat(rawValue, &status) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw SystemError(
                "read", errorNumber: status.st_mode & S_IFMT == S_IFDIR ? EISDIR : EINVAL,
                subject: path)
        }
        return UInt64(status.st_size)
    }

    /// Fills `buffer` from `offset` on; fewer bytes only at the end of the file (pread(2)).
    ///
    /// - Returns: the number of bytes read.
    package func read(at offset: UInt64, into buffer: inout MutableRawSpan) throws(SystemError)
        -> Int
    {
        let length = buffer.byteCount
        var done = 0
        while done < length {
            let count = try Self.retrying("read", path) {
                unsafe buffer.withUnsafeMutableBytes { bytes in
                    unsafe pread(
                        rawValue, bytes.baseAddress! + done, length - done, off_t(offset) + done)
                }
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Writes all of `bytes` at `offset` (pwrite(2)).
    package func write(_ bytes: RawSpan, at offset: UInt64) throws(SystemError) {
        var done = 0
        while done < bytes.byteCount {
            done += try Self.retrying("write", path) {
                unsafe bytes.withUnsafeBytes { buffer in
                    unsafe pwrite(
                        rawValue, buffer.baseAddress! + done, buffer.count - done,
                        off_t(offset) + done)
                }
            }
        }
    }

    /// Reserves blocks so that a full disk is known before writing (fallocate(2)); file systems
    /// that cannot are left alone.
    package func reserve(byteCount: UInt64) throws(SystemError) {
        while true {
            let status = posix_fallocate(rawValue, 0, off_t(byteCount))
            if status == EINTR { continue }
            if status == 0 || status == EOPNOTSUPP || status == EINVAL { return }
            throw SystemError("fallocate", errorNumber: status, subject: path)
        }
    }

    /// Makes the contents durable (fsync(2)).
    package func synchronize() throws(SystemError) {
        _ = try Self.retrying("fsync", path) { fsync(rawValue) }
    }

    package func truncate(byteCount: UInt64) throws(SystemError) {
        _ = try Self.retrying("truncate", path) { ftruncate(rawValue, off_t(byteCount)) }
    }

    /// Starts writing a range out and drops it from the page cache (sync_file_range(2),
    /// posix_fadvise(2)), so that streaming through a file does not fill memory. Advisory.
    package func dropPages(offset: UInt64, byteCount: UInt64, writesFirst: Bool) {
        if writesFirst { clinux_write_out(rawValue, Int64(offset), Int64(byteCount)) }
        _ = posix_fadvise(rawValue, off_t(offset), off_t(byteCount), POSIX_FADV_DONTNEED)
    }

    /// Whether the kernel says that O_DIRECT does not work with this file.
    package var refusesDirectReads: Bool { clinux_refuses_direct(rawValue) != 0 }

    /// Whether no drive stands behind the file: its bytes are in memory alone.
    package var isInMemory: Bool { clinux_is_in_memory(rawValue) != 0 }

    /// Whether any of a range is in the page cache (cachestat(2)); nil where the kernel does not
    /// say, as for files of other users.
    package func isCached(offset: UInt64, byteCount: UInt64) -> Bool? {
        let pages = clinux_cached_pages(rawValue, offset, byteCount)
        return pages < 0 ? nil : pages > 0
    }

    /// Turns off the page cache's reading ahead (posix_fadvise(2)), which would bring in what was
    /// not asked for. Advisory.
    package func stopReadingAhead() { _ = posix_fadvise(rawValue, 0, 0, POSIX_FADV_RANDOM) }

    /// Calls until the answer is not EINTR; a negative answer becomes an error.
    private static func retrying<Result: FixedWidthInteger & SignedInteger>(
        _ call: String, _ path: String, _ body: () -> Result
    ) throws(SystemError) -> Result {
        while true {
            let result = body()
            if result >= 0 { return result }
            let number = errno
            if number == EINTR { continue }
            throw SystemError(call, errorNumber: number, subject: path)
        }
    }
}

/// Operations on paths.
package enum FileSystem {
    /// rename(2), then fsync of the directory, so that the new name survives a power cut.
    package static func rename(_ old: String, to new: String) throws(SystemError) {
        guard unsafe Glibc.rename(old, new) == 0 else {
            throw SystemError("rename", errorNumber: errno, subject: new)
        }
        try synchronizeDirectory(of: new)
    }

    /// Gives a file another name in its file system, unless something has that name (link(2) and
    /// unlink(2): of two that try at once, one fails).
    ///
    /// - Throws: `SystemError` with `EEXIST` when the name is taken.
    package static func renameWithoutReplacing(
        _ old: String, to new: String
    ) throws(SystemError) {
        if unsafe link(old, new) == 0 {
            try remove(old)
            return try synchronizeDirectory(of: new)
        }
        let number = errno
        guard number == EPERM || number == EOPNOTSUPP else {
            throw SystemError("link", errorNumber: number, subject: new)
        }
        // A file system without hard links.
        if exists(new) { throw SystemError("rename", errorNumber: EEXIST, subject: new) }
        try rename(old, to: new)
    }

    package static func remove(_ path: String) throws(SystemError) {
        guard unsafe unlink(path) == 0 else {
            throw SystemError("remove", errorNumber: errno, subject: path)
        }
    }

    package static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    package static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// When a file's contents last changed, since 1970 (stat(2)).
    package static func modifiedNanoseconds(_ path: String) throws(SystemError) -> Int64 {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else {
            throw SystemError("stat", errorNumber: errno, subject: path)
        }
        return Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    }

    /// Creates a directory and those above it, unless it is there.
    ///
    /// - Throws: `SystemError` with `ENOTDIR` when something else has its name.
    package static func createDirectory(_ path: String) throws(SystemError) {
        if isDirectory(path) || path.isEmpty { return }
        try createDirectory(parent(of: path))
        guard unsafe mkdir(path, 0o755) != 0 else { return }
        let number = errno
        // Another process may have made it meanwhile.
        if number == EEXIST, isDirectory(path) { return }
        throw SystemError(
            "mkdir", errorNumber: number == EEXIST ? ENOTDIR : number, subject: path)
    }

    /// Names in a directory, sorted, without `.` and `..`.
    package static func names(in directory: String) throws(SystemError) -> [String] {
        guard let stream = unsafe opendir(directory) else {
            throw SystemError("open", errorNumber: errno, subject: directory)
        }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe String(
                    cString: UnsafeRawPointer(pointer).assumingMemoryBound(to: CChar.self))
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// The part of `path` before its last component; `.` when there is none.
    package static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The last component of `path`.
    package static func name(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
    }

    private static func synchronizeDirectory(of path: String) throws(SystemError) {
        let directory = try FileDescriptor(path: parent(of: path), mode: .read)
        try directory.synchronize()
    }
}
