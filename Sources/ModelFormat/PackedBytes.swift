// Bytes in the packed file's order, and the few places where the packed format's parser views an
// array as raw bytes.

extension Checksum {
    /// Adds the bytes of an array.
    package mutating func add(_ bytes: ArraySlice<UInt8>) { add(unsafe bytes.span.bytes) }

    package static func of(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        of(unsafe bytes.span.bytes)
    }
}

extension [UInt8] {
    /// Appends an integer in the file's byte order.
    mutating func appendLittleEndian<Value: FixedWidthInteger & UnsignedInteger>(_ value: Value) {
        for index in 0..<Value.bitWidth / 8 {
            append(UInt8(truncatingIfNeeded: value >> Value(index * 8)))
        }
    }

    /// The integer at `offset`, which the caller knows to be inside.
    func littleEndian<Value: FixedWidthInteger & UnsignedInteger>(at offset: Int) -> Value {
        var value: Value = 0
        for index in 0..<Value.bitWidth / 8 {
            value |= Value(self[offset + index]) << Value(index * 8)
        }
        return value
    }
}

extension ByteSource {
    /// `count` bytes from `offset` on; the caller bounds `count`.
    package func packedBytes(at offset: UInt64, count: Int) throws(FormatError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        try read(at: offset, into: &raw)
        return bytes
    }
}
