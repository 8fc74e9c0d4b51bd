// Speculation changes when tokens are computed, never which: passes over several tokens give the
// bits of one at a time, and answers are event for event what they are without it.

import FlashStorage
import GenerationAPI
import Glibc
import Inference
import Knobs
import Memory
import ModelFormat
import Models
import SequenceState
import Serving
import TestSupport
import Testing
import Weights

@Suite struct WidePassTests {
    static let models = [
        "llama", "llama-f16", "llama-bf16", "llama-q4_0", "llama-q4_1", "llama-q5_0", "llama-q5_1",
        "llama-q8_0", "llama-q4_k", "llama-q5_k", "llama-q6_k", "llama-rope-yarn", "arcee",
        "mistral", "qwen2", "qwen3", "olmoe", "mixtral", "qwen2moe", "qwen3moe", "nemotron",
        "llama-biases", "dots1", "bailingmoe2"
    ]

    @Test(arguments: models) func widthsChangeNoBit(name: String) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            try compareWidths(path, count: 40)
        }
    }

    @Test(
        .enabled(if: Fixtures.sharedModel("shell-moe-q4_0.gguf") != nil, "no ../shared/models"),
        arguments: ["shell-moe-q4_0.gguf", "shell-relu2-q8_0.gguf"])
    func widthsChangeNoBitOfTrainedModels(name: String) throws {
        try Fixtures.withPacked(try #require(Fixtures.sharedModel(name))) { path in
            try compareWidths(path, count: 24)
        }
    }

    /// Far into a context one token's attention is split over the team, several tokens' is not.
    @Test(arguments: ["llama-q8_0", "qwen3moe"])
    func widthsChangeNoBitOfLongContexts(name: String) throws {
        let model = try Fixtures.model("models/\(name).gguf") {
            $0.isResident = true
            $0.logitsRowsMax = 8
            $0.contextTokens = 1200
            $0.measuring.mayExceedContext = true
            $0.threads = 3
        }
        let tokens = (0..<1160).map { TokenID(($0 * 31 + $0 / 7) % 250) }
        let sequence = try #require(model.cache.open(tokensMax: 1200))
        defer { model.cache.close(sequence) }
        let start = 1100
        _ = try Self.logits(model, sequence, tokens[..<start], widths: [256], isScored: false)
        let alone = try Self.logits(model, sequence, tokens[start...], widths: [1])
        for widths in [[8], [2, 7, 3]] {
            #expect(
                try Self.logits(model, sequence, tokens[start...], widths: widths) == alone,
                "\(widths)")
        }
    }

    /// Resident and streamed, at every width, after drafts that were wrong.
    private func compareWidths(_ path: String, count: Int) throws {
        let tokens = (0..<count).map { TokenID(($0 * 7 + $0 * $0 / 5) % 250) }
        func open(_ configure: (inout ModelOptions) -> Void) throws -> ModelInstance {
            var options = ModelOptions()
            options.logitsRowsMax = 8
            options.contextTokens = 128
            configure(&options)
            return try ModelInstance(path: path, options: options)
        }
        let least = try Fixtures.leastBytes(path) {
            $0.logitsRowsMax = 8
            $0.contextTokens = 128
        }
        let resident = try open { $0.isResident = true }
        let alone = try logits(resident, tokens, widths: [1])
        for model in [resident, try open { $0.memoryBytesMax = least }] {
            for width in 2...8 {
                #expect(
                    try logits(model, tokens, widths: [width]) == alone,
                    "width \(width), resident \(model.isResident)")
            }
            #expect(try logits(model, tokens, widths: [3, 1, 8, 2]) == alone)
            #expect(try logits(model, tokens, widths: [4, 1], wrongDrafts: 4) == alone)
        }
    }

    private func logits(
        _ model: ModelInstance, _ tokens: [TokenID], widths: [Int], wrongDrafts: Int = 0
    ) throws -> [[Float]] {
        let sequence = try #require(model.cache.open(tokensMax: tokens.count + 8))
        defer { model.cache.close(sequence) }
        return try Self.logits(
            model, sequence, tokens[...], widths: widths, wrongDrafts: wrongDrafts)
    }

    /// Of each token the logits after it, computed in passes of `widths` in turn; each pass takes
    /// along so many more tokens that are none of the text.
    private static func logits(
        _ model: ModelInstance, _ sequence: SequenceID, _ tokens: ArraySlice<TokenID>,
        widths: [Int], wrongDrafts: Int = 0, isScored: Bool = true
    ) throws -> [[Float]] {
        var rows: [[Float]] = []
        var position = tokens.startIndex
        var pass = 0
        while position < tokens.endIndex {
            let end = min(position + widths[pass % widths.count], tokens.endIndex)
            let wrong = (0..<wrongDrafts).map { TokenID(($0 * 17 + pass) % 250) }
            try model.transformer.forward(
                StepPlan(chunks: [
                    SequenceChunk(
                        sequence: sequence, tokens: tokens[position..<end] + wrong,
                        firstPosition: position, logits: isScored ? .all : .none)
                ]))
            for row in 0..<(isScored ? end - position : 0) {
                rows.append(
                    model.transformer.withLogits(row: row) { logits in
                        logits.indices.map { logits[$0] }
                    })
            }
            position = end
            pass += 1
        }
        return rows
    }
}

