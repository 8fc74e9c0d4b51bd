// The small binary files of our own beside models and from measurements: little-endian numbers with
// a CRC-32C at their end. Whatever is wrong with one is an error that says where.

package import LinuxSystem
package import ModelFormat

/// Reading and writing such a file whole.
package enum SavedFile {
    /// A file's bytes, at most the first `countMax`; nil where there is none.
    package static func bytes(of path: String, countMax: Int) throws(SystemError) -> [UInt8]? {
        guard FileSystem.exists(path) else { return nil }
        let file = try FileDescriptor(path: path, mode: .read)
        let count = min(try file.byteCount(), UInt64(countMax))
        var bytes = [UInt8](repeating: 0, count: Int(count))
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        let read = try file.read(at: 0, into: &raw)
        bytes.removeLast(bytes.count - read)
        return bytes
    }

    /// Puts a file under `path`, under a temporary name first.
    package static func write(_ bytes: [UInt8], to path: String) throws(SystemError) {
        let temporary = path + ".part"
        let file = try FileDescriptor(path: temporary, mode: .create)
        do throws(SystemError) {
            try unsafe file.write(bytes.span.bytes, at: 0)
            try FileSystem.rename(temporary, to: path)
        } catch {
            try? FileSystem.remove(temporary)
            throw error
        }
    }
}

package struct ByteWriter {
    package var bytes: [UInt8] = []

    package init() {}

    package mutating func add(_ value: UInt32) {
        for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    package mutating func addChecksum() { unsafe add(Checksum.of(bytes.span.bytes)) }
}

package struct ByteReader {
    private let bytes: [UInt8]
    private let file: String
    private var offset = 0
    private var end: Int

    package init(_ bytes: [UInt8], file: String) {
        self.bytes = bytes
        self.file = file
        end = bytes.count
    }

    package var isAtEnd: Bool { offset == end }

    /// Compares the last four bytes with the checksum of the others, and leaves them out from then
    /// on.
    package mutating func checkSum() throws(FormatError) {
        guard bytes.count >= 4 else { throw error("a checksum", found: "\(bytes.count) bytes") }
        end = bytes.count - 4
        offset = end
        let stored = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[end + $1]) << (8 * $1) }
        let found = unsafe Checksum.of(bytes.span.bytes.extracting(0..<end))
        guard stored == found else { throw error("checksum \(stored)", found: "\(found)") }
        offset = 0
    }

    package mutating func take(_ count: Int) throws(FormatError) -> ArraySlice<UInt8> {
        guard count <= end - offset else {
            throw error("\(count) more bytes", found: "\(end - offset)")
        }
        offset += count
        return bytes[offset - count..<offset]
    }

    package mutating func byte() throws(FormatError) -> UInt8 {
        guard offset < end else { throw error("another byte", found: "the end") }
        offset += 1
        return bytes[offset - 1]
    }

    package mutating func word() throws(FormatError) -> UInt32 {
        let start = offset
        _ = try take(4)
        return (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << (8 * $1) }
    }

    package mutating func expect(_ magic: [UInt8], _ meaning: String) throws(FormatError) {
        guard try take(magic.count).elementsEqual(magic) else {
            offset = 0
            throw error(meaning, found: "something else")
        }
    }

    package func expectEnd() throws(FormatError) {
        guard isAtEnd else { throw error("the end", found: "\(end - offset) more bytes") }
    }

    package func error(_ expected: String, found: String) -> FormatError {
        FormatError(file: file, offset: UInt64(offset), expected: expected, found: found)
    }
}
