internal import CChecksum

/// CRC-32C (Castagnoli, RFC 3720), the checksum of a packed file's extents.
package struct Checksum: Sendable {
    /// The checksum of everything added so far.
    package private(set) var value: UInt32 = 0

    package init() {}

    package mutating func add(_ bytes: RawSpan) {
        value = unsafe bytes.withUnsafeBytes { buffer in
            unsafe checksum_crc32c(value, buffer.baseAddress, buffer.count)
        }
    }

    package static func of(_ bytes: RawSpan) -> UInt32 {
        var checksum = Checksum()
        checksum.add(bytes)
        return checksum.value
    }
}
