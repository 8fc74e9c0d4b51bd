// What queries look at, against double precision; rows that are kept, against where they were.

import Compute
import LinuxSystem
import ModelFormat
import TestSupport
import Testing

@Suite struct GatheringTests {
    private static let formats = ["32", "16", "8", "4", "2", "k8v4"]

    private func attentionCase(
        _ format: String, tokens: Int, firstPosition: Int
    ) throws -> AttentionCase {
        var random = SplitMix(seed: 91)
        let shape = AttentionShape(
            headCount: 4, keyValueHeadCount: 2, keyHeadWidth: 24, valueHeadWidth: 16,
            scale: 0.2, format: try #require(KVFormat(format)))
        return AttentionCase(
            shape, tokens: tokens, firstPosition: firstPosition, nature: .ordinary,
            using: &random)
    }

    @Test(arguments: formats, [Looking.weights, .scores])
    func sumsAreOfAllQueries(format: String, looking: Looking) throws {
        let known = try attentionCase(format, tokens: 5, firstPosition: 200)
        let positions = 205
        var sums = [Float](repeating: .nan, count: 2 * positions)
        var span = sums.mutableSpan
        let source = unsafe AttentionSource(
            firstPosition: 200, tokens: 5, pool: known.pool.span.bytes,
            pageOffsets: known.pageOffsets.span, openPage: known.openPage)
        Kernels.best.sumAttention(
            known.shape, looking, queries: known.queries.span, source: source, into: &span,
            team: ComputeTeam(memberCount: 1))
        for head in 0..<2 {
            var expected = [Double](repeating: 0, count: positions)
            var largest = 0.0
            for query in 0..<10 {
                let (token, place) = (query / 2, query % 2 + 2 * head)
                let first = (token * 4 + place) * 24
                let scores = (0...200 + token).map { position in
                    let keys = known.keys(position, head: head)
                    return (0..<24).reduce(0.0) {
                        let factor = Double(known.queries[first + $1]) * 0.2
                        let key = keys.number(slot: position % 64, index: $1, in: known.pool)
                        largest = max(largest, abs(factor) * key.size)
                        return $0 + factor * key.value
                    }
                }
                if looking == .scores {
                    for (position, score) in scores.enumerated() { expected[position] += score }
                    continue
                }
                let most = scores.max() ?? 0
                let weights = scores.map { Mathematics.exponential($0 - most) }
                let total = weights.reduce(0, +)
                for (position, weight) in weights.enumerated() {
                    expected[position] += weight / total
                }
            }
            for position in 0..<positions {
                let found = Double(sums[head * positions + position])
                // Scores are sums of 10 times 24 products.
                let allowed = looking == .weights ? 1e-3 : 240 * 0x1p-22 * largest
                #expect(abs(found - expected[position]) < allowed, "\(head) \(position)")
            }
        }
    }

    /// Numbers stay as they were; what is coded anew is off by half a step, and by what halves
    /// round.
    @Test(arguments: formats) func keptRowsAreThoseThatWere(format: String) throws {
        let before = try attentionCase(format, tokens: 6, firstPosition: 250)
        var random = SplitMix(seed: 5)
        var rows: [Int32] = []
        for _ in 0..<2 {
            let order = (0..<Int32(256)).shuffled(using: &random)
            rows += order.prefix(Self.keptCount).sorted()
        }
        let after = gathered(before, rows)
        for head in 0..<2 {
            for place in 0..<Self.keptCount {
                let row = Int(rows[head * Self.keptCount + place])
                let new = parts(after, place, head)
                let old = parts(before, row, head, isNew: false)
                for kind in 0..<2 {
                    for index in 0..<old[kind].width {
                        let found = new[kind].number(slot: place % 64, index: index, in: after.pool)
                        let expected = old[kind].number(
                            slot: row % 64, index: index, in: before.pool)
                        let allowed = allowance(new[kind], place % 64, index, after, found.size)
                        #expect(abs(found.value - expected.value) <= allowed)
                    }
                }
            }
        }
    }

    private func gathered(_ known: AttentionCase, _ rows: [Int32]) -> AttentionCase {
        var (after, pool) = (known, known.pool)
        var span = pool.mutableSpan
        var bytes = unsafe span.mutableBytes
        Kernels.best.gather(
            known.shape.page, rows: rows.span, count: Self.keptCount, pool: &bytes,
            pageOffsets: known.pageOffsets.span, openPage: known.openPage,
            team: ComputeTeam(memberCount: 2))
        after.pool = pool
        return after
    }

    /// A whole page and one that is not.
    private static let keptCount = 127

    /// Keys and values of a place; of a new page that is not whole they are in the open one, where
    /// there is one.
    private func parts(
        _ known: AttentionCase, _ place: Int, _ head: Int, isNew: Bool = true
    ) -> [CachePart] {
        guard isNew, place >= 64, let open = known.openPage else {
            return [known.keys(place, head: head), known.values(place, head: head)]
        }
        let page = known.shape.page.open
        return [
            CachePart(
                isKeys: true, bits: page.format.keys.rawValue, width: page.keyHeadWidth,
                offset: open.offset + head * page.keyBytes),
            CachePart(
                isKeys: false, bits: page.format.values.rawValue, width: page.valueHeadWidth,
                offset: open.offset + page.headCount * page.keyBytes + head * page.valueBytes)
        ]
    }

    /// Half a step of a code and what halves round; where codes of whole pages become halves, what
    /// these round; else nothing.
    private func allowance(
        _ part: CachePart, _ slot: Int, _ index: Int, _ known: AttentionCase, _ size: Double
    ) -> Double {
        guard part.bits < 16 else { return known.openPage == nil ? 0 : 0x1p-10 * size }
        let byte = part.scaleBytes(slot: slot, index: index).step
        let bits = UInt16(known.pool[byte]) | UInt16(known.pool[byte + 1]) << 8
        return 0.65 * abs(Double(Float16(bitPattern: bits))) + 0x1p-9 * size
    }
}
