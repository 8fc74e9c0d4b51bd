// Keys and values in codes: what a page holds after storing and packing, against the numbers that
// went in.

import Compute
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

/// One page of keys and values, and the numbers that it is filled from: `[64][head][width]`.
private struct FilledPage {
    let shape: AttentionShape
    let keys: [Float]
    let values: [Float]
    let offset = 4
    let openOffset: Int
    var pool: [UInt8]

    init(_ format: KVFormat, keyWidth: Int, valueWidth: Int, number: (Int) -> Float) {
        shape = AttentionShape(
            headCount: 2, keyValueHeadCount: 2, keyHeadWidth: keyWidth,
            valueHeadWidth: valueWidth, scale: 1, format: format)
        keys = (0..<64 * 2 * keyWidth).map(number)
        values = (0..<64 * 2 * valueWidth).map(number)
        openOffset = offset + shape.page.byteCount
        // Something that no code path may count on.
        pool = [UInt8](repeating: 0xA5, count: openOffset + shape.page.open.byteCount)
    }

    /// Stores tokens, `batch` at a time, and packs the page where the format takes it whole.
    mutating func store(_ kernels: Kernels, batch: Int = 64, team: ComputeTeam = alone) {
        let open = shape.format.takesWholePages ? OpenPage(index: 0, offset: openOffset) : nil
        for first in stride(from: 0, to: 64, by: batch) {
            store(kernels, first..<min(64, first + batch), open: open, team: team)
        }
        guard open != nil else { return }
        let (page, openOffset, offset) = (shape.page, openOffset, offset)
        var span = pool.mutableSpan
        var bytes = unsafe span.mutableBytes
        kernels.seal(page, from: openOffset, to: offset, pool: &bytes, team: team)
    }

    private mutating func store(
        _ kernels: Kernels, _ tokens: Range<Int>, open: OpenPage?, team: ComputeTeam
    ) {
        func rows(_ x: [Float]) -> [Float] {
            let width = x.count / 64
            return Array(x[tokens.lowerBound * width..<tokens.upperBound * width])
        }
        var query = [Float](repeating: 0, count: tokens.count * 2 * shape.keyHeadWidth)
        var (key, value) = (rows(keys), rows(values))
        let none: [Float] = []
        let (shape, offset) = (shape, offset)
        var querySpan = query.mutableSpan
        var keySpan = key.mutableSpan
        var valueSpan = value.mutableSpan
        var poolSpan = pool.mutableSpan
        var bytes = unsafe poolSpan.mutableBytes
        kernels.finishHeads(
            shape, HeadTreatment(normEpsilon: 0, rotatedWidth: 0, pairing: .halves),
            query: &querySpan, key: &keySpan, value: &valueSpan,
            angles: RotaryAngles(cosines: none.span, sines: none.span),
            firstPosition: tokens.lowerBound, tokens: tokens.count, pool: &bytes,
            pageOffsets: [offset].span, openPage: open, team: team)
    }

    func part(isKeys: Bool, head: Int) -> CachePart {
        let page = shape.page
        return CachePart(
            isKeys: isKeys, bits: (isKeys ? page.format.keys : page.format.values).rawValue,
            width: isKeys ? page.keyHeadWidth : page.valueHeadWidth,
            offset: offset
                + (isKeys
                    ? head * page.keyBytes
                    : page.headCount * page.keyBytes + head * page.valueBytes))
    }

    /// The number that went in; where the page was in halves first, as a half.
    func original(isKeys: Bool, head: Int, slot: Int, index: Int) -> Float {
        let (x, width) =
            isKeys ? (keys, shape.keyHeadWidth) : (values, shape.valueHeadWidth)
        let number = x[(slot * 2 + head) * width + index]
        return shape.format.takesWholePages ? Float(Float16(number)) : number
    }

    var packed: ArraySlice<UInt8> { pool[offset..<openOffset] }

    /// The bytes of a head's part.
    func bytes(isKeys: Bool, head: Int) -> ArraySlice<UInt8> {
        let part = part(isKeys: isKeys, head: head)
        return pool[part.offset..<part.offset + part.byteCount]
    }
}

struct AttentionCodeTests {
    private static let formats = KVBits.allCases.flatMap { keys in
        KVBits.allCases.map { KVFormat(keys: keys, values: $0) }
    }
    private static let widths = [1, 5, 16, 31, 33, 64, 72, 128, 300]

