// Room on a drive: how much there is, and how a file gives back some of what it has.

internal import CLinux
internal import Glibc

extension FileDescriptor {
    /// Frees what a range of the file takes on the drive, whole blocks; it reads as zeros then
    /// (fallocate(2), FALLOC_FL_PUNCH_HOLE).
    ///
    /// - Throws: `SystemError` with `EOPNOTSUPP` where the file system cannot.
    package func free(_ range: Range<UInt64>) throws(SystemError) {
        let status = clinux_punch(
            rawValue, Int64(range.lowerBound), Int64(range.upperBound - range.lowerBound))
        guard status == 0 else {
            throw SystemError("fallocate", errorNumber: status, subject: path)
        }
    }
}

extension FileSystem {
    /// Bytes that this process may still write to a directory's file system (statvfs(3)).
    package static func freeBytes(_ directory: String) throws(SystemError) -> UInt64 {
        var status = statvfs()
        guard unsafe statvfs(directory, &status) == 0 else {
            throw SystemError("statvfs", errorNumber: errno, subject: directory)
        }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize)
    }

    /// Finds out, with a small file of its own, whether files of a directory can free ranges.
    ///
    /// - Throws: `SystemError` where they cannot, or none can be made.
    package static func checkFreeing(_ directory: String) throws(SystemError) {
        let path = "\(directory)/.sluice-\(getpid())"
        let file = try FileDescriptor(path: path, mode: .create)
        // Without a name it ends with this process, however that ends.
        try remove(path)
        try file.write(unsafe [UInt8](repeating: 1, count: 8192).span.bytes, at: 0)
        try file.free(0..<4096)
    }
}
