// The checksum of a long run of bytes from the checksums of its pieces, in any order: threads read
// pieces as they come, and a source's digest does not tell.

/// Adds up CRC-32C values of the pieces of one run of bytes.
///
/// A CRC is linear: that of a whole is the exclusive-or of its pieces', each multiplied by x to the
/// number of bits that follow it, modulo the polynomial.
struct ChecksumSum: Sendable {
    /// The whole's checksum once every piece was added once; 0 for no piece.
    private(set) var value: UInt32

    init(_ value: UInt32 = 0) { self.value = value }

    /// - Parameters:
    ///   - checksum: of the piece's bytes.
    ///   - bytesAfter: how many bytes of the whole follow the piece.
    mutating func add(_ checksum: UInt32, bytesAfter: Int) {
        value ^= Self.share(of: checksum, bytesAfter: bytesAfter)
    }

    /// What a piece adds to the whole's checksum.
    static func share(of checksum: UInt32, bytesAfter: Int) -> UInt32 {
        product(power(ofBytes: bytesAfter), checksum)
    }

    /// Adds what the strided pieces of a run make together.
    mutating func add(_ value: UInt32) { self.value ^= value }

    /// x^(8 count) modulo the polynomial; the highest bit is x^0.
    fileprivate static func power(ofBytes count: Int) -> UInt32 {
        var remaining = count
        var square: UInt32 = 1 << 23  // x^8
        var result: UInt32 = 1 << 31
        while remaining > 0 {
            if remaining & 1 == 1 { result = product(square, result) }
            square = product(square, square)
            remaining >>= 1
        }
        return result
    }

    fileprivate static func product(_ first: UInt32, _ second: UInt32) -> UInt32 {
        var result: UInt32 = 0
        var shifted = second
        for bit in 0..<32 {
            if first >> (31 - bit) & 1 == 1 { result ^= shifted }
            shifted = shifted >> 1 ^ (shifted & 1 == 1 ? 0x82F6_3B78 : 0)
        }
        return result
    }
}

/// The share in a whole's checksum of pieces that are equally far apart, added from front to back.
struct StridedChecksum {
    private var value: UInt32 = 0
    private let step: UInt32

    /// - Parameter rowBytes: from one piece's end to the next one's.
    init(rowBytes: Int) { step = ChecksumSum.power(ofBytes: rowBytes) }

    mutating func add(_ checksum: UInt32) { value = ChecksumSum.product(step, value) ^ checksum }

    /// - Parameter bytesAfterLast: bytes of the whole after the last piece.
    func value(bytesAfterLast: Int) -> UInt32 {
        ChecksumSum.product(ChecksumSum.power(ofBytes: bytesAfterLast), value)
    }
}
