// Positions that a model has learned one by one (OPT): a text ends with them.

import GenerationAPI
import Measurement
import ModelFormat
import Models
import Serving
import TestSupport
import Testing

@Suite struct LearnedPositionsTests {
    private static let tokens = (0..<300).map { TokenID($0 * 7 % 250) }

    private func order(_ whenFull: FullContext?) -> GenerationOrder {
        var order = GenerationOrder(
            prompt: .tokens(Self.tokens), client: ClientID(rawValue: 1, user: 7))
        order.model = "opt"
        order.tokensMax = 300
        order.whenFull = whenFull
        return order
    }

    @Test func nothingSlides() throws {
        let notices = Notices()
        var options = EngineOptions()
        options.model.threads = 2
        options.model.whenFull = .slide
        options.model.onNotice = { notices.add($0) }
        let engine = try Engine(catalog: TinyCatalog(["opt"]), options: options)
        defer { engine.stop() }
        guard case .failed(let refusal) = engine.answer(order(.slide)).events.last else {
            Issue.record("it went on")
            return
        }
        #expect(refusal.reason == .invalidRequest && refusal.parameter == "kv_when_full")
        let answer = engine.answer(order(nil))
        #expect(answer.reason == .length && answer.statistics?.generatedTokens ?? 0 <= 212)
        #expect(notices.all.contains { $0.contains("kv_when_full stop") })
    }

    /// Not even where measuring would go beyond what a model knows.
    @Test func contextsEndWithTheTable() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/opt.gguf") { path in
            var options = ModelOptions()
            options.contextTokens = 512
            let model = try ModelInstance(path: path, options: options)
            #expect(model.contextTokens == 512)
            let all = (0..<511).map { TokenID($0 * 7 % 250) }
            #expect(try Evaluator(model: model).evaluate(all, generate: 1).greedy.count == 1)
            options.contextTokens = 513
            options.measuring.mayExceedContext = true
            #expect(throws: LoadError.self) { try ModelInstance(path: path, options: options) }
        }
    }
}
