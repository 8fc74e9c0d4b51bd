// Several models in one ledger: beside each other where that costs nothing, else in each other's
// place, and for as long as orders and the service say.

import GenerationAPI
import LinuxSystem
import Memory
import Models
import Serving
import Synchronization
import TestSupport
import Testing

@Suite struct ModelsAtOnceTests {
    @Test func modelsStayBesideEachOtherWhereThereIsRoom() throws {
        try withEngine(megabytes: 64) { engine, loads in
            let first = engine.answer(order("llama")).text
            let second = engine.answer(order("qwen3moe")).text
            #expect(engine.answer(order("llama")).text == first)
            #expect(engine.answer(order("qwen3moe")).text == second)
            #expect(engine.state == .ready(models: ["llama", "qwen3moe"]))
            #expect(loads.value == ["llama", "qwen3moe"], "nothing was loaded twice")
            let loaded = try engine.models().filter(\.isLoaded)
            #expect(loaded.count == 2)
            // Steps of two models at once.
            let answers = (0..<8).map { index in
                let answer = Answer()
                _ = engine.generate(order(index % 2 == 0 ? "llama" : "qwen3moe")) {
                    answer.add($0)
                }
                return answer
            }
            for (index, answer) in answers.enumerated() {
                #expect(answer.wait().text == (index % 2 == 0 ? first : second))
            }
        }
    }

    @Test func whatIsNotThereForBothIsForOneAfterTheOther() throws {
        try withEngine(megabytes: 18) { engine, loads in
            let first = engine.answer(order("llama")).text
            _ = engine.answer(order("qwen3moe"))
            #expect(engine.state == .ready(models: ["qwen3moe"]))
            #expect(engine.answer(order("llama")).text == first)
            #expect(loads.value == ["llama", "qwen3moe", "llama"])
        }
    }

    @Test func modelsGoWhenTheirTimeIsUp() throws {
        try withEngine(megabytes: 64, keepAlive: .seconds(0.2)) { engine, loads in
            var kept = order("llama")
            kept.keepAlive = .always
            _ = engine.answer(kept)
            _ = engine.answer(order("qwen3moe"))
            #expect(engine.state == .ready(models: ["llama", "qwen3moe"]))
            let leavesAt = try engine.models().compactMap { $0.loaded?.leavesAt }
            #expect(leavesAt.count == 1, "one stays")
            waitUntil { engine.state == .ready(models: ["llama"]) }
            #expect(engine.state == .ready(models: ["llama"]))
            var last = order("llama")
            last.keepAlive = .seconds(0)
            _ = engine.answer(last)
            // The load is told a moment after the state.
            waitUntil { engine.state == .ready(models: []) && engine.load.pages == 0 }
            #expect(engine.state == .ready(models: []) && engine.load.pages == 0)
            #expect(engine.answer(order("llama")).reason == .length)
        }
    }

    @Test func modelsGoWhenTheyAreToldTo() throws {
        try withEngine(megabytes: 64) { engine, _ in
            var stop = order("llama")
            stop.wanted = .unloading
            // Nothing is loaded for that.
            #expect(engine.answer(stop).reason == .stop && engine.state == .ready(models: []))
            let answer = Answer()
            var long = order("llama")
            long.tokensMax = 60
            _ = engine.generate(long) { answer.add($0) }
            answer.waitForStart()
            #expect(engine.answer(stop).reason == .stop)
            #expect(answer.wait().failure == nil, "what is under way is finished")
            waitUntil { engine.state == .ready(models: []) }
            #expect(engine.state == .ready(models: []))
            stop.model = "nobody"
            #expect(engine.answer(stop).failure == .modelNotFound)
        }
    }

    /// What is to stay is opened anew in less; and where it cannot, it stays as it is.
    @Test func whatIsToStayMakesRoomOrSaysThatItCannot() throws {
        // Which limit both need is the division's to say: from the least upwards.
        var outcomes: [Bool] = []
        for kibibytes in stride(from: 18_000, through: 21_000, by: 250) {
            try withEngine(kibibytes: kibibytes) { engine, loads in
                var kept = order("llama")
                kept.keepAlive = .always
                let first = engine.answer(kept)
                guard first.failure == nil else { return }
                let other = engine.answer(order("qwen3moe"))
                if other.failure == nil {
                    #expect(engine.state == .ready(models: ["llama", "qwen3moe"]))
                } else {
                    #expect(other.failure == .budgetExceeded)
                    guard case .failed(let error) = other.events.last else { return }
                    #expect(error.message.contains("beside llama, to be kept"))
                    #expect(loads.value == ["llama"], "\(kibibytes): \(error.message)")
                }
                outcomes.append(other.failure == nil)
                #expect(engine.answer(kept).text == first.text)
            }
        }
        #expect(Set(outcomes).count == 2 && outcomes.last == true, "\(outcomes)")
    }

    /// More prompts for several models than the desk has places: they wait.
    @Test func promptsOfAllModelsShareTheDesk() throws {
        var options = EngineOptions()
        options.model.memoryBytesMax = 256 << 20
        options.model.threads = 1
        options.model.sequencesMax = 256
        options.queueMax = 1000
        let engine = try Engine(
            catalog: try TinyCatalog(["llama", "qwen3moe"]), options: options)
        defer { engine.stop() }
        for model in ["llama", "qwen3moe"] { _ = engine.answer(order(model)) }
        let answers = (0..<600).map { index in
            let answer = Answer()
            var order = order(index % 2 == 0 ? "llama" : "qwen3moe")
            (order.wanted, order.prompt) = (.prompt, .chat([]))
            if index % 3 > 0 { (order.wanted, order.prompt) = (.answer, .text("abc")) }
            order.tokensMax = 1
            _ = engine.generate(order) { answer.add($0) }
            return answer
        }
        for answer in answers { #expect(answer.wait().finalCount == 1) }
    }

    // MARK: what they share

    private func order(_ model: String) -> GenerationOrder {
        var order = GenerationOrder(prompt: .text("abc abc"), client: ClientID(rawValue: 1))
        order.model = model
        order.sampling = .greedy
        order.tokensMax = 12
        return order
    }

    private func waitUntil(_ isThere: () -> Bool) {
        for _ in 0..<10_000 where !isThere() { Thread.sleep(microseconds: 1000) }
    }

    private final class Names: Sendable {
        private let names = Mutex<[String]>([])
        var value: [String] { names.withLock { $0 } }
        func add(_ name: String) { names.withLock { $0.append(name) } }
    }

    private func withEngine(
        megabytes: Int, keepAlive: KeepAlive = .untilNeeded, _ body: (Engine, Names) throws -> Void
    ) throws {
        try withEngine(kibibytes: megabytes << 10, keepAlive: keepAlive, body)
    }

    private func withEngine(
        kibibytes: Int, keepAlive: KeepAlive = .untilNeeded, _ body: (Engine, Names) throws -> Void
    ) throws {
        let loads = Names()
        var options = EngineOptions()
        options.model.memoryBytesMax = kibibytes << 10
        options.model.threads = 1
        options.model.sequencesMax = nil
        options.keepAlive = keepAlive
        options.onEvent = { if case .loaded(let report) = $0 { loads.add(report.model) } }
        let engine = try Engine(
            catalog: try TinyCatalog(["llama", "qwen3moe"]), options: options)
        defer { engine.stop() }
        try body(engine, loads)
    }
}
