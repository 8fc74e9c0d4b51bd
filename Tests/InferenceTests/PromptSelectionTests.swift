// Which places of a prompt are kept, against sorting.

import Inference
import TestSupport
import Testing

@Suite struct PromptSelectionTests {
    private func chosen(_ count: Int, of weights: [Float]) -> [Int] {
        var places = [Int32](repeating: -1, count: count)
        var span = places.mutableSpan
        PromptSelection.choose(count, of: weights.span, into: &span)
        return places.map { Int($0) }
    }

    /// Many of them equal, so that it matters which of those come first.
    @Test(arguments: [1, 2, 5, 64, 257]) func theLargestAreChosen(count: Int) {
        var random = SplitMix(seed: UInt64(count))
        let weights = (0..<count).map { _ in
            Float(Int.random(in: 0..<40, using: &random)) / 16
        }
        for number in [0, 1, count / 3, count] {
            let ranked = weights.indices.sorted {
                weights[$0] > weights[$1] || weights[$0] == weights[$1] && $0 < $1
            }
            #expect(chosen(number, of: weights) == ranked.prefix(number).sorted())
        }
    }

    /// A damaged model may make anything of its weights; so many places there are all the same.
    @Test func numbersThatAreNoneAreChosenToo() {
        #expect(chosen(2, of: [1, .nan, 2, .infinity]) == [1, 3])
        #expect(chosen(3, of: [.nan, .nan, -.nan, .nan]).count == 3)
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6, 100]) func neighboursAreAdded(count: Int) {
        let weights = (0..<count).map { Float($0 * $0 % 17) }
        var pooled = weights
        var span = pooled.mutableSpan
        PromptSelection.pool(&span)
        for place in 0..<count {
            let near = max(0, place - 2)...min(count - 1, place + 2)
            #expect(pooled[place] == weights[near].reduce(0, +))
        }
    }

    @Test func stepsLeaveThoseThatAskTogether() {
        for most in [1, 8, 32, 33, 100] {
            var (pending, steps) = (250, [Int]())
            while pending > 0 {
                steps.append(PromptSelection.stepTokens(of: pending, atMost: most))
                pending -= steps[steps.count - 1]
            }
            #expect(steps.allSatisfy { (1...most).contains($0) })
            #expect(steps[steps.count - 1] >= min(most, PromptSelection.queryTokens))
        }
    }
}
