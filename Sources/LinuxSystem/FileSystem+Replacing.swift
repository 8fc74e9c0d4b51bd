// The one way to replace a file: under a name of its own first, on disk before it takes the place.

package import Glibc
internal import Synchronization

extension FileSystem {
    /// Writes a file whose old contents stay until the new are complete and on disk. Several
    /// writers at once each replace it whole; the last one counts.
    ///
    /// - Parameter permissions: of the new file, less the process's umask.
    /// - Throws: `SystemError`, which names `path`.
    package static func replace(
        _ path: String, with bytes: [UInt8], permissions: mode_t = 0o644
    ) throws(SystemError) {
        let temporary = temporaryPath(path)
        do throws(SystemError) {
            let file = try FileDescriptor(
                path: temporary, mode: .create, permissions: permissions)
            try unsafe file.write(bytes.span.bytes, at: 0)
            try file.synchronize()
            try FileSystem.rename(temporary, to: path)
        } catch {
            try? FileSystem.remove(temporary)
            throw SystemError(error.call, errorNumber: error.errorNumber, subject: path)
        }
    }

    /// Finds out whether ``replace(_:with:)`` could write `path`, and leaves what is there alone.
    ///
    /// - Throws: `SystemError`, which names `path`.
    package static func checkReplaceable(_ path: String) throws(SystemError) {
        let temporary = temporaryPath(path)
        do throws(SystemError) {
            if FileSystem.isDirectory(path) { throw SystemError("open", errorNumber: EISDIR) }
            _ = try FileDescriptor(path: temporary, mode: .create)
            try FileSystem.remove(temporary)
        } catch {
            throw SystemError(error.call, errorNumber: error.errorNumber, subject: path)
        }
    }

    private static let temporaries = Atomic(0)

    /// Nobody else's: neither another process's nor another thread's.
    private static func temporaryPath(_ path: String) -> String {
        let number = temporaries.add(1, ordering: .relaxed).newValue
        return "\(path).part-\(getpid())-\(number)"
    }
}