    @Test func bytesAreThoseOfTheLayout() {
        for format in Self.formats {
            for width in Self.widths {
                let page = KVPageShape(
                    format: format, headCount: 3, keyHeadWidth: width, valueHeadWidth: width + 1)
                let keys = CachePart(
                    isKeys: true, bits: format.keys.rawValue, width: width, offset: 0)
                let values = CachePart(
                    isKeys: false, bits: format.values.rawValue, width: width + 1, offset: 0)
                #expect(page.keyBytes == keys.byteCount && page.valueBytes == values.byteCount)
                #expect(page.byteCount == 3 * (keys.byteCount + values.byteCount))
            }
        }
    }

    /// Of a page in halves.
    @Test(arguments: [
        (64, [2.0, 0.53125, 0.28125, 0.1875]), (128, [2, 0.515625, 0.2734375, 0.1875])
    ])
    func sharesOfAPageInHalves(width: Int, shares: [Double]) {
        func bytes(_ bits: KVBits) -> Int {
            KVPageShape(
                format: KVFormat(bits), headCount: 8, keyHeadWidth: width, valueHeadWidth: width
            ).byteCount
        }
        let half = Double(bytes(.half))
        #expect([.float, .eight, .four, .two].map { Double(bytes($0)) / half } == shares)
    }

    /// Kinds of numbers: what models hold, rows alike, rows far from 0, tiny, large, nothing.
    private static let kinds: [(name: String, number: @Sendable (Int, Float) -> Float)] = [
        ("ordinary", { $0 % 64 == 7 ? $1 * 30 : $1 }), ("alike", { _, _ in 100.03 }),
        ("far from zero", { 100 + $1 / 1_000 + Float($0 % 3) }), ("tiny", { $1 * 1e-6 }),
        ("large", { max(-65_504, min($1 * 30_000, 65_504)) }),
        ("nothing", { index, _ in index % 2 == 0 ? 0 : -0.0 })
    ]

    /// A number in codes is off by half a step at most, and a step is no longer than its row's or
    /// group's range asks for.
    @Test(arguments: formats) func numbersAreOffByHalfAStep(format: KVFormat) {
        var random = SplitMix(seed: 0x54_0011)
        for (name, number) in Self.kinds {
            for width in [1, 5, 33, 64, 72] {
                var page = FilledPage(format, keyWidth: width, valueWidth: width + 2) {
                    number($0, random.gaussian())
                }
                page.store(.best)
                for isKeys in [true, false] {
                    for head in 0..<2 {
                        let part = page.part(isKeys: isKeys, head: head)
                        expectClose(page, part, head: head, "\(format) \(name) \(width)")
                    }
                }
            }
        }
    }

    /// The slots and indices that share a number's step.
    private func group(_ part: CachePart, slot: Int, index: Int) -> (Range<Int>, Range<Int>) {
        if part.bits == 4 && part.isKeys { return (0..<64, index..<index + 1) }
        guard part.bits == 2 else { return (slot..<slot + 1, 0..<part.width) }
        let (firstSlot, first) = (slot / 32 * 32, index / 32 * 32)
        return part.isKeys
            ? (firstSlot..<firstSlot + 32, index..<index + 1)
            : (slot..<slot + 1, first..<min(part.width, first + 32))
    }

    private func expectClose(
        _ page: FilledPage, _ part: CachePart, head: Int, _ comment: String
    ) {
        func original(_ slot: Int, _ index: Int) -> Double {
            Double(page.original(isKeys: part.isKeys, head: head, slot: slot, index: index))
        }
        for slot in 0..<64 {
            for index in 0..<part.width {
                let x = original(slot, index)
                let found = part.number(slot: slot, index: index, in: page.pool)
                guard part.bits < 16 else {
                    let exact = part.bits == 32 ? x : Double(Float16(x))
                    #expect(found.value == exact, "\(comment)")
                    continue
                }
                let scale = part.scaleBytes(slot: slot, index: index)
                let step = half(page.pool, scale.step)
                let slack = 0x1p-22 * found.size
                #expect(abs(found.value - x) <= step / 2 + slack, "\(comment) \(slot) \(index)")
                let (slots, indices) = group(part, slot: slot, index: index)
                let all = slots.flatMap { slot in indices.map { original(slot, $0) } }
                let (low, high) = (all.min() ?? 0, all.max() ?? 0)
                let range = high - low + 0x1p-10 * abs(low) + 0x1p-24
                let levels = Double(1 << part.bits - 1)
                #expect(step > 0 && step <= range / levels * (1 + 0x1p-10) + 0x1p-24, "\(comment)")
            }
        }
    }

    private func half(_ pool: [UInt8], _ byte: Int) -> Double {
        Double(Float16(bitPattern: UInt16(pool[byte]) | UInt16(pool[byte + 1]) << 8))
    }

