// Where parsers read from: a file in production, bytes in memory in tests and fuzzing. ModelFormat
// makes no system calls.

/// Random access to immutable bytes of known length.
package protocol ByteSource: Sendable {
    /// What messages call it: a file's name.
    var name: String { get }
    var byteCount: UInt64 { get }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// - Throws: `FormatError` when the range is not inside the source, or when reading fails.
    func read(at offset: UInt64, into buffer: inout MutableRawSpan) throws(FormatError)
}

extension ByteSource {
    /// - Throws: `FormatError` when the range is not inside the source.
    func checkRange(at offset: UInt64, count: UInt64) throws(FormatError) {
        guard offset <= byteCount, count <= byteCount - offset else {
            throw FormatError(
                file: name, offset: offset, expected: "\(count) bytes",
                found: "end of file at \(byteCount)")
        }
    }
}

/// Bytes in memory, for tests, fuzzing and small extents.
package struct ByteArraySource: ByteSource {
    package let name: String
    package let bytes: [UInt8]

    package init(name: String, bytes: [UInt8]) {
        self.name = name
        self.bytes = bytes
    }

    package var byteCount: UInt64 { UInt64(bytes.count) }

    package func read(at offset: UInt64, into buffer: inout MutableRawSpan) throws(FormatError) {
        let length = buffer.byteCount
        try checkRange(at: offset, count: UInt64(length))
        for index in 0..<length {
            buffer.storeBytes(
                of: bytes[Int(offset) + index], toByteOffset: index, as: UInt8.self)
        }
    }
}
