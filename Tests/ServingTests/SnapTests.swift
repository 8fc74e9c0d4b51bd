// Prompts of which some tokens alone are kept.

import GenerationAPI
import Inference
import Knobs
import ModelFormat
import Models
import SequenceState
import Serving
import TestSupport
import Testing

@Suite struct SnapTests {
    private static let prompt = (0..<200).map { TokenID($0 * $0 % 241) }

    private func answers(
        _ name: String, _ orders: [GenerationOrder],
        _ configure: (inout EngineOptions) throws -> Void = { _ in }
    ) throws -> [Answer] {
        let catalog = try TinyCatalog([name])
        var options = EngineOptions()
        options.model.memoryBytesMax = 48 << 20
        options.model.contextTokensWanted = 256
        options.model.prefixes = .memory
        options.model.threads = 1
        try configure(&options)
        let engine = try Engine(catalog: catalog, options: options)
        defer { engine.stop() }
        return orders.map { order in
            var order = order
            order.model = name
            return engine.answer(order)
        }
    }

    private func order(snapTokens: Int?, tokensMax: Int? = nil) -> GenerationOrder {
        var order = GenerationOrder(
            prompt: .tokens(Self.prompt), client: ClientID(rawValue: 1, user: 7))
        order.sampling = .greedy
        order.tokensMax = tokensMax
        order.snapTokens = snapTokens
        return order
    }

    /// 64 and the last 32, and what is left over from whole pages: 136 of 200.
    @Test(
        arguments: ["llama", "gemma3", "smallthinker", "llama-q8_0"], ["32", "16", "4", "k8v4"])
    func leavesRoomAndIsTheSameInAnySteps(name: String, format: String) throws {
        let format = try #require(KVFormat(format))
        var texts: Set<String> = []
        for tokens in [512, 40, 33] {
            let snapped = order(snapTokens: 64)
            let found = try answers(name, [order(snapTokens: nil), snapped, snapped]) {
                $0.model.kvFormat = format
                $0.model.prefillChunkTokens = tokens
            }
            #expect(found[0].statistics?.generatedTokens == 56)
            // Some come to an end of their own, beyond what would have been the last.
            let generated = try #require(found[1].statistics).generatedTokens
            #expect(found[1].reason == .length ? generated == 120 : generated > 56)
            // The prompt is found where it was computed whole, and that changes nothing.
            #expect(found[2].text == found[1].text)
            texts.insert(found[1].text)
        }
        #expect(texts.count == 1)
    }

    @Test func promptsThatAreShorterStayWhole() throws {
        let found = try answers(
            "llama", [order(snapTokens: 0), order(snapTokens: 150), order(snapTokens: nil)])
        #expect(found[1].text == found[0].text)
        // Zero asks for all, whatever the service does.
        let other = try answers("llama", [order(snapTokens: 0), order(snapTokens: nil)]) {
            $0.model.snapTokens = 64
        }
        #expect(other[0].text == found[0].text)
        #expect(other[1].statistics?.generatedTokens == 120)
    }

    /// What was computed of a prompt before its end is found again, whole or not.
    @Test func whatWasComputedIsFoundAgain() throws {
        let snapped = order(snapTokens: 64, tokensMax: 20)
        let whole = order(snapTokens: 0, tokensMax: 20)
        let found = try answers("llama", [snapped, snapped, whole]) {
            $0.model.contextTokensWanted = 512
            $0.model.prefillChunkTokens = 40
            $0.model.isResident = true
        }
        let cached = found.map { $0.statistics?.cachedTokens }
        #expect(cached == [0, 128, 128])
        #expect(found[1].text == found[0].text)
        let alone = try answers("llama", [whole])
        #expect(found[2].text == alone[0].text)
    }

    /// A prompt that is partly on flash is kept whole where the service would keep some of it, and
    /// refused where it is asked for that.
    @Test func promptsBeyondMemory() throws {
        let long = (0..<1_400).map { TokenID($0 * 7 % 250) }
        func configure(_ options: inout EngineOptions) {
            options.model.contextTokensWanted = nil
            options.model.contextTokens = 2_000
            options.model.measuring.mayExceedContext = true
            options.model.prefillChunkTokens = 64
            options.model.isResident = true
        }
        func order(_ snapTokens: Int?, _ prompt: [TokenID]) -> GenerationOrder {
            var order = self.order(snapTokens: snapTokens, tokensMax: 20)
            order.prompt = .tokens(prompt)
            return order
        }
        let orders = [
            order(nil, long), order(64, long), order(64, Array(long[..<300])), order(nil, long)
        ]
        let cold = try answers("llama", orders) {
            configure(&$0)
            $0.model.snapTokens = 100
            let model = $0.model
            // Nine pages of each layer are in memory.
            $0.model.kvBytesMax = try Fixtures.withPacked(Fixtures.folder + "models/llama.gguf") {
                let layout = try ModelInstance.division(path: $0, options: model).layout
                return layout.withColdSpans(poolBytes: 1).bytesNeeded(tokens: 2_000)
            }
        }
        let whole = try answers("llama", [order(0, long), order(64, Array(long[..<300]))]) {
            configure(&$0)
        }
        #expect(cold[0].text == whole[0].text && cold[3].text == whole[0].text)
        #expect(cold[1].failure == .contextExceeded)
        #expect(cold[2].text == whole[1].text)
    }

    @Test func wholePagesGo() {
        #expect(KVLayout.gatheredTokens(kept: 96, of: 200) == 136)
        #expect(KVLayout.gatheredTokens(kept: 136, of: 200) == 136)
        #expect(KVLayout.gatheredTokens(kept: 137, of: 200) == 200)
        #expect(KVLayout.gatheredTokens(kept: 300, of: 200) == 200)
    }
}