    @Test(arguments: formats) func pagesDependNeitherOnSetNorOnBatchNorOnTeam(format: KVFormat) {
        var random = SplitMix(seed: 0x54_0012)
        let team = ComputeTeam(memberCount: 3)
        for nature in Nature.allCases {
            let numbers = random.floats(64 * 2 * 70, nature)
            let empty = FilledPage(format, keyWidth: 33, valueWidth: 70) { numbers[$0] }
            var first = empty
            first.store(Kernels.available[0])
            for kernels in Kernels.available {
                for batch in [1, 7, 64] {
                    var other = empty
                    other.store(kernels, batch: batch, team: team)
                    // A NaN equals any other only where numbers are plain.
                    if nature == .anyBits && !(format.keys.isCode && format.values.isCode) {
                        continue
                    }
                    #expect(other.packed == first.packed, "\(kernels.name) \(nature) \(batch)")
                }
            }
        }
    }

    /// Packing a page of halves gives the codes that storing the same numbers gives.
    @Test(arguments: [KVBits.eight, .four]) func packingIsStoring(bits: KVBits) {
        var random = SplitMix(seed: 0x54_0013)
        let numbers = (0..<64 * 2 * 40).map { _ in Float(Float16(random.gaussian())) }
        // Keys of 4 bits are packed alone.
        let format = KVFormat(keys: .eight, values: bits)
        var stored = FilledPage(format, keyWidth: 40, valueWidth: 40) { numbers[$0] }
        stored.store(.best)
        for isKeys in bits == .eight ? [true, false] : [false] {
            let format = KVFormat(keys: isKeys ? bits : .two, values: isKeys ? .two : bits)
            var packed = FilledPage(format, keyWidth: 40, valueWidth: 40) { numbers[$0] }
            packed.store(.best)
            for head in 0..<2 {
                let found = packed.bytes(isKeys: isKeys, head: head)
                #expect(Array(found) == Array(stored.bytes(isKeys: isKeys, head: head)))
            }
        }
    }

    /// What no half can hold is bounded; an infinity or NaN makes all that share its step NaN, and
    /// nothing else.
    @Test(arguments: [KVBits.eight, .four]) func numbersThatAreNotFinite(bits: KVBits) {
        let format = KVFormat(keys: .eight, values: bits)
        var page = FilledPage(format, keyWidth: 40, valueWidth: 40) { index in
            switch index / 80 {
            case 3: index % 40 == 5 ? .infinity : 1
            case 4: index % 40 == 39 ? .nan : 1
            case 5: index % 2 == 0 ? 1e30 : -1e30
            default: 1
            }
        }
        page.store(.best)
        for isKeys in [true, false] {
            let part = page.part(isKeys: isKeys, head: 1)
            for slot in 0..<64 {
                for index in 0..<40 {
                    let value = part.number(slot: slot, index: index, in: page.pool).value
                    switch slot {
                    case 3, 4: #expect(value.isNaN)
                    case 5:
                        #expect(abs(abs(value) - 65_504) < 65)
                        #expect((value > 0) == (index % 2 == 0))
                    default: #expect(value == 1)
                    }
                }
            }
        }
    }

    /// A page that is still open is attended exactly as one in halves.
    @Test func theOpenPageIsHalves() {
        var random = SplitMix(seed: 0x54_0014)
        let queries = (0..<3 * 2 * 40).map { _ in random.gaussian() }
        let numbers = (0..<64 * 2 * 40).map { _ in random.gaussian() }
        func attended(_ format: KVFormat) -> [Float] {
            var page = FilledPage(format, keyWidth: 40, valueWidth: 40) { numbers[$0] }
            page.store(.best)
            var y = [Float](repeating: 0, count: queries.count)
            var span = y.mutableSpan
            var none = MutableSpan<Float>()
            let open = OpenPage(index: 0, offset: page.openOffset)
            let source = unsafe AttentionSource(
                firstPosition: 50, tokens: 3, pool: page.pool.span.bytes,
                pageOffsets: [page.offset].span,
                openPage: format.takesWholePages ? open : nil)
            Kernels.best.attend(
                page.shape, queries: queries.span, source: source, partials: &none, into: &span,
                team: alone)
            return y
        }
        let exact = attended(KVFormat(.half))
        #expect(attended(KVFormat(.two)) == exact)
        #expect(attended(KVFormat(keys: .four, values: .two)) == exact)
        #expect(attended(KVFormat(.four)) == exact)
        #expect(attended(KVFormat(keys: .eight, values: .four)) != exact)
    }
}
