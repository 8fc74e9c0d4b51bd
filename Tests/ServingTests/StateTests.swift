// Layers with a state in place of keys and values: sequences do not mix, chunks change nothing, and
// a text goes on from a state that was kept as if all had been computed.

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

@Suite struct StateTests {
    static let models = [
        "lfm2", "lfm2moe", "qwen35", "qwen35-q8_0", "qwen35moe", "qwen3next", "granitehybrid",
        "granitehybrid-q8_0", "nemotron_h", "nemotron_h_moe", "nemotron_h_moe-q8_0", "bailingmoe3"
    ]
    private static let text = (0..<300).map { TokenID($0 * 7 % 250) }

    private static func tokens(_ ids: Int...) -> [TokenID] { ids.map { TokenID($0) } }

    private func model(
        _ name: String, _ configure: (inout ModelOptions) -> Void = { _ in }
    ) throws -> ModelInstance {
        try Fixtures.model("models/\(name).gguf") {
            $0.isResident = true
            $0.logitsRowsMax = 64
            $0.contextTokens = 512
            $0.measuring.statesKept = 70
            configure(&$0)
        }
    }

    private func logits(_ model: ModelInstance, row: Int) -> [Float] {
        model.transformer.withLogits(row: row) { logits in logits.indices.map { logits[$0] } }
    }

    /// The logits after each text, its tokens computed in pieces of `step`.
    private func alone(_ model: ModelInstance, _ text: [TokenID], step: Int) throws -> [Float] {
        let sequence = try #require(model.cache.open(tokensMax: text.count))
        defer { model.cache.close(sequence) }
        for first in stride(from: 0, to: text.count, by: step) {
            let end = min(first + step, text.count)
            let chunk = SequenceChunk(
                sequence: sequence, tokens: Array(text[first..<end]), firstPosition: first,
                logits: end == text.count ? .last : .none)
            try model.transformer.forward(StepPlan(chunks: [chunk]))
        }
        return logits(model, row: 0)
    }

    @Test(arguments: models) func piecesOfATextChangeNothing(name: String) throws {
        let model = try model(name)
        let whole = try alone(model, Self.text, step: 300)
        for step in [1, 7, 64, 100] {
            #expect(try alone(model, Self.text, step: step) == whole, "\(step) at once")
        }
    }

