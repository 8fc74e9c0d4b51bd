// A KV cache with queries, and softmax attention over it in double precision.

import Compute
import Glibc
import LinuxSystem
import ModelFormat
import TestSupport

/// A head's keys or values in a page, read and written from the layout as ckernels.h states it.
struct CachePart {
    /// Keys, or values.
    let isKeys: Bool
    let bits: Int
    let width: Int
    /// The byte of the pool where it starts.
    let offset: Int

    /// Where a plain number is, from the part's start.
    func numberByte(slot: Int, index: Int) -> Int {
        (isKeys ? index * 64 + slot : slot * width + index) * bits / 8
    }

    /// The word of a code, and its lowest bit there.
    func codePlace(slot: Int, index: Int) -> (byte: Int, shift: Int) {
        let count = 32 / bits
        let word =
            isKeys ? index / count * 64 + slot : slot / count * width + index
        return (offset + 4 * word, bits * ((isKeys ? index : slot) % count))
    }

    var codeBytes: Int {
        let count = 32 / bits
        return isKeys ? (width + count - 1) / count * 4 * 64 : 64 / count * 4 * width
    }

    private var stepCount: Int {
        switch (bits, isKeys) {
        case (4, true): width
        case (2, true): 2 * width
        case (2, false): (width + 31) / 32 * 64
        default: 64
        }
    }

    /// The bytes of the step and of the minimum that a code has.
    func scaleBytes(slot: Int, index: Int) -> (step: Int, minimum: Int) {
        let place =
            switch (bits, isKeys) {
            case (4, true): index
            case (2, true): slot / 32 * width + index
            case (2, false): index / 32 * 64 + slot
            default: slot
            }
        let step = offset + codeBytes + 2 * place
        return (step, step + 2 * stepCount)
    }

    var byteCount: Int { bits < 16 ? codeBytes + 4 * stepCount : 64 * width * bits / 8 }

    /// A number, and the magnitudes that it is a sum of.
    func number(slot: Int, index: Int, in pool: [UInt8]) -> (value: Double, size: Double) {
        func half(_ byte: Int) -> Double {
            Double(Float16(bitPattern: UInt16(pool[byte]) | UInt16(pool[byte + 1]) << 8))
        }
        func word(_ byte: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(pool[byte + $1]) << (8 * $1) }
        }
        let at = offset + (bits < 16 ? 0 : numberByte(slot: slot, index: index))
        switch bits {
        case 32:
            let value = Double(Float(bitPattern: word(at)))
            return (value, abs(value))
        case 16: return (half(at), abs(half(at)))
        default:
            let (byte, shift) = codePlace(slot: slot, index: index)
            let code = Double(word(byte) >> UInt32(shift) & (1 << UInt32(bits) - 1))
            let scale = scaleBytes(slot: slot, index: index)
            let (product, minimum) = (code * half(scale.step), half(scale.minimum))
            return (product + minimum, abs(product) + abs(minimum))
        }
    }
}

/// A filled KV cache and queries.
struct AttentionCase {
    let shape: AttentionShape
    let tokens: Int
    let firstPosition: Int
    let queries: [Float]
    /// Where values are keys too.
    let valueQueries: [Float]?
    var pool: [UInt8]
    let pageOffsets: [Int]
    /// The last page, where the format takes whole pages only.
    let openPage: OpenPage?

    init(
        _ shape: AttentionShape, tokens: Int, firstPosition: Int, nature: Nature,
        using random: inout SplitMix
    ) {
        self.shape = shape
        self.tokens = tokens
        self.firstPosition = firstPosition
        queries = random.floats(tokens * shape.headCount * shape.keyHeadWidth, nature)
        valueQueries =
            shape.scoresValues
            ? random.floats(tokens * shape.headCount * shape.valueHeadWidth, nature) : nil
        let pages = (firstPosition + tokens + 63) / 64
        // Pages in any order, with gaps, at odd multiples of their alignment.
        let page = shape.page
        let (alignment, gap) = (page.alignment, 17 * page.alignment)
        let order = Array(0..<pages).shuffled(using: &random)
        pageOffsets = order.map { $0 * (page.byteCount + gap) + alignment }
        let open = pages * (page.byteCount + gap) + alignment
        let isOpen = page.format.takesWholePages
        openPage = isOpen ? OpenPage(index: pages - 1, offset: open) : nil
        pool = [UInt8](repeating: 0xFF, count: open + (isOpen ? page.open.byteCount : 0))
        for index in 0..<pages {
            for head in 0..<shape.keyValueHeadCount {
                fill(keys(64 * index, head: head), nature, using: &random)
                fill(values(64 * index, head: head), nature, using: &random)
            }
        }
    }

