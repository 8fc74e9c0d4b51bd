// The sum of a plan's terms, and what is said of it.

import Memory
import TestSupport
import Testing

@Suite struct MemoryPlanTests {
    @Test func termsAddUp() {
        var plan = MemoryPlan(limitBytes: 100)
        #expect(plan.fits && plan.leftBytes == 100 && plan.sumDescription == "")
        plan.add(.process, 60)
        plan.add(.denseRing, 0)
        plan.add(.keyValuePages, 40)
        #expect(plan.fits && plan.leftBytes == 0 && plan.sumBytes == 100)
        plan.add(.keyValuePages, 1)
        #expect(!plan.fits && plan.leftBytes == -1)
        #expect(plan[.keyValuePages] == 41 && plan[.vectors] == 0)
        #expect(plan.sumBytes(of: [.keyValuePages]) == 41 && plan.sumBytes(of: [.drafts]) == 0)
        #expect(plan.terms.map(\.name) == ["process", "dense ring", "KV pages"])
        #expect(plan.sumDescription == "process 0.1 MiB + KV pages 0.1 MiB")
    }

    @Test(arguments: [
        (0, "0.0 MiB"), (1, "0.1 MiB"), (104_857, "0.1 MiB"), (104_858, "0.2 MiB"),
        (1 << 20, "1.0 MiB"), ((1 << 20) + 1, "1.1 MiB"), (25 << 20, "25.0 MiB"),
        (1 << 40, "1048576.0 MiB")
    ])
    func mebibytesAreRoundedUp(bytes: Int, text: String) {
        #expect(MemoryPlan.mebibytes(bytes) == text)
    }

    @Test func aRefusalSaysBothNumbers() {
        var plan = MemoryPlan(limitBytes: 1 << 20)
        plan.add(.process, 16 << 20)
        plan.add(.drafts, 0)
        let error = BudgetError(
            needed: plan, contextTokens: 512, shortContextTokens: 64,
            shortContextBytes: 12 << 20)
        #expect(
            error.description
                == "the memory limit is 1.0 MiB, but at least 16.0 MiB are needed for a context of "
                + "512 tokens (12.0 MiB for one of 64): process 16.0 MiB")
    }

    /// What is said to suffice does, and is not a tenth too much.
    @Test func randomPlansEqualAList() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for _ in 0..<200 {
            let limit = Int.random(in: 0...(1 << 32), using: &random)
            var plan = MemoryPlan(limitBytes: limit)
            var list: [(term: MemoryTerm, bytes: Int)] = []
            for _ in 0..<Int.random(in: 0...12, using: &random) {
                let term = try #require(MemoryTerm.allCases.randomElement(using: &random))
                let bytes = Int.random(in: 0...(1 << 29), using: &random)
                plan.add(term, bytes)
                list.append((term, bytes))
                let sum = list.map(\.bytes).reduce(0, +)
                let chosen: Set = [MemoryTerm.process, .drafts, term]
                let ofChosen = list.filter { chosen.contains($0.term) }.map(\.bytes).reduce(0, +)
                #expect(plan.sumBytes == sum && plan.leftBytes == limit - sum, "seed \(seed)")
                #expect(plan.fits == (sum <= limit), "seed \(seed)")
                #expect(plan.sumBytes(of: chosen) == ofChosen, "seed \(seed)")
                let own = list.filter { $0.term == term }.map(\.bytes).reduce(0, +)
                #expect(plan[term] == own, "seed \(seed)")
                let text = MemoryPlan.mebibytes(sum)
                let said = Double(text.dropLast(4)).map { $0 * 1_048_576 } ?? -1
                #expect(said >= Double(sum) - 1 && said < Double(sum) + 104_858, "seed \(seed)")
            }
        }
    }
}
