internal import CChecksum

/// SHA-256 (FIPS 180-4), the checksum that hubs give for their files.
package struct SHA256: Sendable {
    private static let blockBytes = 64

    private var state = checksum_sha256(
        words: (
            0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c,
            0x1f83_d9ab, 0x5be0_cd19
        ))
    /// The beginning of a block.
    private var waiting: [UInt8] = []
    private var byteCount: UInt64 = 0

    package init() {}

    /// Goes on where another was, by what that ``saved``.
    package init?(saved: [UInt8]) {
        guard saved.count >= Self.savedBytesMin, saved.count < Self.savedBytesMin + Self.blockBytes
        else { return nil }
        let words: [UInt32] = (0..<8).map { saved.littleEndian(at: 4 * $0) }
        state.words = (
            words[0], words[1], words[2], words[3], words[4], words[5], words[6], words[7]
        )
        byteCount = saved.littleEndian(at: 32)
        waiting = Array(saved[Self.savedBytesMin...])
        guard UInt64(waiting.count) == byteCount % UInt64(Self.blockBytes) else { return nil }
    }

    private static let savedBytesMin = 40

    /// All that it knows.
    package var saved: [UInt8] {
        let words = state.words
        var bytes: [UInt8] = []
        for word in [
            words.0, words.1, words.2, words.3, words.4, words.5, words.6, words.7
        ] { bytes.appendLittleEndian(word) }
        bytes.appendLittleEndian(byteCount)
        return bytes + waiting
    }

    package mutating func add(_ bytes: RawSpan) {
        byteCount += UInt64(bytes.byteCount)
        var rest = bytes
        if !waiting.isEmpty {
            let count = min(Self.blockBytes - waiting.count, rest.byteCount)
            append(rest.extracting(first: count))
            rest = rest.extracting(droppingFirst: count)
            guard waiting.count == Self.blockBytes else { return }
            let block = waiting
            waiting.removeAll(keepingCapacity: true)
            take(unsafe block.span.bytes)
        }
        let whole = rest.byteCount / Self.blockBytes * Self.blockBytes
        take(rest.extracting(first: whole))
        append(rest.extracting(droppingFirst: whole))
    }

    /// The checksum of everything added: 64 hexadecimal digits.
    package var hexadecimal: String { words.map(\.hexadecimal).joined() }

    /// The same as eight words, the first the most significant.
    package var words: [UInt32] {
        var copy = self
        var end: [UInt8] = [0x80]
        while (copy.waiting.count + end.count) % Self.blockBytes != Self.blockBytes - 8 {
            end.append(0)
        }
        let bits = copy.byteCount &* 8
        for shift in stride(from: 56, through: 0, by: -8) {
            end.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift)))
        }
        copy.add(unsafe end.span.bytes)
        let words = copy.state.words
        return [words.0, words.1, words.2, words.3, words.4, words.5, words.6, words.7]
    }

    private mutating func append(_ bytes: RawSpan) {
        unsafe bytes.withUnsafeBytes { unsafe waiting.append(contentsOf: $0) }
    }

    private mutating func take(_ blocks: RawSpan) {
        unsafe blocks.withUnsafeBytes { buffer in
            guard let start = buffer.baseAddress else { return }
            unsafe checksum_sha256_blocks(&state, start, buffer.count / Self.blockBytes)
        }
    }
}
