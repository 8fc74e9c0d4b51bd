// How long the context becomes: what is asked for and fits is given, what nobody asked for uses
// what would idle, and why is said.

import FlashStorage
import GenerationAPI
import Inference
import Knobs
import Memory
import ModelFormat
import Models
import SequenceState
import Serving
import Synchronization
import Testing
import Weights

@Suite struct ContextTests {
    private static let model = Fixtures.folder + "models/llama.gguf"

    private func sizing(
        _ path: String, memoryBytes: Int, _ configure: (inout ModelOptions) -> Void = { _ in }
    ) throws -> Division {
        var options = ModelOptions()
        options.memoryBytesMax = memoryBytes
        configure(&options)
        return try ModelInstance.division(path: path, options: options)
    }

    /// Weights come first; then the context takes all there is, up to the model's own.
    @Test func whatIdlesIsUsed() throws {
        try Fixtures.withPacked(Self.model) { path in
            let own = try sizing(path, memoryBytes: 1 << 30)
            #expect(own.contextReason == "the model's own")
            let pageBytes = own.layout.byteCount(tokens: KVLayout.pageTokens)
            let least = try Fixtures.leastBytes(path)
            for bytes in stride(from: least, to: least + (4 << 20), by: 128 << 10) {
                let sizing = try sizing(path, memoryBytes: bytes)
                #expect(sizing.contextTokens <= own.contextTokens)
                let isIdle = sizing.budget.limitBytes - sizing.budget.sumBytes > 4 * pageBytes
                #expect(!isIdle || sizing.contextTokens == own.contextTokens, "\(bytes)")
                #expect(!sizing.contextReason.isEmpty)
            }
        }
    }

    @Test func whatIsWishedForIsTriedFirst() throws {
        try Fixtures.withPacked(Self.model) { path in
            let own = try sizing(path, memoryBytes: 1 << 30).contextTokens
            func context(_ memoryBytes: Int, _ wanted: Int) throws -> (Int, String) {
                let found = try sizing(path, memoryBytes: memoryBytes) {
                    $0.contextTokensWanted = wanted
                }
                return (found.contextTokens, found.contextReason)
            }
            #expect(try context(1 << 30, own / 2) == (own / 2, "as asked"))
            #expect(try context(1 << 30, own * 2) == (own, "the model's own"))
            // To the byte that holds it, although weights are streamed for it.
            let needed = try Fixtures.leastBytes(path) { $0.contextTokens = own / 2 }
            #expect(try context(needed, own / 2) == (own / 2, "as asked"))
        }
    }

    /// A longer wish than memory holds gets what fits, and hears of it.
    @Test(.enabled(if: longModel != nil, "no ../shared/models"))
    func aWishThatDoesNotFitIsShortened() throws {
        let model = try #require(Self.longModel)
        try Fixtures.withPacked(model) { path in
            let own = try sizing(path, memoryBytes: 1 << 34) { $0.contextTokensWanted = 1 << 20 }
            #expect(own.contextReason == "the model's own")
            let half = own.contextTokens / 2
            let least = try Fixtures.leastBytes(path) { $0.contextTokens = half }
            let found = try sizing(path, memoryBytes: least) { $0.contextTokensWanted = 1 << 20 }
            #expect(found.contextTokens >= half && found.contextTokens < own.contextTokens)
            #expect(found.contextReason == "all that fits, of 1048576 asked for")
        }
    }

