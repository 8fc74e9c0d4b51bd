// The memory of an import: one extent's rows as the source has them, the same rows as the packed
// file has them, and the source's checksums, taken as the rows come in.

import ModelFormat

/// Two buffers, allocated once, each as big as the biggest extent.
struct PackingBuffers {
    private var rows: [UInt8]
    private var tiles: [UInt8]
    /// Per tensor the checksum of its bytes so far and how many those are.
    private var checksums: [String: (checksum: Checksum, byteCount: Int)] = [:]

    init(byteCount: Int) {
        rows = [UInt8](repeating: 0, count: byteCount)
        tiles = rows
    }

    /// Reads `count` bytes of a tensor, and zeros after them up to `paddedCount`.
    mutating func load(
        _ tensor: GGUFTensor, of gguf: GGUFFile, at byteOffset: Int, count: Int, paddedCount: Int
    ) throws(FormatError) {
        try Self.fill(&rows, count: count) { (part: inout MutableRawSpan) throws(FormatError) in
            try gguf.read(tensor, at: byteOffset, into: &part)
        }
        for index in count..<paddedCount { rows[index] = 0 }
        // Tied embeddings are read twice and count once.
        var seen = checksums[tensor.name] ?? (Checksum(), 0)
        guard seen.byteCount == byteOffset else { return }
        seen.checksum.add(rows[..<count])
        seen.byteCount += count
        checksums[tensor.name] = seen
    }

    /// Arranges the first `count` bytes of rows, whole tiles, as tiles.
    mutating func arrange(count: Int, format: WeightFormat, columns: Int) {
        let rows = rows
        let source = unsafe rows.span.bytes.extracting(0..<count)
        Self.fill(&tiles, count: count) { (part: inout MutableRawSpan) throws(Never) in
            RowTiles.interleave(source, into: &part, format: format, columns: columns)
        }
    }

    /// Hands the first `count` bytes of `buffer` to `body` for writing.
    private static func fill<Failure: Error>(
        _ buffer: inout [UInt8], count: Int,
        _ body: (inout MutableRawSpan) throws(Failure) -> Void
    ) throws(Failure) {
        precondition(count <= buffer.count, "plans size the buffers")
        try unsafe buffer.withUnsafeMutableBufferPointer { bytes throws(Failure) in
            guard let start = bytes.baseAddress else { return }
            var part = unsafe MutableRawSpan(_unsafeStart: start, byteCount: count)
            try body(&part)
        }
    }

    func rows(_ range: Range<Int>) -> ArraySlice<UInt8> { rows[range] }
    func tiles(_ range: Range<Int>) -> ArraySlice<UInt8> { tiles[range] }

    /// The checksum of a tensor's bytes; 0 for one that was never read.
    func checksum(of tensor: GGUFTensor) -> UInt32 {
        checksums[tensor.name]?.checksum.value ?? 0
    }

    /// The first `count` elements of the rows as little-endian 32-bit floats. Exact: both 16-bit
    /// formats are subsets.
    func widened(count: Int, format: WeightFormat) -> [UInt8] {
        if format == .f32 { return Array(rows[..<(count * 4)]) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count * 4)
        for index in 0..<count {
            let half = UInt16(rows[index * 2]) | UInt16(rows[index * 2 + 1]) << 8
            let bits =
                format == .bf16
                ? UInt32(half) << 16 : Self.widened(half)
            for shift in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: bits >> (shift * 8))) }
        }
        return bytes
    }

    /// IEEE 754 binary16 to binary32, bit by bit: portable, and not-a-number keeps its payload.
    private static func widened(_ half: UInt16) -> UInt32 {
        let sign = UInt32(half & 0x8000) << 16
        let exponent = UInt32(half >> 10 & 31)
        let fraction = UInt32(half & 1023)
        switch exponent {
        case 0 where fraction == 0: return sign
        case 0:
            // Subnormal: shift the leading one out of the fraction.
            let shift = UInt32(fraction.leadingZeroBitCount) - 21
            return sign | (113 - shift) << 23 | (fraction << shift & 1023) << 13
        case 31: return sign | 0x7F80_0000 | fraction << 13
        default: return sign | (exponent + 112) << 23 | fraction << 13
        }
    }
}
