// Several requests at once: each gets the text that it gets alone, whatever the others do, whether
// pages are short or not, and who leaves takes nothing with them.

import GenerationAPI
import Knobs
import LinuxSystem
import ModelFormat
import Models
import Serving
import TestSupport
import Testing

@Suite struct SessionsAtOnceTests {
    /// Layers of every kind: pages, windows, states, latents, experts, neurons.
    @Test(arguments: [
        "llama", "qwen3moe", "gemma3", "lfm2", "qwen35", "deepseek2", "granitehybrid",
        "gemma4-shared", "nemotron"
    ])
    func eachGetsWhatItGetsAlone(name: String) throws {
        let orders = Self.orders(name, count: 6, seed: 11)
        let alone = try Self.withEngine(name, sequencesMax: 1) { engine in
            orders.map { engine.answer($0).text }
        }
        try Self.withEngine(name, sequencesMax: 4) { engine in
            let answers = Self.start(orders, on: engine)
            for (answer, text) in zip(answers, alone) {
                #expect(answer.wait().text == text)
                #expect(answer.failure == nil)
            }
            #expect(engine.load.sequencesMost > 1, "nobody shared a step")
        }
    }

    /// A pool of one context for four that all fill it: they take turns, and nobody notices.
    @Test(arguments: [("llama", 16), ("llama", 4), ("qwen3moe", 8), ("lfm2", 16), ("gemma3", 16)])
    func whoGaveUpPagesGoesOnTheSame(name: String, bits: Int) throws {
        func configure(_ options: inout EngineOptions) {
            options.model.contextTokens = 512
            options.model.measuring.mayExceedContext = true
            options.model.kvFormat = KVFormat(KVBits(rawValue: bits) ?? .half)
        }
        var orders = Self.orders(name, count: 5, seed: 3)
        for index in orders.indices { orders[index].tokensMax = 300 + 10 * index }
        let alone = try Self.withEngine(name, sequencesMax: 1, configure) { engine in
            orders.map { engine.answer($0).text }
        }
        for keeping in [PrefixKeeping.off, .memory] {
            try Self.withEngine(
                name, sequencesMax: 4,
                {
                    configure(&$0)
                    $0.model.prefixes = keeping
                }
            ) { engine in
                let answers = Self.start(orders, on: engine)
                for (answer, text) in zip(answers, alone) { #expect(answer.wait().text == text) }
                let suspensions = answers.reduce(0) { $0 + ($1.statistics?.suspensionCount ?? 0) }
                #expect(suspensions > 0, "pages were never short")
                Self.expectEmpty(engine)
            }
        }
    }

    /// 64 requests of eight clients, of whom many leave at random: those who stay get their own
    /// texts, everybody has one end, and all pages come back.
    @Test func whoLeavesTakesNothingAlong() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SplitMix(seed: seed)
        let orders = Self.orders("qwen3moe", count: 64, seed: seed)
        let alone = try Self.withEngine("qwen3moe", sequencesMax: 1) { engine in
            orders.map { engine.answer($0).text }
        }
        try Self.withEngine("qwen3moe", sequencesMax: 8, { $0.model.contextTokens = 256 }) {
            engine in
            var leavers: [Int: any GenerationTicket] = [:]
            let answers = orders.indices.map { _ in Answer() }
            for (index, order) in orders.enumerated() {
                let answer = answers[index]
                let ticket = engine.generate(order) { answer.add($0) }
                if Bool.random(using: &random) { leavers[index] = ticket }
                if Int.random(in: 0..<8, using: &random) == 0 {
                    Thread.sleep(microseconds: 2000)
                    leavers.randomElement(using: &random)?.value.cancel()
                }
            }
            for ticket in leavers.values {
                Thread.sleep(microseconds: UInt32.random(in: 0..<500, using: &random))
                ticket.cancel()
            }
            for (index, answer) in answers.enumerated() {
                #expect(answer.wait().finalCount == 1, "seed \(seed), \(index)")
                if answer.failure == .cancelled {
                    #expect(alone[index].hasPrefix(answer.text), "seed \(seed), \(index)")
                } else {
                    #expect(answer.text == alone[index], "seed \(seed), \(index)")
                }
                #expect(leavers[index] != nil || answer.failure == nil, "seed \(seed), \(index)")
            }
            Self.expectEmpty(engine)
        }
    }

