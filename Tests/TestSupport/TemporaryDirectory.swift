// A directory for one test's files.

import Glibc
import LinuxSystem

/// Calls `body` with the path of a new directory, which is removed with its files afterwards.
package func withTemporaryDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
    var template = Array("/tmp/sluice-test-XXXXXX".utf8CString)
    guard let made = unsafe mkdtemp(&template) else {
        throw SystemError("mkdtemp", errorNumber: errno)
    }
    let directory = unsafe String(cString: made)
    defer {
        for name in (try? FileSystem.names(in: directory)) ?? [] {
            _ = unsafe unlink("\(directory)/\(name)")
        }
        _ = unsafe rmdir(directory)
    }
    return try body(directory)
}