    /// 64 sequences, each of its own length, step by step together, with others that come and go.
    @Test(arguments: models) func sequencesDoNotMix(name: String) throws {
        let seed = UInt64.random(in: 0...(.max))
        var random = SplitMix(seed: seed)
        let model = try model(name) {
            $0.contextTokens = 64 * 64
            $0.measuring.mayExceedContext = true
        }
        let texts = (0..<64).map { _ in
            (0..<Int.random(in: 2...14, using: &random)).map { _ in
                TokenID(Int.random(in: 0..<250, using: &random))
            }
        }
        let alone = try texts.map { try self.alone(model, $0, step: $0.count) }
        let sequences = try texts.map { try #require(model.cache.open(tokensMax: $0.count)) }
        defer { for sequence in sequences { model.cache.close(sequence) } }
        var done = texts.map { _ in 0 }
        var found = texts.map { _ in [Float]() }
        while done != texts.map(\.count) {
            var chunks: [SequenceChunk] = []
            var who: [Int] = []
            for index in texts.indices.shuffled(using: &random)
            where done[index] < texts[index].count && Bool.random(using: &random) {
                let rest = texts[index][done[index]...]
                let count = Int.random(in: 1...rest.count, using: &random)
                chunks.append(
                    SequenceChunk(
                        sequence: sequences[index], tokens: Array(rest.prefix(count)),
                        firstPosition: done[index], logits: .last))
                who.append(index)
                done[index] += count
            }
            guard !chunks.isEmpty else { continue }
            try model.transformer.forward(StepPlan(chunks: chunks))
            for (row, index) in who.enumerated() { found[index] = logits(model, row: row) }
        }
        #expect(found == alone, "seed \(seed)")
    }

    /// A sequence gets its own state, wherever another one ended in between.
    @Test func aNewSequenceKnowsNothing() throws {
        let model = try model("qwen35") { $0.measuring.statesKept = 0 }
        let short = Self.tokens(5, 9, 2)
        let first = try alone(model, short, step: 3)
        _ = try alone(model, Self.text, step: 300)
        #expect(try alone(model, short, step: 3) == first)
        let sequence = try #require(model.cache.open(tokensMax: 4))
        #expect(model.cache.open(tokensMax: 4) == nil, "there is one state")
        model.cache.close(sequence)
    }

    private func engine(_ catalog: TinyCatalog, _ keeping: PrefixKeeping) throws -> Engine {
        var options = EngineOptions()
        options.model.memoryBytesMax = 48 << 20
        options.model.threads = 2
        // Room for several such texts.
        options.model.contextTokens = 2_048
        options.model.measuring.mayExceedContext = true
        options.model.prefixes = keeping
        return try Engine(catalog: catalog, options: options)
    }

    private func order(_ name: String, _ prompt: [TokenID], user: UInt32 = 7) -> GenerationOrder {
        var order = GenerationOrder(
            prompt: .tokens(prompt), client: ClientID(rawValue: 1, user: user))
        order.model = name
        order.tokensMax = 12
        order.alternativesReported = 2
        order.sampling.temperature = 0
        return order
    }

    private func told(_ answer: Answer) -> [TokenProbability] {
        answer.events.flatMap { event -> [TokenProbability] in
            guard case .text(_, let probabilities) = event else { return [] }
            return probabilities.flatMap { [$0.chosen] + $0.alternatives }
        }
    }

    /// The next turn of a chat, the same prompt once more, an older state, another user: the
    /// answers are those of who remembers nothing.
    @Test(arguments: models) func textsGoOnFromAStateThatWasKept(name: String) throws {
        let catalog = try TinyCatalog([name])
        let (warm, cold) = (try engine(catalog, .flash), try engine(catalog, .off))
        defer {
            warm.stop()
            cold.stop()
        }
        var known: [(prompt: [TokenID], cached: Int, user: UInt32)] = [(Self.text, 0, 7)]
        let first = cold.answer(order(name, Self.text))
        let chosen = stride(from: 0, to: told(first).count, by: 3).map { told(first)[$0].token }
        let answered = chosen.count - (first.reason == .length ? 1 : 0)
        let turn = Self.text + chosen + Self.tokens(3, 4, 5)
        known.append((turn, Self.text.count + answered, 7))
        // All but the last token, whose logits are wanted.
        known.append((Self.text, Self.text.count - 1, 7))
        known.append((turn + Self.tokens(9, 8), turn.count - 1, 7))
        // It begins alike, and no state is of where it differs.
        known.append((Self.text.prefix(200) + Self.tokens(1, 2, 3), 0, 7))
        known.append((Self.text, 0, 8))
        for (prompt, cached, user) in known {
            let found = warm.answer(order(name, prompt, user: user))
            let expected = cold.answer(order(name, prompt))
            #expect(!told(found).isEmpty && told(found) == told(expected))
            #expect(found.statistics?.cachedTokens == cached, "\(prompt.count) tokens")
            #expect(found.statistics?.cachedFrom == (cached > 0 ? .memory : nil))
        }
    }

    /// What a model with states cannot do is refused where it is asked for, and else left undone.
    @Test func promptsAreNotCut() throws {
        let catalog = try TinyCatalog(["lfm2"])
        let engine = try engine(catalog, .off)
        defer { engine.stop() }
        let plain = engine.answer(order("lfm2", Self.text))
        for (key, path) in [
            ("kv_snap_tokens", \GenerationOrder.snapTokens), ("kv_gem_tokens", \.gemTokens)
        ] {
            var asked = order("lfm2", Self.text)
            asked[keyPath: path] = 100
            guard case .failed(let refusal) = engine.answer(asked).events.last else {
                Issue.record("\(key) was done")
                continue
            }
            #expect(refusal.reason == .invalidRequest && refusal.parameter == key)
            #expect(refusal.message.contains("layers of this model have a state"))
        }
        var options = EngineOptions()
        options.model.memoryBytesMax = 48 << 20
        options.model.contextTokensWanted = 512
        options.model.snapTokens = 100
        options.model.speculation = .upTo(4)
        let others = try Engine(catalog: catalog, options: options)
        defer { others.stop() }
        let answer = others.answer(order("lfm2", Self.text))
        #expect(told(answer) == told(plain) && answer.statistics?.draftedTokens == 0)
    }
}
