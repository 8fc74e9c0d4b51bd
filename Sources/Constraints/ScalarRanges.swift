// Sets of Unicode scalars as sorted ranges, and the sequences of bytes that their UTF-8 is.

/// A set of scalars. Surrogates are never in it: no UTF-8 has them.
struct ScalarRanges: Equatable, Sendable {
    /// Sorted, apart from each other, without surrogates.
    private(set) var ranges: [ClosedRange<UInt32>]

    private static let surrogates: ClosedRange<UInt32> = 0xD800...0xDFFF
    private static let last: UInt32 = 0x10FFFF

    init(_ parts: [ClosedRange<UInt32>]) {
        var pieces: [ClosedRange<UInt32>] = []
        for part in parts {
            let part = part.lowerBound...min(part.upperBound, max(part.lowerBound, Self.last))
            guard part.overlaps(Self.surrogates) else {
                pieces.append(part)
                continue
            }
            if part.lowerBound < 0xD800 { pieces.append(part.lowerBound...0xD7FF) }
            if part.upperBound > 0xDFFF { pieces.append(0xE000...part.upperBound) }
        }
        pieces.sort { $0.lowerBound < $1.lowerBound }
        ranges = []
        for piece in pieces {
            if let before = ranges.last, piece.lowerBound <= before.upperBound + 1 {
                let end = max(before.upperBound, piece.upperBound)
                ranges[ranges.count - 1] = before.lowerBound...end
            } else {
                ranges.append(piece)
            }
        }
    }

    init(_ scalars: some Sequence<Unicode.Scalar>) {
        self.init(scalars.map { $0.value...$0.value })
    }

    static let all = ScalarRanges([0...0x10FFFF])

    var isEmpty: Bool { ranges.isEmpty }

    /// Every scalar that is not in it.
    var inverted: ScalarRanges {
        var gaps: [ClosedRange<UInt32>] = []
        var next: UInt32 = 0
        for range in ranges {
            if range.lowerBound > next { gaps.append(next...range.lowerBound - 1) }
            next = range.upperBound + 1
        }
        if next <= Self.last { gaps.append(next...Self.last) }
        return ScalarRanges(gaps)
    }

    func union(_ other: ScalarRanges) -> ScalarRanges { ScalarRanges(ranges + other.ranges) }

    func intersection(_ other: ScalarRanges) -> ScalarRanges {
        inverted.union(other.inverted).inverted
    }

    func subtracting(_ other: ScalarRanges) -> ScalarRanges { intersection(other.inverted) }

    func contains(_ scalar: UInt32) -> Bool { ranges.contains { $0.contains(scalar) } }

    // MARK: UTF-8

    /// Sequences of one to four ranges of bytes: together the UTF-8 of these scalars, and nothing
    /// else (as in Thompson's "Regular Expression Search Algorithm" over Plan 9's runes).
    var utf8: [[ClosedRange<UInt8>]] {
        var sequences: [[ClosedRange<UInt8>]] = []
        for range in ranges {
            // Scalars of one length.
            for (first, last) in [
                (UInt32(0), UInt32(0x7F)), (0x80, 0x7FF), (0x800, 0xFFFF), (0x1_0000, 0x10_FFFF)
            ] {
                let (low, high) = (max(first, range.lowerBound), min(last, range.upperBound))
                if low <= high { Self.divide(low, high, into: &sequences) }
            }
        }
        return sequences
    }

    /// Divides scalars of one length until each continuation byte's range is independent of those
    /// before it.
    private static func divide(
        _ low: UInt32, _ high: UInt32, into sequences: inout [[ClosedRange<UInt8>]]
    ) {
        let (lowBytes, highBytes) = (encoded(low), encoded(high))
        for tail in stride(from: lowBytes.count - 1, to: 0, by: -1) {
            let mask: UInt32 = 1 << (6 * UInt32(tail)) - 1
            guard low & ~mask != high & ~mask else { continue }
            if low & mask != 0 {
                divide(low, low | mask, into: &sequences)
                divide((low | mask) + 1, high, into: &sequences)
                return
            }
            if high & mask != mask {
                divide(low, (high & ~mask) - 1, into: &sequences)
                divide(high & ~mask, high, into: &sequences)
                return
            }
        }
        sequences.append(zip(lowBytes, highBytes).map { $0...$1 })
    }

    private static func encoded(_ value: UInt32) -> [UInt8] {
        switch value {
        case 0..<0x80: [UInt8(value)]
        case 0x80..<0x800: [0xC0 | UInt8(value >> 6), continuation(value)]
        case 0x800..<0x1_0000:
            [0xE0 | UInt8(value >> 12), continuation(value >> 6), continuation(value)]
        default:
            [
                0xF0 | UInt8(value >> 18), continuation(value >> 12), continuation(value >> 6),
                continuation(value)
            ]
        }
    }

    private static func continuation(_ bits: UInt32) -> UInt8 { 0x80 | UInt8(bits & 0x3F) }
}
