// Whether a file is still the one that was read: names stay when files are replaced.

internal import Glibc

/// Which file it is, and as of which change of its contents (stat(2)).
package struct FileIdentity: Sendable, Hashable {
    package let device: UInt64
    package let inode: UInt64
    package let byteCount: Int64
    /// Since 1970.
    package let modifiedNanoseconds: Int64

    private init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        byteCount = Int64(status.st_size)
        modifiedNanoseconds =
            Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    }

    /// What is at `path` now, links followed.
    ///
    /// - Throws: `SystemError` when there is nothing.
    package init(path: String) throws(SystemError) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else {
            throw SystemError("stat", errorNumber: errno, subject: path)
        }
        self.init(status)
    }

    /// What `file` is now, whatever became of its name (fstat(2)).
    package init(_ file: borrowing FileDescriptor) throws(SystemError) {
        var status = stat()
        guard unsafe fstat(file.rawValue, &status) == 0 else {
            throw SystemError("fstat", errorNumber: errno, subject: file.path)
        }
        self.init(status)
    }
}