@Suite struct SpeculationTests {
    private static let policies: [SpeculationPolicy] = [
        .off, .automatic, .upTo(1), .upTo(3), .upTo(7)
    ]

    @Test(arguments: ["llama-q8_0", "qwen3", "qwen3moe", "olmoe", "llama-spm"])
    func answersAreEventForEventTheSame(model: String) throws {
        try compareEvents(model: model, orders: Self.orders(model: model))
    }

    /// Every length of answer, and ends inside drafts that were right.
    @Test func endsAreWhereTheyWere() throws {
        let model = "qwen3"
        var orders: [GenerationOrder] = []
        for tokensMax in 1...40 { orders.append(Self.order(model, tokensMax: tokensMax)) }
        let catalog = try TinyCatalog([model])
        let text = try Self.withEngine(catalog, .off) { $0.answer(orders[39]).text }
        for start in text.indices {
            var order = orders[39]
            order.stopStrings = [String(text[start...].prefix(3))]
            orders.append(order)
        }
        try compareEvents(model: model, orders: orders)
    }

    /// An answer that reaches the context's end while there are drafts for more.
    @Test func contextEndsWhereItDid() throws {
        var order = Self.order("qwen3", tokensMax: nil)
        order.prompt = .tokens((0..<20).map { TokenID($0 % 5 + 40) })
        try compareEvents(model: "qwen3", orders: [order]) { $0.contextTokens = 64 }
    }

    /// Drawn answers that the model itself ends, some just after a draft that was right.
    @Test func endsOfGenerationAreWhereTheyWere() throws {
        let orders = (0..<60).map { seed in
            var order = Self.order("qwen3", tokensMax: 200)
            order.sampling.temperature = 2
            order.sampling.topK = 40
            order.sampling.seed = UInt64(seed)
            return order
        }
        let events = try compareEvents(model: "qwen3", orders: orders)
        #expect(events.contains { $0.last?.hasPrefix("finished stop") == true })
    }

