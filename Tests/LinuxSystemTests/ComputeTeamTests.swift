// Every piece of every operation is computed exactly once, whatever the team's size.

import LinuxSystem
import Synchronization
import Testing

@Suite struct ComputeTeamTests {
    @Test(arguments: 1...8) func everyPieceOnce(members: Int) {
        let team = ComputeTeam(memberCount: members)
        for round in 0..<2000 {
            let pieces = round % 37
            let counts = Counts(pieces)
            team.run(pieces: pieces) { counts.add($0) }
            #expect(counts.values == Array(repeating: 1, count: pieces))
        }
    }

    /// Members that went to sleep wake for the next operation.
    @Test func sleepersWake() {
        let team = ComputeTeam(memberCount: 3)
        for _ in 0..<5 {
            Thread.sleep(microseconds: 5000)
            let counts = Counts(64)
            team.run(pieces: 64) { counts.add($0) }
            #expect(counts.values.allSatisfy { $0 == 1 })
        }
    }

    @Test func processorsAreKnown() {
        #expect(!Processors.allowed.isEmpty)
        #expect(Processors.allowed == Processors.allowed.sorted())
    }
}

private final class Counts: Sendable {
    private let counts: Mutex<[Int]>

    init(_ count: Int) { counts = Mutex(Array(repeating: 0, count: count)) }

    var values: [Int] { counts.withLock { $0 } }
    func add(_ index: Int) { counts.withLock { $0[index] += 1 } }
}