    private mutating func fill(
        _ part: CachePart, _ nature: Nature, using random: inout SplitMix
    ) {
        var first = 0
        if part.bits < 16 {
            first = part.codeBytes
            for byte in part.offset..<part.offset + first {
                pool[byte] = .random(in: 0...255, using: &random)
            }
        }
        let size = part.bits == 32 ? 4 : 2
        let numbers = random.floats((part.byteCount - first) / size, nature)
        for (index, number) in numbers.enumerated() {
            let number = nature == .extreme ? number / 1e16 : number
            store(number, at: part.offset + first + size * index, size: size)
        }
    }

    private mutating func store(_ value: Float, at offset: Int, size: Int) {
        let bits = size == 2 ? UInt32(Float16(value).bitPattern) : value.bitPattern
        for byte in 0..<size { pool[offset + byte] = UInt8(truncatingIfNeeded: bits >> (8 * byte)) }
    }

    func result(
        _ kernels: Kernels, tokens range: Range<Int>, partialCount: Int = 0,
        team: ComputeTeam = alone
    ) -> [Float] {
        let queryWidth = shape.headCount * shape.keyHeadWidth
        let part = Array(queries[range.lowerBound * queryWidth..<range.upperBound * queryWidth])
        let valueWidth = shape.headCount * shape.valueHeadWidth
        let valuePart = valueQueries.map {
            Array($0[range.lowerBound * valueWidth..<range.upperBound * valueWidth])
        }
        let count = range.count * valueWidth
        var y = [Float](repeating: 3, count: count)
        var span = y.mutableSpan
        var partials = [Float](repeating: .nan, count: partialCount)
        var room = partials.mutableSpan
        let source = unsafe AttentionSource(
            firstPosition: firstPosition + range.lowerBound, tokens: range.count,
            pool: pool.span.bytes, pageOffsets: pageOffsets.span, openPage: openPage)
        kernels.attend(
            shape, queries: part.span, valueQueries: valuePart?.span, source: source,
            partials: &room, into: &span, team: team)
        return y
    }

    /// The same in calls that each see some spans, and pages of their own spans alone.
    func resultInParts(_ kernels: Kernels, spansPerCall: Int, team: ComputeTeam) -> [Float] {
        var y = [Float](repeating: 3, count: tokens * shape.headCount * shape.valueHeadWidth)
        var states = [Float](repeating: .nan, count: tokens * shape.headCount * 2)
        var span = y.mutableSpan
        var kept = states.mutableSpan
        let spansBefore = firstPosition / AttentionShape.spanTokens
        for first in stride(from: 0, through: spansBefore, by: spansPerCall) {
            let isLast = first + spansPerCall > spansBefore
            let end = isLast ? nil : first + spansPerCall
            let pages = 8 * first..<(end.map { 8 * $0 } ?? pageOffsets.count)
            let offsets = pageOffsets.enumerated().map { pages.contains($0) ? $1 : -1 }
            let source = unsafe AttentionSource(
                firstPosition: firstPosition, tokens: tokens, pool: pool.span.bytes,
                pageOffsets: offsets.span, openPage: openPage)
            kernels.attend(
                shape, spans: SpanRange(first: first, end: end), queries: queries.span,
                valueQueries: valueQueries?.span, source: source, states: &kept, into: &span,
                team: team)
        }
        return y
    }

    private func page(of position: Int) -> (offset: Int, shape: KVPageShape) {
        guard let openPage, openPage.index == position / 64 else {
            return (pageOffsets[position / 64], shape.page)
        }
        return (openPage.offset, shape.page.open)
    }

