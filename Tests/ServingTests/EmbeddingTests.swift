// Vectors of texts: llama.cpp's numbers, the same bits however weights and prompts are divided, and
// beside others' answers.

import FoundationEssentials
import GenerationAPI
import Knobs
import LinuxSystem
import ModelFormat
import Models
import Serving
import TestSupport
import Testing

@Suite struct EmbeddingTests {
    /// What Tests/Fixtures/models/make_embeddings.py writes of a model.
    private struct Vectors: Decodable {
        let tokens: [Int]
        let mean: [Float]
        let cls: [Float]
        let last: [Float]

        func of(_ pooling: Pooling) -> [Float] {
            switch pooling {
            case .mean: mean
            case .cls: cls
            case .last: last
            }
        }
    }

    private static func references() throws -> [String: Vectors] {
        try Fixtures.decode("models/embeddings.json")
    }

    private static let fixed = (0..<70).map { TokenID($0 * 7 % 250) }

    private func withEngine<Result>(
        _ catalog: TinyCatalog, _ configure: (inout EngineOptions) -> Void = { _ in },
        _ body: (Engine) throws -> Result
    ) throws -> Result {
        var options = EngineOptions()
        options.model.contextTokens = 128
        options.model.kvFormat = KVFormat(.float)
        options.model.threads = 1
        configure(&options)
        let engine = try Engine(catalog: catalog, options: options)
        defer { engine.stop() }
        return try body(engine)
    }

    private func order(
        _ model: String, _ prompt: GenerationOrder.Prompt, dimensions: Int? = nil,
        truncates: Bool = false
    ) -> GenerationOrder {
        var order = GenerationOrder(prompt: prompt, client: ClientID(rawValue: 1, user: 7))
        order.model = model
        var rules = EmbeddingRules(parameter: "input")
        (rules.dimensions, rules.truncates) = (dimensions, truncates)
        order.wanted = .embedding(rules)
        return order
    }

    private func order(_ model: String, _ tokens: [TokenID]) -> GenerationOrder {
        order(model, .tokens(tokens))
    }

