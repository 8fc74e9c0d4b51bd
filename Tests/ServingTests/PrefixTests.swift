// Prompts that begin like earlier ones: what is remembered is not computed again, and the answers
// are the same to the bit.

import FlashStorage
import GenerationAPI
import Knobs
import LinuxSystem
import ModelFormat
import Models
import SequenceState
import Serving
import TestSupport
import Testing

@Suite struct PrefixTests {
    private static let names = [
        "llama", "llama-q8_0", "gemma3", "smallthinker", "qwen3moe", "gemma4-shared", "opt"
    ]
    private static let text = (0..<300).map { TokenID($0 * 7 % 250) }

    private func engine(
        _ catalog: TinyCatalog, _ keeping: PrefixKeeping,
        _ configure: (inout ModelOptions) -> Void = { _ in }
    ) throws -> Engine {
        var options = EngineOptions()
        options.model.memoryBytesMax = 48 << 20
        options.model.threads = 2
        options.model.contextTokensWanted = 512
        options.model.prefixes = keeping
        configure(&options.model)
        return try Engine(catalog: catalog, options: options)
    }

    private func order(
        _ name: String, _ prompt: [TokenID], user: UInt32? = 7, tokensMax: Int = 12
    ) -> GenerationOrder {
        var order = GenerationOrder(
            prompt: .tokens(prompt), client: ClientID(rawValue: 1, user: user))
        order.model = name
        order.tokensMax = tokensMax
        order.alternativesReported = 2
        order.sampling.temperature = 0
        return order
    }

    /// Tokens of an answer, and what was said of their probabilities.
    private func told(_ answer: Answer) -> [TokenProbability] {
        answer.events.flatMap { event -> [TokenProbability] in
            guard case .text(_, let probabilities) = event else { return [] }
            return probabilities.flatMap { [$0.chosen] + $0.alternatives }
        }
    }

    private func chosen(_ answer: Answer) -> [TokenID] {
        stride(from: 0, to: told(answer).count, by: 3).map { told(answer)[$0].token }
    }

    private func cached(_ answer: Answer) -> Int? { answer.statistics?.cachedTokens }

