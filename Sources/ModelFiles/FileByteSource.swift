// A model file on disk as the bytes that ModelFormat parses, leaving no trace in the page cache: a
// 20 GB import must not push everything else out of a small machine's memory.

package import LinuxSystem
package import ModelFormat
internal import Synchronization

/// A regular file opened for streaming. Its length is fixed when it is opened; a file that shrinks
/// gives an error, one that grows is noticed by ``hasChangedSize()``.
package final class FileByteSource: ByteSource, Sendable {
    package let name: String
    package let byteCount: UInt64
    private let file: FileDescriptor
    private let failure = Mutex<SystemError?>(nil)
    /// Reads of at least this many bytes are streaming: their pages are dropped.
    private static let streamingBytes = 256 << 10

    /// Opens `path`.
    ///
    /// - Parameter name: what messages call it; the path without its folders when nil.
    /// - Throws: `SystemError` when it cannot be opened or is not a regular file.
    package init(path: String, name: String? = nil) throws(SystemError) {
        self.name = name ?? FileSystem.name(of: path)
        let file = try FileDescriptor(path: path, mode: .read)
        byteCount = try file.byteCount()
        self.file = file
    }

    /// The system call that failed in ``read(at:into:)``, which can only say so in words.
    package var systemError: SystemError? { failure.withLock { $0 } }

    package func read(at offset: UInt64, into buffer: inout MutableRawSpan) throws(FormatError) {
        let length = UInt64(buffer.byteCount)
        guard offset <= byteCount, length <= byteCount - offset else {
            throw FormatError(
                file: name, offset: offset, expected: "\(length) bytes",
                found: "end of file at \(byteCount)")
        }
        let count: Int
        do {
            count = try file.read(at: offset, into: &buffer)
        } catch {
            failure.withLock { $0 = error }
            throw FormatError(
                file: name, offset: offset, expected: "\(length) readable bytes",
                found: "\(error)")
        }
        guard UInt64(count) == length else {
            throw FormatError(
                file: name, offset: offset, expected: "\(length) bytes",
                found: "a file that became shorter, \(count) bytes")
        }
        guard length >= Self.streamingBytes else { return }
        // Whole pages only; the page that the next read shares goes with the next read.
        let start = offset / 4096 * 4096
        file.dropPages(
            offset: start, byteCount: (offset + length) / 4096 * 4096 - start, writesFirst: false)
    }

    /// Whether the file's length is no longer what it was when it was opened.
    package func hasChangedSize() throws(SystemError) -> Bool {
        try file.byteCount() != byteCount
    }
}
