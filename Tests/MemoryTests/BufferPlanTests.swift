// A plan's pieces lie one after the other, and its sum is where the last one ends.

import Memory
import TestSupport
import Testing

@Suite struct BufferPlanTests {
    private enum Piece: Hashable { case first, empty, second }

    @Test func piecesLieOneAfterTheOther() {
        var plan = BufferPlan<Piece>()
        #expect(plan.byteCount == 0)
        plan.add(.first, byteCount: 100)
        plan.add(.empty, byteCount: 0)
        plan.add(.second, byteCount: 64)
        #expect(plan.range(of: .first) == 0..<128)
        #expect(plan.range(of: .empty).isEmpty)
        #expect(plan.range(of: .second) == 128..<192)
        #expect(plan.byteCount == 192)
    }

    @Test func randomPlansNeitherOverlapNorWaste() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for _ in 0..<200 {
            var plan = BufferPlan<Int>()
            let sizes = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                Int.random(in: 0...5_000, using: &random)
            }
            for (name, size) in sizes.enumerated() { plan.add(name, byteCount: size) }
            var end = 0
            for (name, size) in sizes.enumerated() {
                let range = plan.range(of: name)
                #expect(range.lowerBound == end && range.count >= size, "seed \(seed)")
                #expect(range.count - size < BufferPlan<Int>.alignment, "seed \(seed)")
                end = range.upperBound
            }
            #expect(plan.byteCount == end, "seed \(seed)")
        }
    }
}
