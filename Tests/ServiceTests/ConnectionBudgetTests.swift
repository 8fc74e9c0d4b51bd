// What clients may cost stays within the budget's term, whatever the budget.

import HTTPInterface
import Memory
import Service
import Testing

@Suite struct ConnectionBudgetTests {
    @Test(arguments: [1, 16, 25, 40, 50, 51, 56, 64, 100, 256, 1024, 65536])
    func partsFitTheTerm(_ mebibytes: UInt64) {
        let budget = ConnectionBudget(memoryBytes: mebibytes << 20, limitBytes: 1 << 40)
        let limits = budget.limits(descriptors: .max, queueMax: 64)
        let connections = limits.connectionsMax + limits.leavingMax
        let sum =
            limits.bodyBytesTotalMax + limits.answerBytesTotalMax
            + connections * (limits.readBytes + (8 << 10))
        #expect(sum <= budget.byteCount)
        #expect(limits.bodyBytesMax <= limits.bodyBytesTotalMax)
        #expect(limits.connectionsMax > limits.leavingMax && limits.leavingMax > 0)
        #expect(limits.generationsMax < limits.connectionsMax)
    }

    /// From 64 MiB on a sixteenth, and a body; below, a quarter of what exceeds 48 MiB, down to 1.5
    /// MiB.
    @Test(arguments: [(30, 1896), (50, 2136), (56, 2944), (64, 6144), (128, 12288)])
    func smallBudgetsLeaveMoreToTheModel(mebibytes: UInt64, kibibytes: Int) {
        let budget = ConnectionBudget(memoryBytes: mebibytes << 20, limitBytes: 1 << 40)
        #expect(abs(budget.byteCount - kibibytes << 10) < 1 << 16)
    }

    /// The term leaves room for the longest body that the interface takes, and not more.
    @Test func theLongestBodyIsThatOfTheInterface() {
        #expect(ConnectionBudget.bodyBytesMost == HTTPLimits().bodyBytesMax)
    }

    @Test func connectionsFollowTheDescriptors() {
        let budget = ConnectionBudget(memoryBytes: 1 << 30, limitBytes: 1 << 40)
        let plenty = budget.limits(descriptors: 1024, queueMax: 64)
        #expect(plenty == budget.limits(descriptors: .max, queueMax: 64))
        let few = budget.limits(descriptors: 100, queueMax: 64)
        #expect(few.connectionsMax + few.leavingMax <= 36)
        let none = budget.limits(descriptors: 10, queueMax: 64)
        #expect(none.connectionsMax > 0 && none.leavingMax > 0)
        #expect(plenty.generationsMax == 64)
    }
}
