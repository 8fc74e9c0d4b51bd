// Latent attention, whose keys are values too: what such a model cannot choose by is refused where
// it is asked for, and else left undone.

import GenerationAPI
import Knobs
import Models
import ModelFormat
import Serving
import Testing

@Suite struct LatentTests {
    private static let text = (0..<300).map { TokenID($0 * 7 % 250) }

    private func engine(_ configure: (inout EngineOptions) -> Void = { _ in }) throws -> Engine {
        var options = EngineOptions()
        options.model.memoryBytesMax = 48 << 20
        options.model.threads = 2
        options.model.contextTokensWanted = 512
        configure(&options)
        return try Engine(catalog: TinyCatalog(["deepseek2"]), options: options)
    }

    private func order(_ configure: (inout GenerationOrder) -> Void = { _ in }) -> GenerationOrder {
        var order = GenerationOrder(
            prompt: .tokens(Self.text), client: ClientID(rawValue: 1, user: 7))
        order.model = "deepseek2"
        order.tokensMax = 12
        order.sampling.temperature = 0
        configure(&order)
        return order
    }

    private func text(_ answer: Answer) -> [String] {
        answer.events.compactMap { if case .text(let text, _) = $0 { text } else { nil } }
    }

    @Test func nothingIsChosenByKeys() throws {
        let engine = try engine()
        defer { engine.stop() }
        let asked: [(String, (inout GenerationOrder) -> Void)] = [
            ("kv_snap_tokens", { $0.snapTokens = 100 }),
            ("kv_gem_tokens", { $0.gemTokens = 100 }),
            ("kv_cold_tokens_max", { $0.coldTokens = .most(128) })
        ]
        for (key, ask) in asked {
            guard case .failed(let refusal) = engine.answer(order(ask)).events.last else {
                Issue.record("\(key) was done")
                continue
            }
            #expect(refusal.reason == .invalidRequest && refusal.parameter == key)
            #expect(refusal.message.contains("keys of this model do not tell which tokens matter"))
        }
    }

    @Test func whatAProfileWishesIsLeftUndone() throws {
        let plain = try engine()
        defer { plain.stop() }
        let expected = plain.answer(order())
        #expect(!text(expected).isEmpty)
        let wishing = try engine {
            $0.model.snapTokens = 100
            $0.model.gemTokens = 100
            $0.model.coldTokensMax = 128
        }
        defer { wishing.stop() }
        #expect(text(wishing.answer(order())) == text(expected))
    }

    /// The next turn goes on behind the first, in memory.
    @Test func prefixesAreFound() throws {
        let engine = try engine { $0.model.prefixes = .memory }
        defer { engine.stop() }
        let first = engine.answer(order())
        let again = engine.answer(order())
        #expect(text(again) == text(first) && !text(first).isEmpty)
        #expect((again.statistics?.cachedTokens ?? 0) >= 256)
    }
}
