// The one way to replace a file: under a name of its own first, on disk before it takes the place.

internal import Glibc

extension FileSystem {
    /// Writes a file whose old contents stay until the new are complete.
    ///
    /// - Throws: `SystemError`, which names `path`.
    package static func replace(_ path: String, with bytes: [UInt8]) throws(SystemError) {
        let temporary = temporaryPath(path)
        do throws(SystemError) {
            let file = try FileDescriptor(path: temporary, mode: .create)
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

    private static func temporaryPath(_ path: String) -> String { "\(path).part-\(getpid())" }
}
