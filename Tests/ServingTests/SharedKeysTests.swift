// Layers that read keys and values of earlier ones (Gemma 4's E models): these are not packed by
// whole pages, and stay in memory.

import GenerationAPI
import Knobs
import Measurement
import ModelFormat
import Models
import SequenceState
import Serving
import TestSupport
import Testing

@Suite struct SharedKeysTests {
    private static let tokens = (0..<300).map { TokenID($0 * 7 % 250) }
    private static let fixture = Fixtures.folder + "models/gemma4-shared.gguf"

    private func options(_ format: String) throws -> ModelOptions {
        var options = ModelOptions()
        options.threads = 2
        options.contextTokens = 448
        options.kvFormat = try #require(KVFormat(format))
        return options
    }

    /// What a profile wishes is done as far as it can be, and said.
    @Test(arguments: [("4", "k8v4"), ("2", "k8v4"), ("k16v2", "k16v4"), ("8", "8"), ("16", "16")])
    func pagesAreNotPacked(wished: String, kept: String) throws {
        try Fixtures.withPacked(Self.fixture) { path in
            let notices = Notices()
            var options = try options(wished)
            options.onNotice = { notices.add($0) }
            let model = try ModelInstance(path: path, options: options)
            #expect("\(model.cache.layout.format)" == kept)
            #expect(
                model.division.keyValueWidths(model.manifest.shape).allSatisfy {
                    !$0.format.takesWholePages
                })
            let isSaid = notices.all.contains { $0.contains("kv_bits \(kept) in place of") }
            #expect(isSaid == (wished != kept))
            let found = try Evaluator(model: model).evaluate(Self.tokens, generate: 8)
            let same = try ModelInstance(path: path, options: self.options(kept))
            #expect(try Evaluator(model: same).evaluate(Self.tokens, generate: 8) == found)
        }
    }

    @Test func ordersAreRefused() throws {
        var options = EngineOptions()
        options.model = try self.options("4")
        let engine = try Engine(catalog: TinyCatalog(["gemma4-shared"]), options: options)
        defer { engine.stop() }
        var order = GenerationOrder(
            prompt: .tokens(Self.tokens), client: ClientID(rawValue: 1, user: 7))
        order.model = "gemma4-shared"
        order.tokensMax = 4
        order.ignoresEnd = true
        order.keyValueFormat = KVFormat(.two)
        guard case .failed(let refusal) = engine.answer(order).events.last else {
            Issue.record("it was done")
            return
        }
        #expect(refusal.reason == .invalidRequest && refusal.parameter == "kv_bits")
        #expect(refusal.message.contains("kv_bits k8v4"))
        for format in [nil, KVFormat(.eight)] {
            order.keyValueFormat = format
            let answer = engine.answer(order)
            #expect(answer.statistics?.generatedTokens == 4)
        }
    }

    /// Nothing goes to flash: what may be kept of a text is what there is memory for.
    @Test func keysStayInMemory() throws {
        try Fixtures.withPacked(Self.fixture) { path in
            var options = try options("16")
            options.kvBytesMax = 64 << 20
            let layout = try ModelInstance.division(path: path, options: options).layout
            #expect(!layout.hasColdSpans && layout.ringPages.count { $0 == nil } == 3)
            options.kvBytesMax = layout.byteCount(tokens: 448) - 1
            do throws(LoadError) {
                _ = try ModelInstance(path: path, options: options)
                Issue.record("it was enough")
            } catch {
                guard case .keyValueMemory = error else {
                    Issue.record("\(error)")
                    return
                }
            }
        }
    }
}