    @Test(arguments: Pooling.allCases) func vectorsAgreeWithLlamaCpp(_ pooling: Pooling) throws {
        let references = try Self.references()
        #expect(references.count > 9)
        for (name, reference) in references.sorted(by: { $0.key < $1.key }) {
            let vector = try withEngine(try TinyCatalog([name])) {
                $0.model.pooling = pooling
            } _: { engine in
                try #require(
                    engine.answer(order(name, reference.tokens.map { TokenID($0) })).vector)
            }
            let expected = reference.of(pooling)
            try #require(vector.count == expected.count)
            let worst = zip(vector, expected).map { abs($0 - $1) }.max() ?? 1
            #expect(worst < 1e-4, "\(name): \(worst)")
        }
    }

    @Test(arguments: [
        "llama-q4_0", "qwen3moe", "gemma3", "lfm2", "qwen35", "deepseek2", "nemotron"
    ])
    func neitherBudgetsNorChunksChangeABit(name: String) throws {
        let catalog = try TinyCatalog([name])
        let path = try #require(catalog.onlyPath)
        for pooling in Pooling.allCases {
            func vector(_ configure: (inout ModelOptions) -> Void) throws -> [Float]? {
                try withEngine(catalog) {
                    $0.model.pooling = pooling
                    configure(&$0.model)
                } _: { engine in
                    engine.answer(order(name, Self.fixed)).vector
                }
            }
            let resident = try vector { $0.isResident = true }
            #expect(resident?.isEmpty == false)
            let least = try Fixtures.leastBytes(path) {
                $0.contextTokens = 128
                $0.kvFormat = KVFormat(.float)
                $0.threads = 1
            }
            let streamed = try vector { $0.memoryBytesMax = least }
            #expect(streamed == resident, "\(pooling), streamed")
            for chunk in [9, 64] {
                let chunked = try vector {
                    $0.isResident = true
                    $0.prefillChunkTokens = chunk
                }
                #expect(chunked == resident, "\(pooling), chunks of \(chunk)")
            }
        }
    }

    /// Beside answers, and with few pages: the same vectors, and every page comes back.
    @Test(arguments: ["llama", "qwen3moe", "lfm2"]) func othersChangeNothing(name: String) throws {
        let catalog = try TinyCatalog([name])
        let texts = (1...12).map { count in Array(Self.fixed.prefix(5 * count)) }
        func configure(_ options: inout EngineOptions, sequencesMax: Int) {
            options.model.sequencesMax = sequencesMax
            options.model.pooling = .mean
            options.model.prefixes = .memory
        }
        let alone = try withEngine(catalog) {
            configure(&$0, sequencesMax: 1)
        } _: { engine in
            texts.map { engine.answer(order(name, $0)).vector }
        }
        #expect(!alone.contains(nil))
        try withEngine(catalog) {
            configure(&$0, sequencesMax: 4)
        } _: { engine in
            let answers = texts.map { _ in Answer() }
            let others = texts.map { _ in Answer() }
            for (index, text) in texts.enumerated() {
                // What is remembered of the same text is of no use to a mean.
                var answered = GenerationOrder(
                    prompt: .tokens(text), client: ClientID(rawValue: 2, user: 7))
                answered.model = name
                answered.tokensMax = 20
                _ = engine.generate(answered) { others[index].add($0) }
                _ = engine.generate(order(name, text)) { answers[index].add($0) }
            }
            for (answer, vector) in zip(answers, alone) { #expect(answer.wait().vector == vector) }
            for other in others { #expect(other.wait().failure == nil) }
            for _ in 0..<2000 where engine.load.sequences > 0 { Thread.sleep(microseconds: 1000) }
            #expect(engine.load.pagesPromised == 0 && engine.load.pages > 0)
        }
    }

    @Test func whatDoesNotFitIsRefusedOrLeftOut() throws {
        try withEngine(try TinyCatalog(["llama"])) { engine in
            let long = (0..<300).map { TokenID($0 % 250) }
            let refused = engine.answer(order("llama", long))
            #expect(refused.failure == .contextExceeded)
            #expect(engine.answer(order("llama", [TokenID(9999)])).failure == .invalidRequest)
            let whole = engine.answer(order("llama", Array(long.prefix(128)))).vector
            let first = engine.answer(order("llama", .tokens(long), truncates: true))
            #expect(first.vector == whole && whole != nil)
            let text = String(repeating: "abc def ", count: 100_000)
            let cut = engine.answer(order("llama", .text(text), truncates: true))
            #expect(cut.vector?.count == whole?.count && cut.statistics?.promptTokens == 128)
            let other = engine.answer(order("llama", .text(text)))
            #expect(other.failure == .contextExceeded)
        }
    }

    @Test func fewerDimensionsAreTheFirstOnes() throws {
        try withEngine(try TinyCatalog(["llama"])) { engine in
            let whole = try #require(engine.answer(order("llama", Self.fixed)).vector)
            let some = try #require(
                engine.answer(order("llama", .tokens(Self.fixed), dimensions: 8)).vector)
            let length = whole.prefix(8).map { $0 * $0 }.reduce(0, +).squareRoot()
            #expect(some.count == 8)
            for (part, all) in zip(some, whole) { #expect(abs(part - all / length) < 1e-6) }
            let squares = whole.map { Double($0) * Double($0) }.reduce(0, +)
            #expect(abs(squares - 1) < 1e-6)
            let more = engine.answer(order("llama", .tokens(Self.fixed), dimensions: 999))
            #expect(more.failure == .invalidRequest, "\(more.events)")
        }
    }
}

extension Answer {
    fileprivate var vector: [Float]? {
        events.compactMap { if case .embedding(let vector) = $0 { vector } else { nil } }.first
    }
}
