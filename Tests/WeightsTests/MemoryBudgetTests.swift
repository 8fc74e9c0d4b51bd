// The budget's sum, and what is said of it.

import Memory
import TestSupport
import Testing

@Suite struct MemoryBudgetTests {
    @Test func termsAddUp() {
        var budget = MemoryBudget(limitBytes: 100)
        #expect(budget.fits && budget.leftBytes == 100 && budget.sumDescription == "")
        budget.add("process", 60)
        budget.add("ring", 0)
        budget.add("pages", 40)
        #expect(budget.fits && budget.leftBytes == 0 && budget.sumBytes == 100)
        budget.add("pages", 1)
        #expect(!budget.fits && budget.leftBytes == -1)
        #expect(budget.sumBytes(of: ["pages"]) == 41 && budget.sumBytes(of: ["none"]) == 0)
        #expect(budget.terms.map(\.name) == ["process", "ring", "pages", "pages"])
        #expect(budget.sumDescription == "process 0.1 MiB + pages 0.1 MiB + pages 0.1 MiB")
    }

    @Test(arguments: [
        (0, "0.0 MiB"), (1, "0.1 MiB"), (104_857, "0.1 MiB"), (104_858, "0.2 MiB"),
        (1 << 20, "1.0 MiB"), ((1 << 20) + 1, "1.1 MiB"), (25 << 20, "25.0 MiB"),
        (1 << 40, "1048576.0 MiB")
    ])
    func mebibytesAreRoundedUp(bytes: Int, text: String) {
        #expect(MemoryBudget.mebibytes(bytes) == text)
    }

    @Test func aRefusalSaysBothNumbers() {
        var budget = MemoryBudget(limitBytes: 1 << 20)
        budget.add("process", 16 << 20)
        budget.add("nothing", 0)
        let error = BudgetError(
            needed: budget, contextTokens: 512, shortContextTokens: 64,
            shortContextBytes: 12 << 20)
        #expect(
            error.description
                == "the memory limit is 1.0 MiB, but at least 16.0 MiB are needed for a context of "
                + "512 tokens (12.0 MiB for one of 64): process 16.0 MiB")
    }

    /// What is said to suffice does, and is not a tenth too much.
    @Test func randomBudgetsEqualAList() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for _ in 0..<200 {
            let limit = Int.random(in: 0...(1 << 32), using: &random)
            var budget = MemoryBudget(limitBytes: limit)
            var list: [(name: String, bytes: Int)] = []
            for _ in 0..<Int.random(in: 0...12, using: &random) {
                let name = "term \(Int.random(in: 0..<5, using: &random))"
                let bytes = Int.random(in: 0...(1 << 29), using: &random)
                budget.add(name, bytes)
                list.append((name, bytes))
                let sum = list.map(\.bytes).reduce(0, +)
                let chosen: Set = ["term 1", "term 4"]
                let ofChosen = list.filter { chosen.contains($0.name) }.map(\.bytes).reduce(0, +)
                #expect(budget.sumBytes == sum && budget.leftBytes == limit - sum, "seed \(seed)")
                #expect(budget.fits == (sum <= limit), "seed \(seed)")
                #expect(budget.sumBytes(of: chosen) == ofChosen, "seed \(seed)")
                let text = MemoryBudget.mebibytes(sum)
                let said = Double(text.dropLast(4)).map { $0 * 1_048_576 } ?? -1
                #expect(said >= Double(sum) - 1 && said < Double(sum) + 104_858, "seed \(seed)")
            }
            #expect(budget.terms.map(\.bytes) == list.map(\.bytes), "seed \(seed)")
        }
    }
}
