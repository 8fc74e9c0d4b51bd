// Little-endian numbers and texts, with a CRC-32C at their end. Whatever is wrong is an error that
// says where.

package import ModelFormat

package struct ByteWriter {
    package var bytes: [UInt8] = []

    package init() {}

    package mutating func add(_ value: UInt32) {
        for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    package mutating func add(_ value: UInt64) {
        add(UInt32(truncatingIfNeeded: value))
        add(UInt32(truncatingIfNeeded: value >> 32))
    }

    package mutating func add(_ values: [Float]) {
        for value in values { add(value.bitPattern) }
    }

    /// The number of the text's bytes, and these.
    package mutating func add(_ text: String) {
        add(UInt32(text.utf8.count))
        bytes += text.utf8
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
    package var bytesLeft: Int { end - offset }

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

    package mutating func word() throws(FormatError) -> UInt32 {
        let start = offset
        _ = try take(4)
        return (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << (8 * $1) }
    }

    package mutating func number64() throws(FormatError) -> UInt64 {
        let low = try word()
        return UInt64(try word()) << 32 | UInt64(low)
    }

    package mutating func number(
        in range: ClosedRange<UInt32>, _ what: String
    ) throws(FormatError) -> Int {
        let value = try word()
        guard range.contains(value) else {
            throw error("\(range.lowerBound) to \(range.upperBound) \(what)", found: "\(value)")
        }
        return Int(value)
    }

    package mutating func text(bytesMax: UInt32, _ what: String) throws(FormatError) -> String {
        let count = try number(in: 0...bytesMax, "bytes of a \(what)")
        return String(decoding: try take(count), as: UTF8.self)
    }

    package mutating func float() throws(FormatError) -> Float {
        let value = Float(bitPattern: try word())
        guard value.isFinite else { throw error("a finite number", found: "\(value)") }
        return value
    }

    package mutating func floats(_ count: Int) throws(FormatError) -> [Float] {
        var values: [Float] = []
        // The file may end long before.
        values.reserveCapacity(min(count, bytesLeft / 4))
        for _ in 0..<count { values.append(try float()) }
        return values
    }

    package func expectEnd() throws(FormatError) {
        guard isAtEnd else { throw error("the end", found: "\(end - offset) more bytes") }
    }

    package func error(_ expected: String, found: String) -> FormatError {
        FormatError(file: file, offset: UInt64(offset), expected: expected, found: found)
    }
}