    @Test func draftsAreCounted() throws {
        let catalog = try TinyCatalog(["qwen3"])
        let order = Self.order("qwen3", tokensMax: 64)
        let off = try Self.withEngine(catalog, .off) { try #require($0.answer(order).statistics) }
        #expect(off.draftedTokens == 0 && off.acceptedTokens == 0)
        let on = try Self.withEngine(catalog, .upTo(7)) {
            try #require($0.answer(order).statistics)
        }
        #expect(on.acceptedTokens > 20 && on.acceptedTokens <= on.draftedTokens)
        #expect(on.generatedTokens == off.generatedTokens)
        // Each draft that was right saved a pass over the streamed weights.
        #expect(on.flashBytes > 0 && on.flashBytes < off.flashBytes * 3 / 4)
        #expect(on.bundleMisses < off.bundleMisses * 3 / 4)
    }

    /// A read that fails while drafts are verified fails the order; afterwards all is as before.
    @Test func failuresHalfWayLeaveNothingBehind() throws {
        let catalog = try TinyCatalog(["qwen3"])
        let script = FaultScript()
        let order = Self.order("qwen3", tokensMax: 32)
        try Self.withEngine(
            catalog, .upTo(5),
            {
                $0.verification = .always
                $0.flash.interposer = { FaultyQueue($0, arena: $1, script: script) }
            }
        ) { engine in
            let whole = engine.answer(order)
            #expect(whole.reason == .length)
            script.arm(nil)
            _ = engine.answer(order)
            let reads = script.reads
            try #require(reads > 50)
            for index in stride(from: 1, to: reads, by: max(1, reads / 40)) {
                for fault in [StorageFault.error(EIO), .flippedBit, .endOfFile] {
                    script.arm(fault, at: index)
                    let answer = engine.answer(order)
                    if answer.failure == nil {
                        // Read ahead for a pass that had not begun, and read again then.
                        #expect(answer.text == whole.text)
                    } else {
                        #expect(answer.failure == .readFailed)
                        #expect(whole.text.hasPrefix(answer.text), "\(fault) at read \(index)")
                    }
                    script.arm(nil)
                    #expect(engine.answer(order).text == whole.text)
                }
            }
        }
    }

    private static func order(_ model: String, tokensMax: Int?) -> GenerationOrder {
        var order = GenerationOrder(
            prompt: .text("abc abc abd abc"), client: ClientID(rawValue: 1))
        order.model = model
        order.sampling = .greedy
        order.tokensMax = tokensMax
        return order
    }

    /// Greedy and drawn, with penalties and without, with log-probabilities and stop strings.
    private static func orders(model: String) -> [GenerationOrder] {
        var orders = [order(model, tokensMax: 60)]
        for seed in 0..<6 {
            var drawn = order(model, tokensMax: 40)
            drawn.sampling.temperature = seed < 3 ? 0.05 : 1
            drawn.sampling.topK = seed == 5 ? 0 : 3
            drawn.sampling.seed = UInt64(seed)
            drawn.alternativesReported = seed % 2 == 0 ? seed : nil
            orders.append(drawn)
        }
        var penalized = order(model, tokensMax: 60)
        penalized.sampling.repetitionPenalty = 1.3
        penalized.sampling.frequencyPenalty = 0.2
        penalized.sampling.penaltyWindow = 16
        orders.append(penalized)
        return orders
    }

    @discardableResult
    private func compareEvents(
        model: String, orders: [GenerationOrder],
        _ configure: (inout ModelOptions) -> Void = { _ in }
    ) throws -> [[String]] {
        let catalog = try TinyCatalog([model])
        var plain: [[String]] = []
        for policy in Self.policies {
            let answers = try Self.withEngine(catalog, policy, configure) { engine in
                orders.map { engine.answer($0) }
            }
            let events = answers.map { $0.events.map(Self.description) }
            if plain.isEmpty { plain = events }
            #expect(events == plain, "\(policy)")
            let accepted = answers.reduce(0) { $0 + ($1.statistics?.acceptedTokens ?? 0) }
            if case .upTo = policy { #expect(accepted > 0) }
        }
        return plain
    }

    /// All that an event says but for times, and what was read and drafted.
    private static func description(_ event: GenerationEvent) -> String {
        switch event {
        case .started(let model, let tokens, _): "started \(model) \(tokens)"
        case .text(let text, let probabilities): "text \(text) \(probabilities)"
        case .progress(let progress): "progress \(progress.doneTokens)"
        case .reasoning(let text): "reasoning \(text)"
        case .toolCall(let event): "call \(event)"
        case .tokens(let text): "tokens \(text)"
        case .embedding(let vector): "embedding \(vector)"
        case .finished(let reason, let statistics):
            "finished \(reason) \(statistics.promptTokens) \(statistics.generatedTokens)"
        case .failed(let error): "failed \(error)"
        }
    }

    private static func withEngine<Result>(
        _ catalog: TinyCatalog, _ policy: SpeculationPolicy,
        _ configure: (inout ModelOptions) -> Void = { _ in },
        _ body: (Engine) throws -> Result
    ) throws -> Result {
        var options = EngineOptions()
        options.model.threads = 1
        options.model.contextTokens = 256
        options.model.speculation = policy
        configure(&options.model)
        let path = try #require(catalog.onlyPath)
        options.model.memoryBytesMax =
            try Fixtures.leastBytes(path) { $0 = options.model } + 128 << 10
        let engine = try Engine(catalog: catalog, options: options)
        defer { engine.stop() }
        return try body(engine)
    }
}

@Suite struct SpeculationRoomTests {
    private func sizing(
        _ path: String, _ policy: SpeculationPolicy, memory: Int?
    ) throws -> Division {
        var options = ModelOptions()
        options.speculation = policy
        options.memoryBytesMax = memory
        options.isResident = memory == nil
        return try ModelInstance.division(path: path, options: options)
    }

    @Test func roomIsSmallAndOnlyWhereItPays() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/llama.gguf") { path in
            let least = try Fixtures.leastBytes(path)
            let most = try sizing(path, .off, memory: 1 << 30).budget.sumBytes
            var rooms: Set<Int> = []
            for budget in stride(from: least, through: most, by: max(1, (most - least) / 50)) {
                let plain = try sizing(path, .off, memory: budget)
                let automatic = try sizing(path, .automatic, memory: budget)
                #expect(plain.speculationRoom.draftsMax == 0)
                #expect(automatic.budget.fits && automatic.tokensPerStep == plain.tokensPerStep)
                #expect(automatic.contextTokens == plain.contextTokens)
                #expect(plain.plan.streamsDense || automatic.speculationRoom.draftsMax == 0)
                let extra = Self.fixedBytes(automatic) - Self.fixedBytes(plain)
                #expect((0...budget / 128).contains(extra))
                let drafts = automatic.budget.terms.filter { $0.name == "drafts" }
                #expect(drafts.count == 1)
                #expect((drafts[0].bytes > 0) == (automatic.speculationRoom.draftsMax > 0))
                rooms.insert(automatic.speculationRoom.draftsMax)
            }
            #expect(rooms.contains(7) && rooms.contains(0))
            #expect(try sizing(path, .automatic, memory: nil).speculationRoom.draftsMax == 0)
            #expect(try sizing(path, .upTo(5), memory: nil).speculationRoom.draftsMax == 5)
            #expect(try sizing(path, .upTo(31), memory: 1 << 30).speculationRoom.draftsMax == 31)
        }
    }

    /// Experts alone are no reason: each draft may need others.
    @Test func mixturesWithDenseWeightsInMemoryHaveNone() throws {
        try Fixtures.withPacked(Fixtures.folder + "models/qwen3moe.gguf") { path in
            let least = try Fixtures.leastBytes(path)
            var budget = least
            while try sizing(path, .off, memory: budget).plan.streamsDense { budget += 4096 }
            let tight = try sizing(path, .automatic, memory: budget)
            #expect(tight.plan.expertSlotCount < 8 * 4 || tight.plan.expertBytes > 0)
            #expect(tight.speculationRoom.draftsMax == 0)
        }
    }

    private static func fixedBytes(_ sizing: Division) -> Int {
        sizing.budget.sumBytes - sizing.plan.arenaBytes
    }
}
