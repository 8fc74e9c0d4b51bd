// Prompts of which some tokens alone are computed.

import GenerationAPI
import Inference
import Knobs
import ModelFormat
import Models
import SequenceState
import Serving
import TestSupport
import Testing
import Weights

@Suite struct GemTests {
    private struct Choice: Decodable {
        let model: String
        let layer: Int
        let tokens: [Int32]
        let places: [Int]
    }

    /// The first pass over a prompt, in steps of so many tokens.
    private func choose(
        _ count: Int, of prompt: [TokenID], layer: Int, _ model: ModelInstance, step: Int
    ) throws -> [Int] {
        let sequence = try #require(model.cache.open(tokensMax: prompt.count))
        defer { model.cache.close(sequence) }
        for first in stride(from: 0, to: prompt.count, by: step) {
            let end = min(first + step, prompt.count)
            var chunk = SequenceChunk(
                sequence: sequence, tokens: Array(prompt[first..<end]), firstPosition: first,
                logits: .none)
            chunk.filter = PromptFilter(
                layer: layer, chosenCount: end == prompt.count ? count : nil)
            try model.transformer.forward(StepPlan(chunks: [chunk]))
        }
        return model.transformer.chosenPlaces
    }

    /// Against float64 in numpy: Tests/Fixtures/models/make_choices.py.
    @Test(arguments: [150, 64, 7]) func theRightTokensAreChosen(step: Int) throws {
        let choices: [Choice] = try Fixtures.decode("models/choices.json")
        for choice in choices {
            let model = try Fixtures.model("models/\(choice.model).gguf") {
                $0.contextTokens = 256
                $0.measuring.mayExceedContext = true
                $0.prefillChunkTokens = step
            }
            let places = try choose(
                choice.places.count, of: choice.tokens.map { TokenID(rawValue: $0) },
                layer: choice.layer, model, step: step)
            #expect(places == choice.places, "\(choice.model), layer \(choice.layer)")
        }
    }

    private static let prompt = (0..<200).map { TokenID($0 * $0 % 241) }

    private func order(_ prompt: some Sequence<TokenID>, gemTokens: Int?) -> GenerationOrder {
        var order = GenerationOrder(
            prompt: .tokens(Array(prompt)), client: ClientID(rawValue: 1, user: 7))
        order.sampling = .greedy
        order.gemTokens = gemTokens
        return order
    }

    private func answers(
        _ name: String, _ orders: [GenerationOrder], atOnce: Bool = false,
        _ configure: (inout EngineOptions) -> Void = { _ in }
    ) throws -> [Answer] {
        let catalog = try TinyCatalog([name])
        var options = EngineOptions()
        options.model.memoryBytesMax = 48 << 20
        options.model.contextTokensWanted = 256
        options.model.prefixes = .memory
        options.model.threads = 1
        configure(&options)
        let engine = try Engine(catalog: catalog, options: options)
        defer { engine.stop() }
        let named = orders.map { order in
            var order = order
            order.model = name
            return order
        }
        guard atOnce else { return named.map { engine.answer($0) } }
        let answers = named.map { order in
            let answer = Answer()
            _ = engine.generate(order) { answer.add($0) }
            return answer
        }
        return answers.map { $0.wait() }
    }

    /// The answer is the one to the chosen tokens, in steps and waves of any size.
    @Test(arguments: ["llama", "gemma3", "smallthinker"], ["32", "16", "4"])
    func theAnswerIsToWhatWasChosen(name: String, format: String) throws {
        let format = try #require(KVFormat(format))
        var texts: Set<String> = []
        for tokens in [512, 40] {
            let model = try Fixtures.model("models/\(name).gguf") {
                $0.kvFormat = format
                $0.contextTokens = 256
                $0.measuring.mayExceedContext = true
                $0.prefillChunkTokens = tokens
            }
            let layer = try #require(model.gemLayer)
            let places = try choose(80, of: Self.prompt, layer: layer, model, step: tokens)
            #expect(places.last == 199 && places.count == 80)
            let chosen = places.map { Self.prompt[$0] }
            let asked = order(Self.prompt, gemTokens: 80)
            let found = try answers(name, [asked, order(chosen, gemTokens: 0), asked]) {
                $0.model.kvFormat = format
                $0.model.prefillChunkTokens = tokens
                $0.model.isResident = tokens == 40
            }
            #expect(found[0].text == found[1].text && found[2].text == found[1].text)
            #expect(found[0].statistics?.promptTokens == 200)
            #expect(found[0].statistics?.cachedTokens == 0)
            texts.insert(found[0].text)
        }
        #expect(texts.count == 1)
    }