    /// Another model, and keys and values kept otherwise, wait until there is nobody else.
    @Test func whatDoesNotGoTogetherTakesTurns() throws {
        try Self.withEngine("qwen3moe", also: ["llama"], sequencesMax: 4) { engine in
            var orders = Self.orders("qwen3moe", count: 8, seed: 5)
            for index in orders.indices {
                orders[index].client = ClientID(rawValue: 1, user: 7)
                if index % 3 == 1 { orders[index].model = "llama" }
                if index % 3 == 2 { orders[index].keyValueFormat = KVFormat(.four) }
            }
            let answers = Self.start(orders, on: engine)
            let together = answers.map { $0.wait().text }
            #expect(answers.allSatisfy { $0.failure == nil })
            #expect(orders.map { engine.answer($0).text } == together)
            Self.expectEmpty(engine)
        }
    }

    /// What a step reads is paid for once, whoever shares it.
    @Test func readsAreDividedAmongThoseWhoShareThem() throws {
        let cost = StepCost(flashBytes: 1000, bundleHits: 7, bundleMisses: 3)
        let shares = cost.shares(of: [1, 1, 5])
        #expect(shares.reduce(0) { $0 + $1.flashBytes } == 1000)
        #expect(shares.reduce(0) { $0 + $1.bundleHits } == 7)
        #expect(shares[2].flashBytes > 4 * shares[0].flashBytes)
        #expect(StepCost(flashBytes: 9, bundleHits: 0, bundleMisses: 0).shares(of: []).isEmpty)
    }

    // MARK: what they share

    private static func orders(_ model: String, count: Int, seed: UInt64) -> [GenerationOrder] {
        var random = SplitMix(seed: seed)
        return (0..<count).map { index in
            let length = Int.random(in: 1...60, using: &random)
            let tokens = (0..<length).map { _ in
                TokenID(Int.random(in: 3..<200, using: &random))
            }
            let client = ClientID(rawValue: UInt64(index % 8), user: UInt32(index % 3))
            var order = GenerationOrder(prompt: .tokens(tokens), client: client)
            order.model = model
            order.tokensMax = Int.random(in: 1...40, using: &random)
            order.sampling.temperature = index % 2 == 0 ? 0 : 1.2
            order.sampling.seed = random.next()
            return order
        }
    }

    private static func start(_ orders: [GenerationOrder], on engine: Engine) -> [Answer] {
        orders.map { order in
            let answer = Answer()
            _ = engine.generate(order) { answer.add($0) }
            return answer
        }
    }

    /// Nobody is promised a page any more.
    private static func expectEmpty(_ engine: Engine) {
        for _ in 0..<5000 where engine.progress.isBusy { Thread.sleep(microseconds: 1000) }
        #expect(engine.load.sequences == 0 && engine.load.waiting == 0)
        #expect(engine.load.pagesPromised == 0 && engine.load.pages > 0)
    }

    private static func withEngine<Result>(
        _ name: String, also others: [String] = [], sequencesMax: Int,
        _ configure: (inout EngineOptions) -> Void = { _ in }, _ body: (Engine) throws -> Result
    ) throws -> Result {
        var options = EngineOptions()
        options.model.memoryBytesMax = 64 << 20
        options.model.threads = 1
        options.model.sequencesMax = sequencesMax
        options.queueMax = 100
        configure(&options)
        let engine = try Engine(catalog: try TinyCatalog([name] + others), options: options)
        defer { engine.stop() }
        return try body(engine)
    }
}
