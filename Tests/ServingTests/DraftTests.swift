// Where drafts come from and when they are made: the trie against a plain count of all n-grams, the
// control against invented machines.

import Inference
import Knobs
import ModelFormat
import TestSupport
import Testing

@Suite struct DraftTests {
    /// Every guess is what came most often (of these, last) after the longest run of tokens that
    /// occurred before.
    @Test func guessesAreThoseOfAPlainCount() {
        let seed: UInt64 = 20_264
        print("seed \(seed)")
        var generator = SplitMix(seed: seed)
        for alphabet in [1, 2, 3, 7, 40] {
            var trie = DraftTrie(windowTokens: 1024)
            var text: [Int] = []
            for _ in 0..<300 {
                let token = Int.random(in: 0..<alphabet, using: &generator)
                text.append(token)
                trie.append(TokenID(token))
                let drafts = trie.drafts(count: 6)
                #expect(drafts == Self.plainDrafts(after: text, count: 6), "\(text)")
                #expect(trie.drafts(count: 2) == Array(drafts.prefix(2)))
            }
        }
    }

    @Test func aLoopIsForeseenAndAFirstWordIsNot() {
        var trie = DraftTrie(windowTokens: 64)
        #expect(trie.drafts(count: 4).isEmpty)
        for token in [5, 6, 7, 5, 6] {
            trie.append(TokenID(token))
        }
        #expect(trie.drafts(count: 5).map(\.token.rawValue) == [7, 5, 6, 7, 5])
        #expect(trie.drafts(count: 0).isEmpty)
        trie.append(TokenID(9))
        #expect(trie.drafts(count: 5).isEmpty)
    }

    /// Whatever the text, a trie stays within its bytes and holds at least half its window.
    @Test func memoryIsBounded() {
        let seed: UInt64 = 20_265
        print("seed \(seed)")
        var generator = SplitMix(seed: seed)
        var trie = DraftTrie(windowTokens: 128)
        for index in 0..<5000 {
            trie.append(TokenID(Int.random(in: 0..<100_000, using: &generator)))
            if index % 500 == 499 {
                for token in [1, 2, 3] { trie.append(TokenID(200_000 + token)) }
                for _ in 0..<60 {
                    trie.append(TokenID(Int.random(in: 0..<100_000, using: &generator)))
                }
                for token in [1, 2] { trie.append(TokenID(200_000 + token)) }
                #expect(trie.drafts(count: 1).first?.token == TokenID(200_003))
                #expect(trie.drafts(count: 1).first?.matchLength == 2)
            }
            #expect(trie.usedBytes <= DraftTrie.byteCount(windowTokens: 128))
        }
        let most = DraftTrie.byteCount(windowTokens: DraftTrie.windowTokensMax)
        #expect(DraftTrie.byteCount(windowTokens: .max) == most && most < 1 << 20)
    }

    private static func plainDrafts(after text: [Int], count: Int) -> [Draft] {
        var drafts: [Draft] = []
        while drafts.count < count {
            let tail = text + drafts.map(\.token.index)
            guard let draft = plainDraft(after: tail, in: text) else { break }
            drafts.append(draft)
        }
        return drafts
    }

    private static func plainDraft(after tail: [Int], in text: [Int]) -> Draft? {
        for length in stride(from: min(DraftTrie.matchMax, tail.count), to: 0, by: -1) {
            let run = Array(tail.suffix(length))
            var counts: [Int: (count: Int, last: Int)] = [:]
            for start in 0..<max(0, text.count - length)
            where Array(text[start..<start + length]) == run {
                counts[text[start + length], default: (0, 0)].count += 1
                counts[text[start + length]]?.last = start
            }
            let best = counts.max {
                ($0.value.count, $0.value.last) < ($1.value.count, $1.value.last)
            }
            if let best { return Draft(token: TokenID(best.key), matchLength: length) }
        }
        return nil
    }
}

@Suite struct SpeculationControlTests {
    /// A machine on which a pass takes `single`, and `further` more for each draft.
    private struct Machine {
        var single = 1_000_000.0
        var further: Double
        /// Of each draft, that it is right if those before it are.
        var probability: Double
    }