    /// Who is refused learns how long a context fits, and how to get the one that was asked for.
    @Test func refusalsSayWhatFits() throws {
        try Fixtures.withPacked(Self.model) { path in
            let least = try Fixtures.leastBytes(path) { $0.contextTokens = 512 }
            #expect {
                try self.sizing(path, memoryBytes: least - 1) { $0.contextTokens = 512 }
            } throws: {
                guard case LoadError.budget(let error) = $0 else { return false }
                let (first, second) = (error.fitting.first, error.fitting.last)
                return first?.kvBits == "16" && first?.contextTokens == 448
                    && second?.kvBits == "8" && second?.contextTokens == 512
                    && "\(error)".hasSuffix("448 tokens at 16 bits, 512 tokens at 8 bits")
            }
        }
    }

    /// A model with a context of 1024, of which 512 is the least that is given unasked.
    private static var longModel: String? { Fixtures.sharedModel("docs-moe-q4_0.gguf") }

    /// The error that ends a chat says how long the context is, and why.
    @Test func theErrorSaysWhy() throws {
        let catalog = try TinyCatalog(["llama"])
        var options = EngineOptions()
        options.model.memoryBytesMax = 32 << 20
        options.model.threads = 1
        options.model.contextTokensWanted = 64
        let notices = Notices()
        options.model.onNotice = { notices.add($0) }
        let engine = try Engine(catalog: catalog, options: options)
        defer { engine.stop() }
        var order = GenerationOrder(
            prompt: .tokens(Array(repeating: TokenID(5), count: 65)),
            client: ClientID(rawValue: 1))
        order.model = "llama"
        guard case .failed(let error) = engine.answer(order).events.last else {
            Issue.record("65 tokens were accepted")
            return
        }
        #expect(error.reason == .contextExceeded)
        #expect(error.message.contains("the context 64 (as asked)"), "\(error.message)")
        let loaded = try #require(try engine.models().first?.loaded)
        #expect(loaded.contextTokens == 64 && loaded.reads == .whole)
        #expect(loaded.keyValueFormat == KVFormat(.half))
        #expect(notices.all.contains { $0.contains("context 64 tokens (as asked), KV 16 bits") })
    }
}

/// The drive is known when it is decided what is read from it.
@Suite struct DecisionTests {
    /// A drive that nobody knows until it is asked to suit options to it.
    private final class NewDrive: FlashTuner {
        let isMeasured = Mutex(false)
        let kilobytesPerSecond: Double

        init(kilobytesPerSecond: Double) { self.kilobytesPerSecond = kilobytesPerSecond }

        func tuned(_ options: FlashOptions, path: String, memoryBytes: Int) -> FlashOptions {
            isMeasured.withLock { $0 = true }
            return options
        }

        /// Small reads are as fast as long ones, or take a second each.
        func speeds(forFile path: String) -> MachineSpeeds {
            guard isMeasured.withLock({ $0 }) else { return MachineSpeeds() }
            func speed(_ bytes: Int, _ rate: Double) -> DriveSpeed {
                DriveSpeed(
                    pattern: .scattered, readBytes: bytes, depth: 32, bytesPerSecond: rate)
            }
            return MachineSpeeds(
                drive: DriveProfile(
                    readerKind: "io_uring", isDirect: true,
                    speeds: [speed(4096, kilobytesPerSecond * 1e3), speed(1 << 20, 1e9)],
                    bytesPerSecondSustained: 1e9, memoryBytes: 16 << 20),
                memoryBytesPerSecond: 1e12, gapBytesMax: 0)
        }
    }

    /// One that cannot take small reads is read whole at the first load, as at the second.
    @Test(arguments: ["arcee-q8_0"]) func theFirstLoadKnowsTheDrive(name: String) throws {
        try Fixtures.withPacked(Fixtures.folder + "models/\(name).gguf") { path in
            var options = ModelOptions()
            options.sparse = .exact
            let least = try Fixtures.leastBytes(path) { $0 = options }
            options.memoryBytesMax = least
            #expect(try ModelInstance(path: path, options: options).plan.sparse != nil)
            options.sparse = nil
            let slow = NewDrive(kilobytesPerSecond: 1)
            options.flash.tuner = slow
            let model = try ModelInstance(path: path, options: options)
            #expect(slow.isMeasured.withLock { $0 })
            #expect(model.plan.sparse == nil && model.summary.reads == .whole)
            #expect(model.summary.readsReason?.contains("by what was measured") == true)
        }
    }
}
