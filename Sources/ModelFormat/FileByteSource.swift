// A model file on disk as the bytes that ModelFormat parses, leaving no trace in the page cache: a
// 20 GB import must not push everything else out of a small machine's memory.

package import LinuxSystem
internal import Memory
internal import Synchronization

/// A regular file opened for streaming. Its length is fixed when it is opened; a file that shrinks
/// gives an error, one that grows is noticed by ``hasChangedSize()``.
package final class FileByteSource: ByteSource, Sendable {
    package let name: String
    package let byteCount: UInt64
    private let file: FileDescriptor
    /// The same file past the page cache, where its file system allows that.
    private let direct: DirectFile?
    private let progress: ProgressCounter?
    /// What it begins with, whatever the drive has there.
    private let firstBytes: [UInt8]
    private let failure = Mutex<SystemError?>(nil)
    /// Reads of at least this many bytes are streaming: their pages are dropped.
    private static let streamingBytes = 256 << 10
    /// What is read between two signs of progress.
    private static let pieceBytesMax = 1 << 20

    /// Opens `path`.
    ///
    /// - Parameters:
    ///   - name: what messages call it; the path without its folders when nil.
    ///   - streaming: whether ``readPages(at:into:)`` will read most of it.
    ///   - progress: told of every piece that was read.
    ///   - firstBytes: what ``read(at:into:)`` says that it begins with, whatever is there.
    /// - Throws: `SystemError` when it cannot be opened or is not a regular file.
    package init(
        path: String, name: String? = nil, streaming: Bool = false,
        progress: ProgressCounter? = nil, firstBytes: [UInt8] = []
    ) throws(SystemError) {
        self.progress = progress
        self.firstBytes = firstBytes
        self.name = name ?? FileSystem.name(of: path)
        let file = try FileDescriptor(path: path, mode: .read)
        byteCount = try file.byteCount()
        direct = streaming && byteCount >= DirectFile.pageBytes ? DirectFile(path, like: file) : nil
        self.file = file
    }

    /// Whether ``readPages(at:into:)`` can read.
    package var readsPages: Bool { direct != nil }

    /// Reads past the page cache (O_DIRECT): three times as fast as through it into huge pages, and
    /// without copying.
    ///
    /// - Precondition: ``readsPages``, `offset` and the buffer's address are multiples of 4096, and
    ///   the range is inside the file and ends at such a multiple or at the file's end.
    /// - Throws: `FormatError` as ``read(at:into:)``.
    package func readPages(
        at offset: UInt64, into buffer: inout MutableRawSpan
    ) throws(FormatError) {
        guard let direct else { preconditionFailure("only files that read pages") }
        let whole = buffer.byteCount / Int(DirectFile.pageBytes) * Int(DirectFile.pageBytes)
        if whole > 0 {
            var pages = buffer._mutatingExtracting(first: whole)
            try fill(&pages, from: direct.file, at: offset)
        }
        guard whole < buffer.byteCount else { return }
        // The file's last, partial page: the kernel reads it only through the cache.
        var rest = buffer._mutatingExtracting(whole..<buffer.byteCount)
        try fill(&rest, from: file, at: offset + UInt64(whole))
    }

    /// The system call that failed in ``read(at:into:)``, which can only say so in words.
    package var systemError: SystemError? { failure.withLock { $0 } }

    package func read(at offset: UInt64, into buffer: inout MutableRawSpan) throws(FormatError) {
        let length = UInt64(buffer.byteCount)
        try checkRange(at: offset, count: length)
        try fill(&buffer, from: file, at: offset)
        for (index, byte) in firstBytes.enumerated().dropFirst(Int(clamping: offset))
        where index < Int(offset + length) {
            buffer.storeBytes(of: byte, toByteOffset: index - Int(offset), as: UInt8.self)
        }
        guard length >= Self.streamingBytes else { return }
        // Whole pages only; the page that the next read shares goes with the next read.
        let start = offset / 4096 * 4096
        file.dropPages(
            offset: start, byteCount: (offset + length) / 4096 * 4096 - start, writesFirst: false)
    }

    /// Drops a range's pages, which small reads left in the page cache. Advisory.
    package func forgetPages(at offset: UInt64, count: UInt64) {
        file.dropPages(offset: offset, byteCount: count, writesFirst: false)
    }

    private func fill(
        _ buffer: inout MutableRawSpan, from file: borrowing FileDescriptor, at offset: UInt64
    ) throws(FormatError) {
        let length = buffer.byteCount
        var count = 0
        do throws(SystemError) {
            while count < length {
                let end = min(length, count + Self.pieceBytesMax)
                var piece = buffer._mutatingExtracting(count..<end)
                let read = try file.read(at: offset + UInt64(count), into: &piece)
                progress?.note()
                count += read
                if count < end { break }
            }
        } catch {
            failure.withLock { $0 = error }
            throw FormatError(
                file: name, offset: offset, expected: "\(length) readable bytes",
                found: "\(error)")
        }
        guard count == length else {
            throw FormatError(
                file: name, offset: offset, expected: "\(length) bytes",
                found: "a file that became shorter, \(count) bytes")
        }
    }

    /// Whether the file's length is no longer what it was when it was opened.
    package func hasChangedSize() throws(SystemError) -> Bool {
        try file.byteCount() != byteCount
    }
}

/// A file opened with O_DIRECT, on which a first read gave what a read through the cache gives.
private final class DirectFile: Sendable {
    static let pageBytes: UInt64 = 4096
    let file: FileDescriptor

    init?(_ path: String, like other: borrowing FileDescriptor) {
        let count = Int(Self.pageBytes)
        guard let file = try? FileDescriptor(path: path, mode: .readDirect),
            let arena = try? MemoryArena(byteCount: 2 * count, of: .ofProcess(2 * count))
        else { return nil }
        var first = arena.mutableBytes(at: 0, byteCount: count)
        var second = arena.mutableBytes(at: count, byteCount: count)
        guard (try? file.read(at: 0, into: &first)) == count,
            (try? other.read(at: 0, into: &second)) == count
        else { return nil }
        for index in stride(from: 0, to: count, by: 8) {
            let one = unsafe first.unsafeLoad(fromByteOffset: index, as: UInt64.self)
            guard unsafe one == second.unsafeLoad(fromByteOffset: index, as: UInt64.self) else {
                return nil
            }
        }
        self.file = file
    }
}