    /// Nanoseconds a token over `passes`, with seven drafts offered each time.
    private func timePerToken(
        _ machine: Machine, _ control: inout SpeculationControl, passes: Int, seed: UInt64
    ) -> Double {
        var generator = SplitMix(seed: seed)
        var (time, tokens) = (0.0, 0)
        for _ in 0..<passes {
            let drafts = control.draftCount(Array(repeating: machine.probability, count: 7))
            let pass = machine.single + Double(drafts) * machine.further
            control.record(drafts: drafts, nanoseconds: UInt64(pass))
            time += pass
            tokens += 1
            for _ in 0..<drafts {
                guard Double.random(in: 0..<1, using: &generator) < machine.probability else {
                    break
                }
                tokens += 1
            }
        }
        return time / Double(tokens)
    }

    private func automatic() -> SpeculationControl {
        SpeculationControl(policy: .automatic, draftsMax: 7)
    }

    /// Where each further token costs as much as a pass nothing can be won, and next to nothing is
    /// lost, however good the drafts.
    @Test(arguments: [0.0, 0.05, 0.3, 0.9]) func computeBoundLosesLittle(probability: Double) {
        var control = automatic()
        let machine = Machine(further: 1_000_000, probability: probability)
        let time = timePerToken(machine, &control, passes: 4000, seed: 1)
        #expect(time < machine.single * 1.01)
    }

    /// Where drafts are never right, and a pass over all of them takes twice as long.
    @Test func hopelessDraftsLoseLittle() {
        var control = automatic()
        let machine = Machine(further: 150_000, probability: 0.01)
        let time = timePerToken(machine, &control, passes: 4000, seed: 2)
        #expect(time < machine.single * 1.01)
    }

    /// Where further tokens are free, all drafts are taken but for the passes that measure.
    @Test func freeDraftsAreTaken() {
        var control = automatic()
        let machine = Machine(further: 0, probability: 0.8)
        let time = timePerToken(machine, &control, passes: 4000, seed: 3)
        let best = machine.single / (0..<8).reduce(0.0) { sum, _ in sum * 0.8 + 1 }
        #expect(time < best * 1.05)
    }

    @Test func changesOfTheMachineAreNoticed() {
        var control = automatic()
        let slow = Machine(further: 2_000_000, probability: 0.8)
        let fast = Machine(further: 10_000, probability: 0.8)
        _ = timePerToken(slow, &control, passes: 1000, seed: 4)
        #expect(control.draftCount([0.8]) == 0)
        _ = timePerToken(fast, &control, passes: 1200, seed: 5)
        #expect(timePerToken(fast, &control, passes: 1000, seed: 6) < fast.single / 3)
        _ = timePerToken(slow, &control, passes: 20, seed: 7)
        #expect(timePerToken(slow, &control, passes: 1000, seed: 8) < slow.single * 1.02)
    }

    /// One slow read in a few passes moves no decision.
    @Test func outliersMoveNothing() {
        var control = automatic()
        let machine = Machine(further: 1000, probability: 0.8)
        _ = timePerToken(machine, &control, passes: 10, seed: 9)
        control.record(drafts: 7, nanoseconds: 1_000_000_000)
        control.record(drafts: 7, nanoseconds: 1_000_000_000)
        #expect(control.draftCount([0.8, 0.8]) == 2)
    }

    @Test func fixedCountsAreTakenAndNoneIsNone() {
        var fixed = SpeculationControl(policy: .upTo(3), draftsMax: 3)
        for _ in 0..<10 {
            #expect(fixed.draftCount([0.01, 0.01, 0.01, 0.01]) == 3)
            fixed.record(drafts: 3, nanoseconds: 1_000_000_000)
        }
        var none = SpeculationControl(policy: .automatic, draftsMax: 0)
        #expect(none.draftCount([1, 1]) == 0)
    }

    @Test func policiesAreNamed() {
        #expect(SpeculationPolicy("auto") == .automatic)
        #expect(SpeculationPolicy("off") == .off)
        #expect(SpeculationPolicy("7") == .upTo(7))
        for wrong in ["", "0", "-1", "32", "on", "7 ", "1e1", "99999999999999999999"] {
            #expect(SpeculationPolicy(wrong) == nil, "\(wrong)")
        }
    }
}
