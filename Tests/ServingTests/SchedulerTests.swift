// Who computes in a step: several sessions, whatever they draft and however small a step is, each
// give the text that it gives alone.

import GenerationAPI
import Inference
import Knobs
import ModelFormat
import Models
import SequenceState
import Serving
import TestSupport
import Testing
import Tokenization

@Suite struct SchedulerTests {
    private let tokenizer: Tokenizer

    init() throws {
        tokenizer = try Fixtures.model("models/llama.gguf") { $0.isResident = true }.tokenizer
    }

    @Test func decodesComeBeforePrompts() throws {
        var house = House(tokenizer: tokenizer, tokensPerStep: 4, logitsRowsMax: 4, policy: .off)
        let text = try InventedText(seed: 5, tokenizer: tokenizer)
        let long = (0..<9).map { text.alphabet[$0 % 7] }
        try house.admit(text, prompt: [text.alphabet[0]], tokensMax: 50)
        let first = house.step()
        #expect(first?.chunks.map(\.tokens.count) == [1])
        try house.admit(text, prompt: long, tokensMax: 50)
        let step = house.step()
        let plan = try #require(step)
        #expect(plan.chunks.map(\.tokens.count) == [1, 3] && plan.chunks[1].logits == .none)
        #expect(plan.chunks.map(\.sequence.rawValue) == [0, 1])
        #expect(house.problem.isEmpty)
    }

    /// A short prompt does not wait for a long one: what it does not need is the other's.
    @Test func promptsShareAStep() throws {
        var house = House(tokenizer: tokenizer, tokensPerStep: 12, logitsRowsMax: 4, policy: .off)
        let text = try InventedText(seed: 5, tokenizer: tokenizer)
        for length in [30, 3, 20] {
            let prompt = (0..<length).map { text.alphabet[$0 % 7] }
            try house.admit(text, prompt: prompt, tokensMax: 50)
        }
        #expect(house.step()?.chunks.map(\.tokens.count) == [4, 3, 5])
        // Then one answers.
        #expect(house.step()?.chunks.map(\.tokens.count) == [1, 5, 6])
        #expect(house.problem.isEmpty, "\(house.problem)")
    }

    /// Prompts slow answers down by no more than was allowed, as soon as that was measured.
    @Test func answersAreNotHeldUpByPrompts() {
        var allowance = PromptAllowance()
        #expect(allowance.tokens(atMost: 512) == 16 && allowance.tokens(atMost: 5) == 5)
        // A prompt alone: 1 ms a token.
        allowance.record(answers: 0, promptTokens: 200, nanoseconds: 200_000_000)
        #expect(allowance.tokens(atMost: 512) == 16)
        // Answers alone take 100 ms: as much again is allowed.
        for _ in 0..<30 { allowance.record(answers: 2, promptTokens: 0, nanoseconds: 100_000_000) }
        #expect(allowance.tokens(atMost: 512) == 96)
        // Together a token adds half of that.
        for _ in 0..<60 {
            let tokens = allowance.tokens(atMost: 512)
            allowance.record(
                answers: 2, promptTokens: tokens,
                nanoseconds: 100_000_000 + UInt64(tokens) * 500_000)
        }
        #expect((176...208).contains(allowance.tokens(atMost: 512)))
        #expect(allowance.tokens(atMost: 100) == 100)
        #expect(PromptAllowance(fixedTokens: 40).tokens(atMost: 512) == 40)
    }

    @Test func draftsLeaveRoomForEverybodysToken() throws {
        var house = House(
            tokenizer: tokenizer, tokensPerStep: 8, logitsRowsMax: 5, policy: .upTo(8))
        let text = try InventedText(seed: 5, tokenizer: tokenizer)
        // What repeats is drafted as far as there is room.
        let loop = (0..<30).map { text.alphabet[$0 % 3] }
        try house.admit(text, prompt: loop, tokensMax: 50)
        try house.admit(text, prompt: Array(loop.dropLast()), tokensMax: 50)
        var rows: Set<Int> = []
        while let plan = house.step() { rows.insert(plan.logitsRowCount) }
        #expect(rows.max() == 5 && house.problem.isEmpty, "\(rows), \(house.problem)")
    }

    @Test func randomSessionsEqualEachAlone() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SplitMix(seed: seed)
        for round in 0..<40 {
            let policies: [SpeculationPolicy] = [.off, .automatic, .upTo(3), .upTo(8)]
            let sessionsMax = Int.random(in: 1...4, using: &random)
            var house = House(
                tokenizer: tokenizer,
                tokensPerStep: Int.random(in: sessionsMax...12, using: &random),
                logitsRowsMax: Int.random(in: sessionsMax...8, using: &random),
                policy: policies[Int.random(in: 0..<4, using: &random)])
            var left = 8
            for _ in 0..<2000 where left > 0 || house.isBusy {
                if left > 0, house.runningCount < sessionsMax, Bool.random(using: &random) {
                    let text = try InventedText(seed: random.next(), tokenizer: tokenizer)
                    try house.admit(
                        text, prompt: text.prompt(&random),
                        tokensMax: Int.random(in: 1...60, using: &random))
                    left -= 1
                }
                house.step(nanoseconds: UInt64.random(in: 1...1_000_000, using: &random))
                if Int.random(in: 0..<50, using: &random) == 0 { house.cancelOne(&random) }
            }
            #expect(!house.isBusy, "seed \(seed), round \(round)")
            #expect(house.problem.isEmpty, "seed \(seed), round \(round): \(house.problem)")
        }
    }
}