    @Test(arguments: names) func answersAreTheSameAndTurnsComputeWhatIsNew(name: String) throws {
        let catalog = try TinyCatalog([name])
        let warm = try engine(catalog, .memory)
        let cold = try engine(catalog, .off)
        defer {
            warm.stop()
            cold.stop()
        }
        let first = warm.answer(order(name, Self.text))
        #expect(cached(first) == 0 && first.statistics?.cachedFrom == nil)
        // A chat's next turn: all that was computed, and something new.
        let turn = Self.text + chosen(first) + [3, 4, 5].map { TokenID($0) }
        let second = warm.answer(order(name, turn))
        // The last token of an answer that is cut off is not computed.
        let answered = chosen(first).count - (first.reason == .length ? 1 : 0)
        #expect(cached(second) == Self.text.count + answered)
        #expect(second.statistics?.cachedFrom == .memory)
        // Another text with the same beginning, and the first one once more.
        let other = Self.text.prefix(200) + (0..<60).map { TokenID($0 * 11 % 250) }
        let third = warm.answer(order(name, Array(other)))
        if name.hasPrefix("llama") { #expect(cached(third) == 192) }
        let fourth = warm.answer(order(name, Self.text))
        for (answer, prompt) in [
            (first, Self.text), (second, turn), (third, Array(other)), (fourth, Self.text)
        ] {
            let expected = cold.answer(order(name, prompt))
            #expect(!told(answer).isEmpty && told(answer) == told(expected))
            #expect(cached(expected) == 0)
        }
    }

    @Test(arguments: names) func fileOutlivesTheEngine(name: String) throws {
        let catalog = try TinyCatalog([name])
        let path = try #require(catalog.onlyPath)
        defer { try? FileSystem.remove(PrefixCache.path(of: path)) }
        let one = try engine(catalog, .flash)
        let first = one.answer(order(name, Self.text))
        one.stop()
        let other = try engine(catalog, .flash)
        defer { other.stop() }
        let again = other.answer(order(name, Self.text))
        #expect(cached(again) == 256 && again.statistics?.cachedFrom == .flash)
        #expect(!told(again).isEmpty && told(again) == told(first))
        // By now it is in memory.
        let third = other.answer(order(name, Self.text))
        #expect(cached(third) == 299 && third.statistics?.cachedFrom == .memory)
        #expect(told(third) == told(first))
    }

    /// Damage costs computing, and never a token.
    @Test func damagedFilesAreComputedAgain() throws {
        let catalog = try TinyCatalog(["llama"])
        let path = try #require(catalog.onlyPath)
        let file = PrefixCache.path(of: path)
        defer { try? FileSystem.remove(file) }
        let one = try engine(catalog, .flash)
        let first = one.answer(order("llama", Self.text))
        one.stop()
        let seed = UInt64.random(in: 0...(.max))
        var random = SplitMix(seed: seed)
        for _ in 0..<12 {
            let damaged = try FileDescriptor(path: file, mode: .readWrite)
            let place = UInt64.random(in: 0..<(try damaged.byteCount()), using: &random)
            try damaged.write(
                unsafe [UInt8.random(in: 0...255, using: &random)].span.bytes, at: place)
            let next = try engine(catalog, .flash)
            let again = next.answer(order("llama", Self.text))
            next.stop()
            #expect(told(again) == told(first), "seed \(seed)")
        }
    }

    /// What depends on a calibration is in no file that outlives it.
    @Test func lossyWaysKeepNoFile() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama.gguf") { path in
            func keeping(_ sparsity: Float?) throws -> PrefixKeeping {
                var options = ModelOptions()
                options.memoryBytesMax = 48 << 20
                options.prefixes = .flash
                options.activationSparsity = sparsity
                return try ModelInstance.division(path: path, options: options).prefixes.keeping
            }
            let (exact, lossy) = (try keeping(nil), try keeping(0.5))
            #expect(exact == .flash && lossy == .memory)
        }
    }

    @Test func usersDoNotFindEachOthersPrefixes() throws {
        let catalog = try TinyCatalog(["llama"])
        let apart = try engine(catalog, .memory)
        let text = Array(Self.text.prefix(100))
        _ = apart.answer(order("llama", text))
        #expect(cached(apart.answer(order("llama", text, user: 8))) == 0)
        #expect(cached(apart.answer(order("llama", text, user: nil))) == 0)
        #expect(cached(apart.answer(order("llama", text))) == 99)
        apart.stop()
        let together = try engine(catalog, .memory) { $0.prefixSharing = .all }
        defer { together.stop() }
        _ = together.answer(order("llama", Self.text))
        #expect(cached(together.answer(order("llama", Self.text, user: 8))) == 299)
    }

    /// A request's own format: the same answer as a service's that keeps all so, and back.
    @Test func requestsChooseTheirFormat() throws {
        let catalog = try TinyCatalog(["llama"])
        let halves = try engine(catalog, .memory)
        let floats = try engine(catalog, .off) { $0.kvFormat = KVFormat(.float) }
        defer {
            halves.stop()
            floats.stop()
        }
        let text = Array(Self.text.prefix(200))
        let usual = halves.answer(order("llama", text))
        var exact = order("llama", text)
        exact.keyValueFormat = KVFormat(.float)
        let answer = halves.answer(exact)
        #expect(cached(answer) == 0 && told(answer) == told(floats.answer(exact)))
        #expect(told(answer) != told(usual) && answer.statistics?.contextTokens == 256)
        let back = halves.answer(order("llama", text))
        #expect(told(back) == told(usual))
        exact.prompt = .tokens(Array(repeating: TokenID(9), count: 500))
        let long = halves.answer(exact)
        guard case .failed(let error) = long.events.last else {
            Issue.record("500 tokens of 32 bits fit where 512 of 16 do")
            return
        }
        #expect(error.reason == .contextExceeded)
        #expect(error.message.contains("the KV pages hold no more at 32 bits"))
    }
}