    func keys(_ position: Int, head: Int) -> CachePart {
        let (offset, page) = page(of: position)
        return CachePart(
            isKeys: true, bits: page.format.keys.rawValue, width: page.keyHeadWidth,
            offset: offset + head * page.keyBytes)
    }

    func values(_ position: Int, head: Int) -> CachePart {
        let (offset, page) = page(of: position)
        return CachePart(
            isKeys: false, bits: page.format.values.rawValue, width: page.valueHeadWidth,
            offset: offset + page.headCount * page.keyBytes + head * page.valueBytes)
    }

    /// Makes a position's keys and values NaN; of keys in 4 or 2 bits, whose steps are other
    /// positions' too, it changes the codes.
    mutating func spoil(_ position: Int) {
        for head in 0..<shape.keyValueHeadCount {
            for part in [keys(position, head: head), values(position, head: head)] {
                for index in 0..<part.width { spoil(part, slot: position % 64, index: index) }
            }
        }
    }

    private mutating func spoil(_ part: CachePart, slot: Int, index: Int) {
        guard part.bits < 16 else {
            let byte = part.offset + part.numberByte(slot: slot, index: index)
            store(.nan, at: byte, size: part.bits / 8)
            return
        }
        let (byte, shift) = part.codePlace(slot: slot, index: index)
        pool[byte + shift / 8] ^= UInt8(1 << part.bits - 1) << UInt8(shift % 8)
        if part.bits <= 4 && part.isKeys { return }
        let scale = part.scaleBytes(slot: slot, index: index)
        store(.nan, at: scale.step, size: 2)
        store(.nan, at: scale.minimum, size: 2)
    }

    private func valueQueries(token: Int, head: Int) -> ArraySlice<Float> {
        let start = (token * shape.headCount + head) * shape.valueHeadWidth
        return valueQueries?[start..<start + shape.valueHeadWidth] ?? []
    }

    /// Softmax attention of one token's head in double precision, and the error to allow as
    /// ckernels.h states it.
    func exact(token: Int, head: Int) -> (values: [Double], bound: Double) {
        let keyHead = head / (shape.headCount / shape.keyValueHeadCount)
        let query = (token * shape.headCount + head) * shape.keyHeadWidth
        let last = firstPosition + token
        let positions = shape.begin(of: last)...last
        var largestSum = 0.0
        let scores = positions.map { position in
            let keys = keys(position, head: keyHead)
            var (sum, size) = (0.0, 0.0)
            for index in 0..<shape.keyHeadWidth {
                let factor = Double(queries[query + index])
                let key = keys.number(slot: position % 64, index: index, in: pool)
                sum += factor * key.value
                size += abs(factor) * key.size
            }
            let values = self.values(position, head: keyHead)
            for (index, factor) in valueQueries(token: token, head: head).enumerated() {
                let value = values.number(slot: position % 64, index: index, in: pool)
                sum += Double(factor) * value.value
                size += abs(Double(factor)) * value.size
            }
            largestSum = max(largestSum, size)
            let score = sum * Double(shape.scale)
            guard let cap = shape.scoreCap.map(Double.init) else { return score }
            return cap * tanh(score / cap)
        }
        let sink = shape.sinks.map { Double($0[head]) } ?? -.infinity
        let largest = max(scores.max() ?? 0, sink)
        let weights = scores.map { exp($0 - largest) }
        let sum = weights.reduce(exp(sink - largest), +)
        var result = [Double](repeating: 0, count: shape.valueHeadWidth)
        var largestValue = 0.0
        for (weight, position) in zip(weights, positions) {
            let values = values(position, head: keyHead)
            for index in 0..<shape.valueHeadWidth {
                let value = values.number(slot: position % 64, index: index, in: pool)
                result[index] += weight / sum * value.value
                largestValue = max(largestValue, value.size)
            }
        }
        let width = shape.keyHeadWidth + (shape.scoresValues ? shape.valueHeadWidth : 0)
        let isCode = shape.format.keys.isCode || shape.scoresValues && shape.format.values.isCode
        let scoreError =
            Double(width) * 0x1p-24 * Double(shape.scale) * largestSum
            * (isCode ? 2 : 1) + Double(shape.scoreCap ?? 0) * 0x1p-21
        return (result, (2 * scoreError + 2e-6) * largestValue)
    }
}
