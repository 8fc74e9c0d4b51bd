// Texts longer than their context that slide. What a model of one layer keeps of a token depends on
// that token alone, so there the first page and the window, computed anew as one text, must come to
// the same.

import GenerationAPI
import Inference
import Knobs
import Measurement
import ModelFormat
import Models
import SequenceState
import Serving
import TestSupport
import Testing

@Suite struct SlidingTests {
    private static let tokens = (0..<1_003).map { TokenID($0 * $0 % 241) }
    private static let oneLayer = [
        "llama-rope-factors", "llama-rope-linear", "llama-rope-yarn", "llama-spm",
        "nemotron-q8_0"
    ]

    private func model(
        _ name: String, _ format: String = "32",
        _ configure: (inout ModelOptions) -> Void = { _ in }
    ) throws -> ModelInstance {
        let format = try #require(KVFormat(format))
        return try Fixtures.model("models/\(name).gguf") {
            $0.isResident = true
            $0.kvFormat = format
            $0.logitsRowsMax = 16
            $0.contextTokens = 320
            $0.measuring.mayExceedContext = true
            $0.whenFull = .slide
            configure(&$0)
        }
    }

    /// What a sequence that is computed in steps of so many tokens ends with in its tables.
    private func kept(of count: Int, stepsOf step: Int, room: Int) -> Int {
        var place = 0
        for start in stride(from: 0, to: count, by: step) {
            let tokens = min(step, count - start)
            place -= max(0, (place + tokens - room + 63) / 64) * 64
            place += tokens
        }
        return place
    }

    private func difference(_ one: [Float], _ other: [Float]) -> Float {
        let range = (other.max() ?? 0) - (other.min() ?? 0)
        return (zip(one, other).map { abs($0 - $1) }.max() ?? .infinity) / range
    }

    @Test(
        arguments: oneLayer,
        [("32", Float(1e-4)), ("16", 0.01), ("8", 0.05), ("4", 0.3), ("k4v8", 0.3)])
    func equalsTheFirstPageAndTheWindowAlone(
        name: String, width: (format: String, bound: Float)
    ) throws {
        let model = try model(name, width.format)
        let evaluator = Evaluator(model: model)
        let found = try evaluator.evaluate(Self.tokens, generate: 0)
        #expect(found.scoredTokens == Self.tokens.count - 1)
        let room = try #require(model.cache.slidingTokens(tokensMax: 320))
        // The page of each layer that is kept beside takes the place of one.
        #expect(room == 256)
        let kept = kept(of: Self.tokens.count, stepsOf: 16, room: room)
        #expect(kept > 128 && kept <= room)
        let alone = Self.tokens.prefix(64) + Self.tokens.suffix(kept - 64)
        let expected = try evaluator.evaluate(Array(alone), generate: 0)
        let difference = difference(found.logits, expected.logits)
        #expect(difference < width.bound, "\(difference)")
        #expect(model.cache.pagesFree == model.cache.pool.pageCount)
        #expect(model.cache.pool.freeCount == model.cache.pool.pageCount)
    }

    /// So the test above would find keys that were not moved along, and a first page that went.
    @Test func theFirstPageMatters() throws {
        let with = try Evaluator(model: try model("llama-rope-linear"))
            .evaluate(Self.tokens, generate: 0)
        let without = try Evaluator(
            model: try model("llama-rope-linear") { $0.measuring.keepsSinks = false }
        ).evaluate(Self.tokens, generate: 0)
        #expect(difference(with.logits, without.logits) > 1e-2)
    }

    /// A layer with a window, and one that is not turned, among those that see all.
    @Test(
        arguments: [
            "gemma3", "smallthinker", "smollm3", "qwen3moe", "deepseek2", "gemma4",
            "gemma4-shared"
        ],
        ["32", "4"])
    func goesOnAndChangesNothingBefore(name: String, format: String) throws {
        let sliding = try model(name, format)
        let stopping = try model(name, format) { $0.whenFull = .stop }
        let fits = Array(Self.tokens.prefix(300))
        #expect(
            try Evaluator(model: sliding).evaluate(fits, generate: 20)
                == Evaluator(model: stopping).evaluate(fits, generate: 20))
        let found = try Evaluator(model: sliding).evaluate(fits, generate: 400)
        #expect(found.greedy.count == 400 && found.logits.allSatisfy(\.isFinite))
        #expect(try Evaluator(model: stopping).evaluate(fits, generate: 400).greedy.count < 40)
        #expect(sliding.cache.pool.freeCount == sliding.cache.pool.pageCount)
    }
}

