// A plan's pieces lie one after the other, and its sum is where the last one ends.

import Memory
import TestSupport
import Testing

@Suite struct BufferPlanTests {
    private enum Piece: Hashable { case first, empty, second }

    private static let early = BufferLifetime(rawValue: 1)
    private static let late = BufferLifetime(rawValue: 2)

    @Test func piecesLieOneAfterTheOther() {
        let plan = BufferPlan<Piece>([
            BufferPiece(.first, byteCount: 100, lifetime: .always),
            BufferPiece(.empty, byteCount: 0, lifetime: .always),
            BufferPiece(.second, byteCount: 64, lifetime: .always)
        ])
        #expect(plan.range(of: .first) == 0..<128)
        #expect(plan.range(of: .empty).isEmpty)
        #expect(plan.range(of: .second) == 128..<192)
        #expect(plan.byteCount == 192)
        #expect(BufferPlan<Piece>([]).byteCount == 0)
    }

    @Test func randomPlansNeitherOverlapNorWaste() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for _ in 0..<200 {
            let pieces = Self.pieces(&random)
            let plan = BufferPlan(pieces)
            var end = 0
            for piece in pieces {
                let range = plan.range(of: piece.name)
                #expect(range.lowerBound == end && range.count >= piece.byteCount, "seed \(seed)")
                #expect(
                    range.count - piece.byteCount < BufferPlan<Int>.alignment, "seed \(seed)")
                end = range.upperBound
            }
            #expect(plan.byteCount == end, "seed \(seed)")
        }
    }

    /// Of every byte either a living piece has it, or it is dead.
    @Test func whatDoesNotLiveIsDead() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for _ in 0..<50 {
            let pieces = Self.pieces(&random)
            let plan = BufferPlan(pieces)
            for stage in [Self.early, Self.late, .always] {
                var owners = [Int](repeating: 0, count: plan.byteCount)
                for piece in pieces where !piece.lifetime.isDisjoint(with: stage) {
                    for byte in plan.range(of: piece.name) { owners[byte] += 1 }
                }
                for range in plan.ranges(deadIn: stage) {
                    for byte in range { owners[byte] += 1 }
                }
                #expect(owners.allSatisfy { $0 == 1 }, "seed \(seed)")
            }
        }
    }

    private static func pieces(_ random: inout SplitMix) -> [BufferPiece<Int>] {
        (0..<Int.random(in: 0...40, using: &random)).map { name in
            BufferPiece(
                name, byteCount: Int.random(in: 0...5_000, using: &random),
                lifetime: BufferLifetime(rawValue: UInt32.random(in: 1...63, using: &random)))
        }
    }
}
