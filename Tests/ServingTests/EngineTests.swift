// The engine as its callers see it: orders in, events out, one last event for each order whatever
// happens.

import FlashStorage
import GenerationAPI
import LinuxSystem
import ModelFormat
import Models
import Serving
import TestSupport
import Testing

@Suite struct EngineTests {
    @Test func oneOrderFromBeginningToEnd() throws {
        try withEngine { engine in
            let answer = engine.answer(order("abc", tokensMax: 12))
            guard case .started(let model, let promptTokens, _) = answer.events.first else {
                Issue.record("no start: \(answer.events)")
                return
            }
            #expect(model == "qwen3moe" && promptTokens > 0)
            let statistics = try #require(answer.statistics)
            #expect(answer.reason == .length && statistics.generatedTokens == 12)
            #expect(statistics.flashBytes > 0 && statistics.keyValueBytes > 0)
            #expect(engine.state == .ready(models: ["qwen3moe"]))
            #expect(try engine.models().filter(\.isLoaded).map(\.name) == ["qwen3moe"])
        }
    }

    @Test func sameSeedSameTextAndOtherModelsInTurn() throws {
        try withEngine { engine in
            var drawn = order("abc", tokensMax: 16)
            drawn.sampling.temperature = 1.5
            drawn.sampling.seed = 7
            let first = engine.answer(drawn)
            var other = order("abc", tokensMax: 4)
            other.model = "llama"
            #expect(engine.answer(other).reason == .length)
            #expect(engine.answer(drawn).text == first.text)
        }
    }

    @Test func stopStringEndsTheText() throws {
        try withEngine { engine in
            let whole = engine.answer(order("abc", tokensMax: 20)).text
            let middle = try #require(whole.dropFirst(whole.count / 2).first)
            var stopped = order("abc", tokensMax: 20)
            stopped.stopStrings = [String(middle)]
            let answer = engine.answer(stopped)
            #expect(answer.reason == .stop)
            #expect(answer.text == String(whole.prefix { $0 != middle }))
            #expect(answer.statistics?.stopString == String(middle))
        }
    }

    @Test func biasesDecideWhatIsSaid() throws {
        try withEngine { engine in
            func first(_ biases: [TokenBias]) -> Answer {
                var order = order("abc", tokensMax: 4)
                order.biases = biases
                order.alternativesReported = 0
                return engine.answer(order)
            }
            func token(_ answer: Answer) -> Int32? {
                for case .text(_, let probabilities) in answer.events {
                    if let first = probabilities.first { return first.chosen.token.rawValue }
                }
                return nil
            }
            let plain = try #require(token(first([])))
            let banned = TokenBias(token: plain, value: -.infinity)
            let other = try #require(token(first([banned])))
            #expect(other != plain)
            #expect(token(first([TokenBias(token: other, value: 1000)])) == other)
            #expect(first([TokenBias(token: 100_000, value: 1)]).failure == .invalidRequest)
        }
    }

    @Test func progressOfAPromptIsToldWhereItIsAskedFor() throws {
        try withEngine { engine in
            var asked = order(String(repeating: "abc ", count: 20), tokensMax: 2)
            #expect(progress(of: engine.answer(asked)).isEmpty)
            asked.reportsProgress = true
            asked.client = ClientID(rawValue: 99)
            let answer = engine.answer(asked)
            let told = progress(of: answer)
            let last = try #require(told.last)
            #expect(last.doneTokens == answer.statistics?.promptTokens)
            #expect(last.tokens == last.doneTokens)
            #expect(told.map(\.doneTokens) == told.map(\.doneTokens).sorted())
        }
    }

    private func progress(of answer: Answer) -> [PromptProgress] {
        answer.events.compactMap { if case .progress(let told) = $0 { told } else { nil } }
    }

    @Test func refusalsNameTheirReason() throws {
        try withEngine { engine in
            var unknown = order("abc", tokensMax: 1)
            unknown.model = "nobody"
            #expect(engine.answer(unknown).failure == .modelNotFound)
            var outside = order("abc", tokensMax: 1)
            outside.prompt = .tokens([TokenID(100_000)])
            #expect(engine.answer(outside).failure == .invalidRequest)
            var negative = order("abc", tokensMax: 1)
            negative.prompt = .tokens([TokenID(-1)])
            #expect(engine.answer(negative).failure == .invalidRequest)
            var hot = order("abc", tokensMax: 1)
            hot.sampling.temperature = .nan
            #expect(engine.answer(hot).failure == .invalidRequest)
            let long = order(String(repeating: "abc ", count: 1000), tokensMax: 1)
            #expect(engine.answer(long).failure == .contextExceeded)
            var chat = order("", tokensMax: 1)
            chat.model = "llama-spm"
            chat.prompt = .chat([ChatMessage(role: "user", content: "hello")])
            #expect(engine.answer(chat).failure == .templateUnsupported)
            #expect(engine.answer(order("abc", tokensMax: 2)).reason == .length)
        }
    }

    @Test func smallBudgetIsRefusedWithItsSum() throws {
        try withEngine({ $0.model.memoryBytesMax = 10 << 20 }) { engine in
            let answer = engine.answer(order("abc", tokensMax: 1))
            #expect(answer.failure == .budgetExceeded)
            guard case .failed(let error) = answer.events.last else { return }
            #expect(error.message.contains("process 16.0 MiB + "))
        }
    }