/// The engine's side: orders longer than their context.
@Suite struct SlidingOrderTests {
    private static let prompt = (0..<100).map { TokenID($0 * 7 % 250) }

    private func withEngine(
        _ configure: (inout EngineOptions) -> Void = { _ in },
        _ body: (Engine) throws -> Void
    ) throws {
        let catalog = try TinyCatalog(["llama"])
        var options = EngineOptions()
        options.model.memoryBytesMax = 48 << 20
        options.model.contextTokensWanted = 256
        options.model.prefixes = .memory
        options.model.threads = 1
        configure(&options)
        let engine = try Engine(catalog: catalog, options: options)
        defer { engine.stop() }
        try body(engine)
    }

    private func order(
        _ prompt: [TokenID], tokensMax: Int?, _ whenFull: FullContext? = .slide
    ) -> GenerationOrder {
        var order = GenerationOrder(
            prompt: .tokens(prompt), client: ClientID(rawValue: 1, user: 7))
        order.model = "llama"
        order.sampling = .greedy
        order.tokensMax = tokensMax
        order.whenFull = whenFull
        return order
    }

    @Test func answersGoOnWhereAsked() throws {
        try withEngine { engine in
            let stopped = engine.answer(order(Self.prompt, tokensMax: 700, nil))
            #expect(stopped.statistics?.generatedTokens == 156)
            let first = engine.answer(order(Self.prompt, tokensMax: 700))
            #expect(first.reason == .length && first.statistics?.generatedTokens == 700)
            // Up to where it slides, it is the same.
            #expect(first.text.hasPrefix(stopped.text.prefix(60)))
            // What slid is no prefix; what the prompt left is, and changes nothing.
            let again = engine.answer(order(Self.prompt, tokensMax: 700))
            #expect(again.text == first.text)
            // Without a number it is to the end of the context.
            let open = engine.answer(order(Self.prompt, tokensMax: nil))
            #expect(open.statistics?.generatedTokens == 156 && open.text == stopped.text)
        }
    }

    @Test func draftsChangeNothing() throws {
        var texts: [String] = []
        for speculation in [SpeculationPolicy.off, .upTo(7)] {
            try withEngine({
                $0.model.speculation = speculation
                $0.model.logitsRowsMax = 8
            }) { engine in
                let answer = engine.answer(order(Self.prompt, tokensMax: 600))
                texts.append(answer.text)
                let drafted = try #require(answer.statistics).draftedTokens
                #expect(speculation == .off ? drafted == 0 : drafted > 0)
            }
        }
        #expect(texts[0] == texts[1])
    }

    /// Longer prompts need memory for their text, so the service must be set to slide.
    @Test func promptsLongerThanTheContext() throws {
        let long = (0..<900).map { TokenID($0 * 7 % 250) }
        try withEngine { engine in
            #expect(engine.answer(order(long, tokensMax: 5, .stop)).failure == .contextExceeded)
        }
        try withEngine({
            $0.model.whenFull = .slide
        }) { engine in
            let answer = engine.answer(order(long, tokensMax: 5, nil))
            #expect(answer.reason == .length && answer.statistics?.promptTokens == 900)
            let second = engine.answer(order(long, tokensMax: 5, nil))
            #expect(second.text == answer.text)
            #expect(engine.answer(order(long, tokensMax: 5, .stop)).failure == .contextExceeded)
            let open = engine.answer(order(long, tokensMax: nil, nil))
            #expect(open.statistics?.generatedTokens == 256)
        }
    }

    @Test func tooShortAContextIsRefused() throws {
        try withEngine({
            $0.model.contextTokensWanted = 128
        }) { engine in
            let answer = engine.answer(order(Self.prompt, tokensMax: 700))
            #expect(answer.failure == .contextExceeded)
        }
    }
}
