// A plan's pieces lie apart while they live, over each other where they never meet, and leave no
// hole.

import Memory
import TestSupport
import Testing

@Suite struct BufferPlanTests {
    private enum Piece: Hashable { case first, empty, second }

    private static let early = BufferLifetime(rawValue: 1)
    private static let late = BufferLifetime(rawValue: 2)

    @Test func piecesThatMeetLieOneAfterTheOther() {
        let plan = BufferPlan<Piece>([
            BufferPiece(.first, byteCount: 100, lifetime: [Self.early, Self.late]),
            BufferPiece(.empty, byteCount: 0, lifetime: .always),
            BufferPiece(.second, byteCount: 64, lifetime: Self.late)
        ])
        #expect(plan.range(of: .first) == 0..<128)
        #expect(plan.range(of: .empty).isEmpty)
        #expect(plan.range(of: .second) == 128..<192)
        #expect(plan.byteCount == 192)
        #expect(BufferPlan<Piece>([]).byteCount == 0)
    }

    @Test func piecesThatNeverMeetShare() {
        let plan = BufferPlan<Piece>([
            BufferPiece(.first, byteCount: 100, lifetime: Self.early),
            BufferPiece(.second, byteCount: 300, lifetime: Self.late)
        ])
        #expect(plan.range(of: .first) == 0..<128)
        #expect(plan.range(of: .second) == 0..<320)
        #expect(plan.byteCount == 320)
    }

    @Test func randomPlansNeitherOverlapNorWaste() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for _ in 0..<200 {
            let pieces = Self.pieces(&random)
            let plan = BufferPlan(pieces)
            for (index, piece) in pieces.enumerated() {
                let range = plan.range(of: piece.name)
                let spare = range.count - piece.byteCount
                #expect(0 <= spare && spare < BufferPlan<Int>.alignment, "seed \(seed)")
                #expect(range.lowerBound % BufferPlan<Int>.alignment == 0, "seed \(seed)")
                for other in pieces[..<index] {
                    let meets = !other.lifetime.isDisjoint(with: piece.lifetime)
                    let shares = range.overlaps(plan.range(of: other.name))
                    #expect(!(meets && shares), "seed \(seed)")
                }
            }
            let sizes = pieces.map { plan.range(of: $0.name).count }
            #expect(plan.byteCount <= sizes.reduce(0, +), "seed \(seed)")
            for stage in 0..<6 {
                let living = zip(pieces, sizes).filter {
                    $0.0.lifetime.contains(BufferLifetime(rawValue: 1 << stage))
                }
                #expect(plan.byteCount >= living.reduce(0) { $0 + $1.1 }, "seed \(seed)")
            }
        }
    }

    /// Of every byte either a living piece has it, or it is dead.
    @Test func whatDoesNotLiveIsDead() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for _ in 0..<50 {
            let pieces = Self.pieces(&random)
            let plan = BufferPlan(pieces)
            for stage in [Self.early, Self.late] {
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