    @Test func progressIsSeenWhileThereIsWork() throws {
        try withEngine { engine in
            #expect(!engine.progress.isBusy)
            let answer = Answer()
            _ = engine.generate(order("abc", tokensMax: nil)) { answer.add($0) }
            #expect(engine.progress.isBusy)
            answer.waitForStart()
            let before = engine.progress
            #expect(answer.wait().finalCount == 1)
            #expect(engine.progress.count > before.count)
            for _ in 0..<1000 where engine.progress.isBusy { Thread.sleep(microseconds: 1000) }
            #expect(!engine.progress.isBusy)
        }
    }

    /// The request fails within the time allowed, which is progress; the end does not wait.
    @Test func aSilentDriveHoldsNeitherTheEngineNorItsEnd() throws {
        let script = FaultScript()
        let limit: UInt64 = 1_000_000_000
        var engine: Engine?
        try withEngine({
            $0.model.flash.interposer = { FaultyQueue($0, arena: $1, script: script) }
            $0.model.flash.stallNanosecondsMax = limit
        }) { running in
            #expect(running.answer(order("abc", tokensMax: 2)).reason == .length)
            script.arm(.stall(nanoseconds: 3600 * limit), at: 2, count: 1 << 30)
            let before = running.progress.count
            let answer = running.answer(order("abcdefgh", tokensMax: 40))
            #expect(answer.failure == .readFailed)
            #expect(running.progress.count > before)
            let cancelled = Answer()
            let ticket = running.generate(order("abc", tokensMax: nil)) { cancelled.add($0) }
            ticket.cancel()
            #expect(cancelled.wait().finalCount == 1)
            engine = running
        }
        // Stopped a second time: nothing is left to wait for, whatever the drive does.
        engine?.stop()
    }

    @Test func cancellingFreesTheEngine() throws {
        try withEngine { engine in
            let running = Answer()
            let ticket = engine.generate(order("abc", tokensMax: nil)) { running.add($0) }
            let waiting = Answer()
            let second = engine.generate(order("abc", tokensMax: 4)) { waiting.add($0) }
            running.waitForStart()
            second.cancel()
            ticket.cancel()
            ticket.cancel()
            #expect(waiting.wait().failure == .cancelled)
            #expect([.cancelled, nil].contains(running.wait().failure))
            #expect(engine.answer(order("abc", tokensMax: 4)).reason == .length)
        }
    }

    @Test func drainingRefusesAndStoppingEndsEverything() throws {
        let answers = (0..<5).map { _ in Answer() }
        try withEngine { engine in
            for answer in answers {
                _ = engine.generate(order("abc", tokensMax: nil)) { answer.add($0) }
            }
            engine.drain()
            #expect(engine.answer(order("abc", tokensMax: 1)).failure == .draining)
        }
        for answer in answers { #expect(answer.wait().finalCount == 1) }
    }

    /// Orders and cancellations from several threads at once: one last event for each order.
    @Test func stormOfOrdersAndCancellations() throws {
        let seed: UInt64 = 20_263
        print("seed \(seed)")
        try withEngine({ $0.queueMax = 8 }) { engine in
            let answers = (0..<4).map { _ in (0..<30).map { _ in Answer() } }
            let threads = try answers.enumerated().map { number, own in
                try Thread {
                    var generator = SplitMix(seed: seed + UInt64(number))
                    for answer in own {
                        let tokens = Int.random(in: 1...8, using: &generator)
                        var order = order("abc", tokensMax: tokens)
                        order.client = ClientID(rawValue: UInt64(number))
                        let ticket = engine.generate(order) { answer.add($0) }
                        if Bool.random(using: &generator) { ticket.cancel() }
                        if Bool.random(using: &generator) { _ = answer.wait() }
                    }
                }
            }
            for thread in threads { thread.join() }
            for answer in answers.joined() { #expect(answer.wait().finalCount == 1) }
        }
    }

    @Test func theEngineTellsTokensAndGoesOn() throws {
        try withEngine { engine in
            var asking = order("abc", tokensMax: 1)
            asking.wanted = .tokens(TokenizingRules())
            let answer = engine.answer(asking)
            let told = answer.events.compactMap { event in
                if case .tokens(let text) = event { text } else { nil }
            }
            let tokens = try #require(told.first).tokens
            #expect(answer.reason == .stop && answer.events.count == 3 && !tokens.isEmpty)
            var back = asking
            (back.prompt, back.wanted) = (.tokens(tokens), .text)
            #expect(engine.answer(back).text.hasSuffix("abc"))
            #expect(engine.answer(order("abc", tokensMax: 2)).statistics?.generatedTokens == 2)
        }
    }

    private func order(_ text: String, tokensMax: Int?) -> GenerationOrder {
        var order = GenerationOrder(prompt: .text(text), client: ClientID(rawValue: 1))
        order.model = "qwen3moe"
        order.sampling = .greedy
        order.tokensMax = tokensMax
        return order
    }

    /// An engine over four tiny models with little memory; stopped at the end.
    private func withEngine(
        _ configure: (inout EngineOptions) -> Void = { _ in }, _ body: (Engine) throws -> Void
    ) throws {
        let catalog = try TinyCatalog(["qwen3moe", "llama", "llama-spm"])
        var options = EngineOptions()
        options.model.memoryBytesMax = 18 << 20
        options.model.threads = 1
        configure(&options)
        let engine = try Engine(catalog: catalog, options: options)
        defer { engine.stop() }
        try body(engine)
    }
}