/// A scheduler, the caches of its sessions, and what each session should say.
private struct House {
    private struct Guest {
        let session: Session
        let text: InventedText
        let answer: Answer
        let expected: (tokens: [TokenID], reason: FinishReason)
        var cache = InventedCache()
        var isCancelled = false
    }

    private let tokenizer: Tokenizer
    private let logitsRowsMax: Int
    private var scheduler: Scheduler
    private var guests: [Guest] = []
    /// The first thing that was not as it should be.
    private(set) var problem = ""

    init(
        tokenizer: Tokenizer, tokensPerStep: Int, logitsRowsMax: Int, policy: SpeculationPolicy
    ) {
        self.tokenizer = tokenizer
        self.logitsRowsMax = logitsRowsMax
        scheduler = Scheduler(
            tokensPerStep: tokensPerStep, logitsRowsMax: logitsRowsMax,
            speculation: SpeculationControl(policy: policy, draftsMax: 8))
    }

    var runningCount: Int { scheduler.running.count }
    var isBusy: Bool { runningCount > 0 }

    mutating func admit(_ text: InventedText, prompt: [TokenID], tokensMax: Int) throws {
        let answer = Answer()
        let session = try text.session(
            id: guests.count, prompt: prompt, tokensMax: tokensMax, drafts: true,
            tokenizer: tokenizer, answer: answer)
        let expected = text.generated(after: prompt, tokensMax: tokensMax)
        guests.append(Guest(session: session, text: text, answer: answer, expected: expected))
        scheduler.start(session)
    }

    mutating func cancelOne(_ random: inout SplitMix) {
        guard let session = scheduler.running.randomElement(using: &random) else { return }
        session.fail(GenerationError(.cancelled, "nobody wants it"))
        guests[session.id].isCancelled = true
        retire()
    }

    @discardableResult mutating func step(nanoseconds: UInt64 = 1000) -> StepPlan? {
        guard isBusy else { return nil }
        let wasDecoding = scheduler.running.map(\.isDecoding)
        let (plan, sessions) = scheduler.schedule()
        check(plan, sessions, wasDecoding)
        scheduler.record(plan, sessions, nanoseconds: nanoseconds)
        for (chunk, session) in zip(plan.chunks, sessions) {
            let guest = guests[session.id]
            let isWhole = guests[session.id].cache.compute(
                chunk, of: session, guest.text, vocabularySize: tokenizer.tokenCount)
            expect(isWhole, "session \(session.id): a position was left out")
        }
        retire()
        return plan
    }

    /// Decodes first, each once; prompts fill the step.
    private mutating func check(_ plan: StepPlan, _ sessions: [Session], _ wasDecoding: [Bool]) {
        let ids = sessions.map(\.id)
        let running = scheduler.running
        let decoding = zip(running, wasDecoding).filter(\.1).map(\.0.id)
        let others = zip(running, wasDecoding).filter { !$0.1 }.map(\.0.id)
        let isInOrder =
            ids.starts(with: decoding)
            && Set(ids.dropFirst(decoding.count))
                .isSubset(of: others)
        expect(isInOrder, "\(ids) of \(running)")
        expect(ids.count >= decoding.count, "a decode was left out")
        expect(plan.chunks.map(\.sequence.rawValue) == ids, "others' chunks")
        expect(plan.tokenCount <= scheduler.tokensPerStep, "\(plan.tokenCount) tokens")
        expect(plan.logitsRowCount <= logitsRowsMax, "\(plan.logitsRowCount) rows")
        let isAllTaken = ids.count == running.count && plan.chunks.allSatisfy { $0.logits != .none }
        expect(isAllTaken || plan.tokenCount == scheduler.tokensPerStep, "room was left")
        expect(plan.chunks.allSatisfy { !$0.tokens.isEmpty }, "an empty chunk")
    }

    private mutating func retire() {
        for session in scheduler.removeFinished() {
            let guest = guests[session.id]
            let tokens = guest.answer.tokens
            expect(guest.answer.finalCount == 1, "session \(session.id) has its end")
            if guest.isCancelled {
                expect(guest.expected.tokens.starts(with: tokens), "\(session.id), cancelled")
                expect(guest.answer.failure == .cancelled, "\(session.id) was cancelled")
            } else {
                expect(tokens == guest.expected.tokens, "session \(session.id): \(tokens)")
                expect(guest.answer.reason == guest.expected.reason, "session \(session.id)")
            }
        }
        expect(scheduler.running.allSatisfy { !$0.isFinished }, "one that ended runs on")
    }

    private mutating func expect(_ isRight: Bool, _ message: @autoclosure () -> String) {
        if !isRight && problem.isEmpty { problem = message() }
    }
}