    /// Zero asks for all, whatever the service does; so do prompts that are no longer.
    @Test func othersStayWhole() throws {
        let whole = try answers("llama", [order(Self.prompt, gemTokens: nil)])[0].text
        let found = try answers(
            "llama", [0, 200, nil].map { order(Self.prompt, gemTokens: $0) }
        ) { $0.model.gemTokens = 100 }
        #expect(found[0].text == whole && found[1].text == whole)
        #expect(found[2].text != whole && found[2].failure == nil)
    }

    /// Steps that choose tokens are nobody else's, and nobody waits for ever.
    @Test func othersGoOnMeanwhile() throws {
        let orders = [nil, 100, nil].map { count -> GenerationOrder in
            var order = order(Self.prompt.suffix(count == nil ? 60 : 200), gemTokens: count)
            order.tokensMax = 40
            return order
        }
        func configure(_ options: inout EngineOptions) {
            // Room for all three, and no more.
            options.model.contextTokensWanted = 512
            options.model.prefillChunkTokens = 16
            options.model.isResident = true
            options.model.sequencesMax = 3
            options.model.logitsRowsMax = 3
        }
        let alone = try answers("llama", orders, configure)
        let together = try answers("llama", orders, atOnce: true, configure)
        #expect(together.map(\.text) == alone.map(\.text))
        #expect(alone.allSatisfy { $0.failure == nil && $0.statistics?.generatedTokens == 40 })
    }

    /// Of a streamed model the first pass reads the layers that it computes.
    @Test func firstLayersAloneAreRead() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/smollm3.gguf") { path in
            var options = ModelOptions()
            options.contextTokens = 256
            options.measuring.mayExceedContext = true
            options.prefillChunkTokens = 8
            options.memoryBytesMax = try Fixtures.leastBytes(path) {
                $0.contextTokens = 256
                $0.measuring.mayExceedContext = true
            }
            let model = try ModelInstance(path: path, options: options)
            #expect(model.plan.streamsDense)
            func read(layer: Int) throws -> UInt64 {
                // What is read ahead for other passes is read in the first of them.
                _ = try choose(4, of: Array(Self.prompt[..<8]), layer: layer, model, step: 8)
                let before = model.store.statistics.flashBytes
                // What is under way when a pass ends counts in the next one.
                for _ in 0..<16 {
                    _ = try choose(4, of: Array(Self.prompt[..<8]), layer: layer, model, step: 8)
                }
                return model.store.statistics.flashBytes - before
            }
            let (first, all) = (try read(layer: 0), try read(layer: 3))
            #expect(2 * first < all, "\(first), \(all)")
        }
    }

    /// As far up as is asked for, but no layer with a window.
    @Test func windowsDoNotChoose() throws {
        for (depth, layer) in [(Float(0.01), 5), (0.5, 5), (0.99, 5)] {
            let model = try Fixtures.model("models/gemma3.gguf") { $0.gemDepth = depth }
            #expect(model.gemLayer == layer)
        }
        for (depth, layer) in [(Float(0.01), 0), (0.5, 2), (0.99, 3)] {
            let model = try Fixtures.model("models/smollm3.gguf") { $0.gemDepth = depth }
            #expect(model.gemLayer == layer)
        }
    }
}
